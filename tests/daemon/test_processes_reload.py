"""`processes = N`: a configuration reaches all children, and one that hangs keeps nobody."""

from __future__ import annotations

import os
import signal
import sys

from tests.daemon.family import MAIL, SCANNER, THREE, TWO, children_of, runners
from tests.daemon.harness import until


def test_a_reload_changes_shares_in_place(daemon, file):
    d = daemon(file.url, "[queues.mail]\nconcurrency = 2\n", top=TWO).start()
    file.add("mail", "hold", [f"{n}" for n in range(10)])
    until(lambda: len(d.lines("began")) == 2)
    pids = children_of(d)
    d.configure("[queues.mail]\nconcurrency = 7\n[queues.more]\n", TWO)
    answer = d.ask("reload")
    assert answer["generation"] == 2
    assert d.ask("status")["queues"]["mail"]["concurrency"] == 7
    until(lambda: len(d.lines("began")) == 7)
    file.add("more", "mark", ["m"])
    until(lambda: d.lines(queue="more") == ["m"])
    assert children_of(d) == pids
    assert sorted(runners(d).values()) == [3, 4]
    assert len(d.all("daemon.reloaded")) == 1


def test_a_child_that_is_left_nothing_of_a_queue_drains_it_alone(daemon, file):
    queues = "[queues.mail]\ndrain_timeout = 0.2\nconcurrency = "
    d = daemon(file.url, f"{queues}2\n", top=TWO).start()
    ids = file.add("mail", "hold", ["a", "b"])
    until(lambda: len(runners(d)) == 2)
    pids = children_of(d)
    d.configure(f"{queues}1\n", TWO)
    d.ask("reload")
    until(lambda: file.counts("mail").waiting == 1)

    def shares() -> list[dict[str, int]]:
        return [each["queues"] for each in d.ask("status")["processes"]]

    until(lambda: sorted(shares(), key=len) == [{}, {"mail": 1}])
    d.open_gate()
    d.wait_for("job.completed", count=2)
    assert d.tally() == dict.fromkeys(ids, 1)
    assert set(runners(d, "ran")) == {pids[shares().index({"mail": 1})]}
    assert {e["attempt"] for e in d.all("job.completed")} == {1}


SLOW = """
import os, pathlib, time
pathlib.Path(f'importing-{os.getpid()}').touch()
while pathlib.Path('wait').exists(): time.sleep(0.01)
"""


def test_a_child_that_starts_during_a_reload_serves_what_that_brought(daemon, file, place):
    (place / "slow.py").write_text(SLOW)
    (place / "inbox.py").write_text(SCANNER)
    d = daemon(file.url, MAIL, top=TWO, tasks=["slow", "ledger"]).start()
    (place / "wait").touch()
    for pid in children_of(d):
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(list(place.glob("importing-*"))) == 4)
    d.configure('[queues.more]\nscanners = ["inbox:scan"]\n', TWO)
    assert d.ask("reload")["generation"] == 2
    (place / "wait").unlink()
    d.wait_for("process.started", count=4)
    file.add("more", "mark", ["m"])
    until(lambda: d.lines(queue="more") == ["m"])
    until((place / "scanners").exists)
    assert set(d.ask("status")["queues"]) == {"more"}


def test_a_reload_says_that_processes_need_a_restart(daemon, file):
    d = daemon(file.url, MAIL, top=TWO).start()
    d.configure(MAIL, THREE)
    assert "! processes: 2 -> 3 (needs a restart of the daemon)" in d.cli("plan").stdout
    assert d.ask("reload")["needs_restart"] == ["processes"]
    assert len(children_of(d)) == 2


def test_a_reload_is_refused_for_a_scanner_that_no_child_can_import(daemon, file, place):
    d = daemon(file.url, MAIL, top=TWO).start()
    d.configure(MAIL + 'scanners = ["nowhere:scan"]\n', TWO)
    refused = d.cli("reload")
    assert refused.returncode == 1
    assert f"{d.config}:" in refused.stderr
    assert "queues.mail.scanners[0]: expected a module to import, got 'nowhere'" in refused.stderr
    (place / "nowhere.py").write_text("async def scan(queue, *, backend, interval): ...\n")
    assert d.ask("reload")["generation"] == 2


