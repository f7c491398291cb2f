"""A configuration that cannot be used: exit 78, the place, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from asyncmqd import __version__
from asyncmqd.cli.asyncmqd import main
from tests.daemon.harness import Store

MAIL = "[queues.mail]\nconcurrency = 3\n"


def _refused(d) -> list[str]:
    """The lines that `run` and `check --import` agree on."""
    d.start(ready=False)
    assert d.wait() == 78
    assert not d.all("daemon.ready")
    checked = d.cli("check", "--import")
    assert checked.returncode == 78
    assert checked.stderr == d.stderr
    assert "Traceback" not in d.stderr
    return d.stderr.splitlines()


def test_all_errors_at_once_with_their_places(daemon):
    d = daemon("memory://x", "[queues.mail]\nconcurrency = 0\nrate_limt = 3\n[queues.Bad]\n")
    text = d.config.read_text().splitlines()
    errors = _refused(d)
    assert len(errors) == 3
    line = text.index("concurrency = 0") + 1
    assert errors[0].startswith(f"{d.config}:{line}: queues.mail.concurrency: expected ")
    assert errors[1].startswith(f"{d.config}:{line + 1}: queues.mail.rate_limt: expected ")
    assert errors[2].startswith(f"{d.config}:{line + 2}: queues.Bad: expected ")


def test_a_file_that_is_not_there(daemon):
    d = daemon("memory://x", MAIL)
    d.config.unlink()
    assert _refused(d) == [
        f"{d.config}:1: toml: expected a readable file, got no such file or directory"
    ]


BROKEN_MODULES = {
    "absent": (None, "ModuleNotFoundError: No module named 'absent'"),
    "raising": ("x = 1\nx / 0\n", "ZeroDivisionError: division by zero ({path}:2)"),
    "leaving": ("import sys\nsys.exit(3)\n", "SystemExit: 3 ({path}:2)"),
    "garbled": ("def f(:\n", "SyntaxError: invalid syntax ({path}:1)"),
    "misspelt": (
        "from asyncmqd import task\n@task(unique=True, on_conflict='replce')\ndef f(): ...\n",
        (
            "ValueError: on_conflict: expected 'existing', 'replace', 'push' or 'again', got"
            " 'replce' ({path}:2)"
        ),
    ),
    "unfitting": (
        "from asyncmqd import task\n@task(key='custmer')\ndef f(customer): ...\n",
        (
            "ValueError: task unfitting.f: key: expected a parameter of the function (customer),"
            " got 'custmer' (did you mean customer?) ({path}:2)"
        ),
    ),
}


@pytest.mark.parametrize("name", BROKEN_MODULES)
def test_a_task_module_that_cannot_be_imported(daemon, place, name):
    text, reason = BROKEN_MODULES[name]
    path = place / f"{name}.py"
    if text is not None:
        path.write_text(text)
    d = daemon("memory://x", MAIL, tasks=["ledger", name])
    (error,) = _refused(d)
    expected = f"{d.config}:2: tasks[1]: expected a module to import, got {name!r}:"
    assert error == f"{expected} {reason.format(path=path)}"
    assert d.cli("check").returncode == 0, "check must not import without --import"


def test_a_scanner_that_is_none_is_found_where_it_was_written(daemon, place):
    d = daemon("memory://x", '[defaults]\nscanners = ["ledger:nothing"]\n' + MAIL)
    line = d.config.read_text().splitlines().index("[defaults]") + 2
    (error,) = _refused(d)
    place_of = f"{d.config}:{line}: queues.mail.scanners[0]"
    assert error == f"{place_of}: expected an async function, got 'ledger:nothing', which is none"


def test_a_module_named_by_the_environment(daemon):
    d = daemon("memory://x", MAIL, environ={"ASYNCMQD_TASKS": '["absent"]'})
    (error,) = _refused(d)
    assert error.startswith("ENV:ASYNCMQD_TASKS: tasks[0]: expected a module to import, got")


def test_a_misspelt_variable(daemon):
    d = daemon("memory://x", MAIL, environ={"ASYNCMQD_LOG_LEVL": "debug"})
    (error,) = _refused(d)
    assert error.startswith("ENV:ASYNCMQD_LOG_LEVL: ")


def test_check_has_no_side_effects(daemon, place):
    d = daemon(f"sqlite://{place}/never/jobs.db", MAIL, tasks=["witness"])
    (place / "witness.py").write_text("open('imported', 'w')\n")
    before = sorted(os.listdir(place))
    done = d.cli("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{d.config}: ok, 1 queue\ntasks and scanners were not imported: --import imports them\n"
    )
    assert sorted(os.listdir(place)) == before


def test_check_tells_the_next_two_instants_of_each_schedule(daemon):
    nightly = 'task = "t"\nname = "nightly"\ncron = "0 3 * * *"\ntimezone = "Asia/Tokyo"\n'
    table = "[[queues.mail.repeatables]]\n"
    d = daemon("memory://x", f'{MAIL}{table}{nightly}{table}task = "tick"\nevery = 60\n')
    *_, first, second = d.cli("check").stdout.splitlines()
    label, _, times = first.partition(": next ")
    moments = [datetime.fromisoformat(each) for each in times.split(", ")]
    assert label == "schedule mail/nightly"
    assert [each.isoformat()[10:] for each in moments] == ["T03:00:00+09:00"] * 2
    assert moments[1] - moments[0] == timedelta(days=1)
    assert second.startswith("schedule mail/tick: next 20")


def test_the_version_and_a_wrong_command(daemon):
    d = daemon("memory://x", MAIL)
    assert d.cli("--version").stdout == f"asyncmqd {__version__}\n"
    assert d.cli("frobnicate").returncode == 2


def test_the_config_may_stand_before_or_after_or_in_the_environment(daemon, monkeypatch, capsys):
    d = daemon("memory://x", MAIL)
    for arguments, environ in (
        (["--config", str(d.config), "check"], {}),
        (["check", "--config", str(d.config)], {}),
        (["check"], {"ASYNCMQD_CONFIG": str(d.config)}),
        (["--config", str(d.config), "check"], {"ASYNCMQD_CONFIG": "/no/such/file"}),
        (["check", "--config", str(d.config)], {"ASYNCMQD_CONFIG": "/no/such/file"}),
    ):
        with monkeypatch.context() as patch:
            patch.delenv("ASYNCMQD_CONFIG", raising=False)
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["asyncmqd", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr().out
        assert (ended.value.code, said.splitlines()[0]) == (0, f"{d.config}: ok, 1 queue")


def test_without_a_command_it_is_the_daemon(daemon):

    d = daemon("memory://x", MAIL)
    command = [sys.executable, "-m", "asyncmqd", "--config", str(d.config)]
    with subprocess.Popen(command, env=d.environ, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if b"daemon.ready" in line:
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


LARGE = """
from asyncmqd import Queue, task

