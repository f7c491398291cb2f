"""Several daemons on one host, and who may speak to them."""

from __future__ import annotations

import json

from tests.daemon.harness import until

ENQUEUE = ("asyncmq", "enqueue", "mark", "--queue", "mail")
STATUS = ("asyncmqd", "status", "--json")


def test_two_instances_have_directories_and_sockets_of_their_own(service, box, seen):
    daemons = [service("a"), service("b")]
    for each in daemons:
        each.configure()
        each.start()
    for each in daemons:
        each.store.add("mail", "mark", [each.unit])
    for each in daemons:
        until(lambda each=each: each.lines() == [each.unit])
        told = json.loads(each.cli("status", "--json").stdout)
        assert (told["pid"], told["config"]["file"]) == (each.pid, each.config)
        assert box.path(f"{each.runtime}/control.sock").is_socket()
        assert box.path(f"{each.state}/jobs.db").exists()
    names = [f"{each.state}, {each.runtime}/control.sock" for each in daemons]
    seen(f"check 12: asyncmqd@a and asyncmqd@b side by side: {' and '.join(names)}")


def test_the_target_starts_and_stops_all_instances(service, box, seen):
    daemons = [service("a"), service("b")]
    for each in daemons:
        each.configure()
        box.systemctl("enable", each.unit)
    box.systemctl("start", "multi-user.target")  # as a boot does
    for each in daemons:
        each.wait_for_state("active")
    before = [each.pid for each in daemons]
    box.systemctl("restart", "asyncmqd.target")
    for each, pid in zip(daemons, before, strict=True):
        until(lambda each=each, pid=pid: each.pid not in {0, pid})
        each.wait_for_state("active")
    box.systemctl("stop", "asyncmqd.target")
    for each in daemons:
        each.wait_for_state("inactive")
    box.systemctl("start", "asyncmqd.target")
    for each in daemons:
        each.wait_for_state("active")
    seen("check 12: enabled instances start at boot; asyncmqd.target restarts, stops, starts them")


def test_members_of_the_group_enqueue_and_ask_and_others_do_not(service, box, seen):
    daemon = service()
    daemon.configure()
    daemon.start()
    people = 'u app - "member" /srv\nm app asyncmqd\nu stranger - "no member" /srv\n'
    box.run("systemd-sysusers", "-", input=people)
    member = ("runuser", "-u", "app", "--", "env", f"ASYNCMQD_CONFIG={daemon.config}")
    id = box.run(*member, *ENQUEUE).stdout.strip()
    daemon.log.wait_for("job.completed", job_id=id)
    assert json.loads(box.run(*member, *STATUS).stdout)["pid"] == daemon.pid
    stranger = ("runuser", "-u", "stranger", "--", "env")
    unread = box.run(*stranger, f"ASYNCMQD_CONFIG={daemon.config}", *ENQUEUE, check=False)
    own = f'backend = "{daemon.backend}"\ncontrol_socket = "{daemon.runtime}/control.sock"\n'
    box.write("/srv/own.toml", own + "[queues.mail]\n")
    refused = box.run(*stranger, "ASYNCMQD_CONFIG=/srv/own.toml", *ENQUEUE, check=False)
    asked = box.run(*stranger, "ASYNCMQD_CONFIG=/srv/own.toml", *STATUS, check=False)
    assert (unread.returncode, refused.returncode, asked.returncode) == (78, 1, 1)
    assert all("Traceback" not in each.stderr for each in (unread, refused, asked))
    assert all("ermission" in each.stderr for each in (unread, refused))
    assert "may not be asked by user" in asked.stderr
    modes = {name: oct(box.path(f"{daemon.state}/{name}").stat().st_mode)[-4:] for name in NAMES}
    assert modes == NAMES
    seen(
        f"access: a member of the group enqueued and asked for the status; another user got"
        f" {refused.stderr.strip()!r} and {asked.stderr.strip()!r}"
    )


NAMES = {".": "2770", "jobs.db": "0660", "jobs.db-wake": "2770"}


def test_the_status_line_has_live_numbers(service, seen):
    daemon = service()
    daemon.configure("[queues.mail]\n[queues.other]\n")
    daemon.start()
    daemon.store.add("mail", "mark", ["a", "b", "c"])
    daemon.store.add("mail", "hold", ["h"])
    wanted = "queues: 2, running: 1; done per minute: 3; completed: 3, failed: 0; configuration: 1"
    until(lambda: daemon.show("StatusText")["StatusText"] == wanted)
    assert daemon.status()["done_per_minute"] == 3
    daemon.open_gate()
    seen(f"check 14: STATUS={wanted!r}")


def test_what_systemd_says_to_us_is_not_for_jobs(service, seen):
    daemon = service()
    daemon.configure()
    daemon.start()
    daemon.store.add("mail", "environment", ["loop"])
    daemon.store.add("mail", "child_environment", ["child"])
    for id in ("loop", "child"):
        daemon.log.wait_for("job.completed", job_id=id)
        names = json.loads(daemon.store.get("mail", id).result)
        assert "LEDGER" in names
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(names)
    seen("check 14: NOTIFY_SOCKET and WATCHDOG_* are in no environment of jobs and their children")
