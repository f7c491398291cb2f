"""What the code of a job finds as its standard streams, and where it goes that is written there."""

from __future__ import annotations

import os
import sys

import pytest

from asyncmqd.domain.codec import decode
from tests.daemon.family import TWO
from tests.daemon.harness import Store

PRINTED = ("wrapper", "codec", "handler", "first stream", "ö", "bar 100%", "parts", "click", "rich")


@pytest.mark.parametrize("name", ["use", "use_thread", "use_process"])
def test_a_job_s_streams_are_whole_and_its_programs_are_heard(daemon, file: Store, name):
    d = daemon(file.url, "[queues.mail]\n", tasks=["streams"]).start()
    file.add("mail", name, [name])
    d.wait_for("job.completed", job_id=name)
    d.wait_for("by number")
    assert d.stop() == 0
    assert "by" not in d.stderr.split()
    of_job = [e["event"] for e in d.events if e.get("job_id") == name and e["queue"] == "mail"]
    printed = [line[3:] for line in of_job if line.startswith("by ") and line != "by number"]
    assert tuple(printed) == PRINTED
    assert {"program told", "error told", "the end"} <= set(of_job)
    assert of_job.count("x" * 9_000) == 300
    anybody = {e["event"]: e.get("job_id") for e in d.events}
    # Whose job it is can be told of a descriptor where a process runs one job at a time.
    known = name if name == "use_process" else None
    for line in ("program inherits", "by number"):
        assert anybody[line] == known
    result = decode(file.get("mail", name).result)
    assert result == ["utf-8", False, True, False, "<stdout>"]


@pytest.mark.parametrize(
    ("end", "top"), [("os.pipe()", ""), ("(x.detach() for x in socket.socketpair())", TWO)]
)
def test_a_standard_error_that_nobody_reads_any_more_ends_no_program(daemon, file: Store, end, top):
    """So it is after journald was stopped and started. Nor does one read what we were given."""
    dead = f"import os, socket, sys; r, w = {end}; os.dup2(w, 2); os.close(r); os.close(w);"
    dead += "os.dup2(os.open('/dev/zero', 0), 0);"
    start = f"{dead} os.execv(sys.executable, [sys.executable, '-m', 'asyncmqd', *sys.argv[1:]])"
    command = (sys.executable, "-c", start)
    d = daemon(file.url, "[queues.mail]\n", top=top, tasks=["streams"], command=command).start()
    file.add("mail", "complain", ["job"])
    d.wait_for("job.completed", job_id="job")
    assert decode(file.get("mail", "job").result) == ""
    assert d.stop() == 0


def test_a_child_s_last_words_are_its_job_s(daemon, file: Store):
    d = daemon(file.url, "[queues.mail]\n", tasks=["streams"]).start()
    file.add("mail", "crash_process", ["a"])
    d.wait_for("job.quarantined")
    d.wait_for("Fatal Python error: Segmentation fault", job_id="a", stream="stderr")
    assert d.all("imported")
    assert d.stop() == 0


def test_a_number_that_code_keeps_leads_into_no_file_of_others(daemon, file: Store, place):
    os.mkfifo(place / "gate")
    d = daemon(file.url, "[queues.mail]\n", tasks=["streams"]).start()
    file.add("mail", "outlives", ["a"])
    d.wait_for("job.completed", job_id="a")
    number = decode(file.get("mail", "a").result)
    file.add("mail", "writes", ["b"], number)
    assert "job_id" not in d.wait_for("to an old number")
    with (place / "gate").open("w") as gate:
        gate.write("\n")
    assert d.wait_for("late")["job_id"] == "a"
    assert d.stop() == 0


def test_a_daemon_with_children_hears_programs_too(daemon, file: Store):
    d = daemon(file.url, "[queues.mail]\n", tasks=["streams"], top="processes = 2\n").start()
    file.add("mail", "use", ["a"])
    d.wait_for("job.completed", job_id="a")
    d.wait_for("the end", job_id="a")
    d.wait_for("by number")
    assert d.stop() == 0
    marks = file.do(lambda store: store.marks())
    assert [bool(each.mark.code) for each in marks if each.mark.kind == "started"] == [True]


def test_a_forked_child_leaves_the_job_s_pipes_to_its_parent(daemon, file: Store):
    d = daemon(file.url, "[queues.mail]\n", tasks=["streams"]).start()
    file.add("mail", "forks", ["a"])
    d.wait_for("job.completed", job_id="a")
    assert d.all("by fork", job_id="a")
    assert decode(file.get("mail", "a").result) == 0
    assert d.stop() == 0
    assert d.stderr == ""
