"""What a job's code does to end its program ends the job: the daemon and its other jobs go on."""

from __future__ import annotations

import pytest

from asyncmqd.domain.settle import decode_failure
from tests.daemon.harness import Daemon, Store, until

QUEUES = "[queues.mail]\nconcurrency = 20\n"
ERRORS = {
    "wait_for": "SystemExit",
    "gather": "SystemExit",
    "group": "SystemExit",
    "waited": "SystemExit",
    "background": "SystemExit",
    "interrupt": "KeyboardInterrupt",
    "stop_loop": "RuntimeError",
    "cancel_itself": "CancelledError",
}
RESULTS = {
    "handled": b'"exit 7"',
    "cancel_all": b'"cancelled"',
    "callback": b"",
    "left_behind": b"",
}


def _end_of(store: Store, name: str) -> str | bytes:
    """The type of its error, or its result."""
    until(lambda: store.get("mail", name).state.terminal)
    record = store.get("mail", name)
    failure = decode_failure(record.error)
    assert (record.attempt, record.crashes) == (2 if failure else 1, 0), (name, failure)
    return failure.type if failure is not None else record.result


def _started(daemon, store: Store, **options: object) -> Daemon:
    d: Daemon = daemon(store.url, QUEUES, tasks=("ledger", "exits"), **options)
    return d.start()


@pytest.mark.parametrize("top", ["", "processes = 2"], ids=["one process", "two"])
def test_no_way_to_exit_ends_the_daemon(daemon, file, top):
    d = _started(daemon, file, top=top)
    file.add("mail", "hold", ["innocent"])
    until(lambda: d.lines("began"))
    for name, end in {**ERRORS, **RESULTS}.items():
        file.add("mail", name, [name])
        assert _end_of(file, name) == end, name
    callback = d.wait_for("loop.interrupted", error="SystemExit: 3")
    assert "exception" in callback
    left = d.wait_for("loop.interrupted", error="SystemExit: 9")
    assert left["job_id"] == "left_behind"
    assert "sys.exit(9)" in left["exception"]
    assert len(d.all("loop.interrupted")) == 2, "all others are told by the job that failed"
    d.open_gate()
    until(lambda: d.lines() == ["innocent"])
    assert d.tally("began") == {"innocent": 1}
    assert d.stop() == 0
    assert d.stderr == ""


def test_nor_in_a_process_of_its_own(daemon, file):
    d: Daemon = daemon(
        file.url, '[queues.mail]\nexecutor = "process"\nconcurrency = 2\n', tasks=("exits",)
    )
    d.start()
    for name, end in ERRORS.items():
        file.add("mail", name, [name])
        assert _end_of(file, name) == end, name
    assert d.stop() == 0


def test_the_reason_is_kept(daemon, file):
    d = _started(daemon, file)
    for name in ("background", "cancel_itself"):
        file.add("mail", name, [name])
        _end_of(file, name)
    background = decode_failure(file.get("mail", "background").error)
    own = decode_failure(file.get("mail", "cancel_itself").error)
    assert background is not None
    assert background.message == "7"
    assert "sys.exit(7)" in background.traceback
    assert own is not None
    assert own.message == "the job cancelled itself"
    assert not d.all("job.released")


@pytest.mark.parametrize("top", ["", "processes = 2"], ids=["one process", "two"])
def test_what_is_registered_to_run_at_the_end_runs_in_all_processes(daemon, file, top):
    """Clients of Sentry and OpenTelemetry send there what they still hold."""
    d = daemon(file.url, QUEUES, tasks=("last_words",), top=top).start()
    for name in ("who", "who_else"):
        file.add("mail", name, [name])
    until(lambda: all(file.get("mail", name).state.terminal for name in ("who", "who_else")))
    pids = {int(file.get("mail", name).result) for name in ("who", "who_else")}
    assert len(pids) == 2
    assert d.stop() == 0
    assert all(len(d.all(f"last words of {pid}")) == 1 for pid in pids), d.events