@task(name="large", executor="process")
def large(size):
    Queue("parked").add_sync("elsewhere", "x" * size)

@task(name="large_async", executor="process")
async def large_async(size):
    await Queue("parked").add("elsewhere", "x" * size)

@task(name="large_here")
async def large_here(size):
    await Queue("parked").add("elsewhere", "x" * size)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_what_jobs_enqueue_has_the_payload_limit_of_the_file(daemon, place, processes):
    (place / "large.py").write_text(LARGE)
    top = f"processes = {processes}\npayload_limit = "
    queues = MAIL + "retries = 0\n"
    store = Store(f"sqlite://{place}/jobs.db")
    d = daemon(store.url, queues, tasks=["ledger", "large"], top=f"{top}300_000\n").start()
    tasks = ("large", "large_async", "large_here")
    for time, limit in enumerate((300_000, 400_000, 200_000), 1):
        d.configure(queues, f"{top}{limit}\n")
        d.ask("reload")
        for task in tasks:
            store.add("mail", task, [f"{task}-{limit}"], limit - 1_000)
            store.add("mail", task, [f"{task}-{limit}-beyond"], limit)
        d.wait_for("job.completed", count=3 * time)
        d.wait_for("job.failed", count=3 * time)
    assert {e["job_id"].endswith("-beyond") for e in d.all("job.failed")} == {True}
    assert store.counts("parked").waiting == 9


def test_what_modules_enqueue_has_the_payload_limit_of_the_file(daemon, place):
    enqueues = "from asyncmqd import Queue\nQueue('parked').add_sync('elsewhere', 'x' * 299_000)\n"
    (place / "eager.py").write_text(enqueues)
    store = Store(f"sqlite://{place}/jobs.db")
    daemon(store.url, MAIL, tasks=["ledger", "eager"], top="payload_limit = 300_000\n").start()
    assert store.counts("parked").waiting == 1