def test_an_application_that_cannot_be_imported_is_a_configuration_error(daemon, file, place):
    (place / "broken.py").write_text("raise RuntimeError('not today')\n")
    alone = daemon(file.url, MAIL, tasks=["broken"])
    alone.start(ready=False)
    assert alone.wait() == 78
    d = daemon(file.url, MAIL, tasks=["broken"], top=TWO)
    d.start(ready=False)
    assert d.wait() == 78
    assert d.stderr == alone.stderr.replace(":2:", ":2:")


def test_a_store_in_memory_is_refused(daemon):
    d = daemon("memory://x", MAIL, top=TWO)
    checked = d.cli("check")
    assert checked.returncode == 78
    assert checked.stderr == (
        f"{d.config}:5: processes: expected 1, or a store that processes can share,"
        " got 2 with 'memory://x', which one process has for itself\n"
    )


# ---------------------------------------------------------------------- what hangs

ENDLESS = 'scanners = ["endless:scan"]\n'
IMPATIENT = "from asyncmqd.daemon import queue_processes\nqueue_processes.IMPORT_LIMIT = 0.2\n"


def test_a_scanner_that_hangs_while_imported_keeps_out_no_later_reload(daemon, file, place):
    (place / "impatient.py").write_text(IMPATIENT)
    (place / "endless.py").write_text(SLOW)
    (place / "inbox.py").write_text(SCANNER)
    (place / "wait").touch()
    d = daemon(file.url, MAIL, tasks=["impatient", "ledger"], top=TWO).start()
    for _ in range(8):  # more than a small pool of threads has
        d.configure(MAIL + ENDLESS, TWO)
        refused = d.cli("reload")
        assert "scanners[0]: expected a scanner, got 'endless:scan', which is not" in refused.stderr
    d.configure(MAIL + 'scanners = ["inbox:scan"]\n', TWO)
    assert d.ask("reload")["generation"] == 2
    until((place / "scanners").exists)
    assert not d.all("process.restarting")


def test_a_frozen_child_keeps_no_reload_that_brings_no_scanner(daemon, file, place):
    (place / "inbox.py").write_text(SCANNER)
    scanning = 'scanners = ["inbox:scan"]\n'
    d = daemon(file.url, MAIL + scanning, top=TWO).start()  # without a watchdog nobody replaces it
    frozen, other = children_of(d)
    file.freeze(frozen)
    d.configure(MAIL.replace("10", "20") + scanning, TWO)
    assert d.ask("reload")["generation"] == 2, "which it would not within the limit of `ask`"
    file.add("mail", "hold", [f"{n}" for n in range(20)])
    until(lambda: runners(d)[other] == 10)
    os.kill(frozen, signal.SIGCONT)
    until(lambda: runners(d)[frozen] == 10)


PATIENCE = "import asyncmqd.daemon.children.pool as c; c.PREPARE_LIMIT = 1.0; "


def test_a_frozen_child_keeps_no_scanner_from_the_others(daemon, file, place):
    (place / "inbox.py").write_text(SCANNER)
    boot = PATIENCE + "from asyncmqd.cli.asyncmqd import main; main()"
    d = daemon(file.url, MAIL, top=TWO, command=(sys.executable, "-c", boot)).start()
    first, second = children_of(d)
    file.freeze(first)
    d.configure(MAIL + 'scanners = ["inbox:scan"]\n', TWO)
    assert d.ask("reload")["generation"] == 2
    os.kill(first, signal.SIGCONT)
    until((place / "scanners").exists)
    assert children_of(d) == [first, second]


def test_a_scanner_that_ends_every_process_is_refused(daemon, file, place):
    (place / "deadly.py").write_text("import os; os._exit(3)\n")
    d = daemon(file.url, MAIL, top=TWO).start()
    d.configure(MAIL + 'scanners = ["deadly:scan"]\n', TWO)
    refused = d.cli("reload")
    assert refused.returncode == 1
    assert "expected a scanner, got 'deadly:scan', at which every process" in refused.stderr
    d.wait_for("process.started", count=4)
    assert len(d.all("process.ended")) == 2
