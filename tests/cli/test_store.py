"""`asyncmq store`, and which store a command works on."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Operator
from tests.servers import USUAL, RedisServer, free_port

SECRET = "s3cr3t"


def test_info_counts_jobs_and_warns(asyncmq: Operator, store_url: str) -> None:
    asyncmq("enqueue", "t", "-q", "one")
    asyncmq("enqueue", "t", "-q", "two", "--delay", "1h")
    info = asyncmq("store", "info", "--json").json
    assert (info["url"], info["queues"], info["workers"]) == (store_url, 2, 0)
    assert (info["jobs"]["waiting"], info["jobs"]["delayed"], info["jobs"]["active"]) == (1, 1, 0)
    # This Redis keeps no append-only file, and an operator should hear of it.
    concerned = any("appendonly" in warning for warning in info["warnings"])
    assert concerned is store_url.startswith("unix:")
    shown = asyncmq("store", "info").out
    assert store_url in shown
    assert ("appendonly" in shown) is concerned


def test_no_secret_is_shown(run: Operator, tmp_path: Path) -> None:
    options = {"requirepass": SECRET}
    with RedisServer(USUAL, tmp_path, tcp=True, options=options) as server:
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
        for arguments in (["store", "info"], ["store", "info", "--json"]):
            answer = run("--backend", url, *arguments)
            assert (answer.code, SECRET in answer.out) == (0, False)
        wrong = run("--backend", url.replace(SECRET, f"{SECRET}-wrong"), "queue", "list")
        assert (wrong.code, SECRET in wrong.err) == (1, False)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://user:{SECRET}@localhost:port/0",
        f"redis://user:x/{SECRET}@localhost:6379/0",
        f"mysql://user:x/{SECRET}@localhost/jobs",
        f"redis://user:{SECRET}@localhost:6379/0?nope=1",
        f"redis://user:{SECRET}@/0/1",
    ],
)
def test_a_url_that_names_no_store_is_refused_without_its_secret(
    run: Operator, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    typed = run("--backend", url, "queue", "list")
    monkeypatch.setenv("ASYNCMQD_BACKEND", url)
    configured = run("queue", "list")
    assert (typed.code, configured.code) == (2, 78)
    assert typed.err == configured.err
    assert typed.err.count("\n") == 1
    assert SECRET not in typed.err


def test_a_store_that_cannot_be_reached_is_one_line(run: Operator) -> None:
    answer = run("--backend", f"redis://:{SECRET}@127.0.0.1:{free_port()}", "queue", "list")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("asyncmq: store: redis://***@127.0.0.1")
    assert answer.err.count("\n") == 1


def test_memory_is_no_store_for_a_command(run: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--backend", "memory://", "enqueue", "t").code == 2
    monkeypatch.setenv("ASYNCMQD_BACKEND", "memory://")
    answer = run("enqueue", "t")
    assert (answer.code, answer.out) == (78, "")
    assert "expected a store that processes share" in answer.err


# ---------------------------------------------------------------------- which store


@pytest.fixture
def store_with(run: Operator, tmp_path: Path) -> Callable[[str], str]:
    """Makes a store that holds one job of the given id; its URL."""

    def make(id: str) -> str:
        url = f"sqlite://{tmp_path}/{id}.db"
        assert run("--backend", url, "enqueue", "t", "--id", id).code == 0
        return url

    return make


def only_job(run: Operator, *options: str) -> str:
    [job] = run(*options, "job", "list", "--json").json
    return job["id"]


def test_options_win_over_the_environment_and_urls_over_files(
    run: Operator,
    store_with: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncmqd.client.connection.CONFIG_FILE", tmp_path / "usual.toml")
    for name in ("usual", "named", "typed"):
        file = tmp_path / f"{name}.toml"
        file.write_text(f'backend = "{store_with(f"in-{name}")}"\n[queues.mail]\n')
    assert only_job(run) == "in-usual"
    monkeypatch.setenv("ASYNCMQD_CONFIG", str(tmp_path / "named.toml"))
    assert only_job(run) == "in-named"
    monkeypatch.setenv("ASYNCMQD_BACKEND", store_with("by-environment"))
    assert only_job(run) == "by-environment"
    typed = ("--config", str(tmp_path / "typed.toml"))
    assert only_job(run, *typed) == "in-typed"
    assert only_job(run, *typed, "--backend", store_with("by-option")) == "by-option"


def test_drop_ins_count_as_they_do_for_the_daemon(
    run: Operator, store_with: Callable[[str], str], tmp_path: Path
) -> None:
    file = tmp_path / "queues.toml"
    file.write_text(f'backend = "{store_with("main")}"\n')
    folder = tmp_path / "queues.d"
    folder.mkdir()
    (folder / "10-site.toml").write_text(f'backend = "{store_with("drop-in")}"\n')
    assert only_job(run, "--config", str(file)) == "drop-in"


def test_no_store_configured_is_code_78(
    run: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncmqd.client.connection.CONFIG_FILE", tmp_path / "none.toml")
    answer = run("queue", "list")
    assert (answer.code, answer.out) == (78, "")
    assert answer.err.startswith("asyncmq: no store is configured: expected --backend URL")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "1: toml: expected a readable file, got no such file or directory"),
        ("", "1: toml: expected a configuration, got an empty file"),
        ("backend = \n", "1: backend: expected a value in TOML"),
        ("[queues.mail]\n", "1: backend: expected the URL of a store, got none"),
        ("backend = 7\n", "1: backend: expected the URL of a store, got none"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_code_78(
    run: Operator, tmp_path: Path, text: str | None, expected: str
) -> None:
    file = tmp_path / "queues.toml"
    if text is not None:
        file.write_text(text)
    answer = run("--config", str(file), "queue", "list")
    assert (answer.code, answer.out) == (78, "")
    assert answer.err.startswith(f"asyncmq: {file}:{expected}")


# ---------------------------------------------------------------------- backup


def test_backup_of_sqlite_is_a_store_of_its_own(run: Operator, tmp_path: Path) -> None:
    url, copy = f"sqlite://{tmp_path}/jobs.db", tmp_path / "copy.db"
    run("--backend", url, "enqueue", "t", "--id", "saved")
    answer = run("--backend", url, "store", "backup", str(copy))
    assert (answer.code, answer.out) == (0, f"{copy} written\n")
    run("--backend", url, "job", "remove", "saved")
    assert only_job(run, "--backend", f"sqlite://{copy}") == "saved"
    with sqlite3.connect(copy) as check:
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def test_backup_overwrites_nothing(run: Operator, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    answer = run("--backend", f"sqlite://{tmp_path}/jobs.db", "store", "backup", str(precious))
    assert (answer.code, precious.read_text()) == (1, "mine")
    assert answer.err == f"asyncmq: {precious}: expected a file that is not there yet\n"


def test_backup_into_nowhere_is_one_line(run: Operator, tmp_path: Path) -> None:
    target = tmp_path / "no" / "such" / "directory"
    answer = run("--backend", f"sqlite://{tmp_path}/jobs.db", "store", "backup", str(target))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1


def test_backup_of_a_server_is_the_servers_business(
    run: Operator, tmp_path: Path, server: Callable[[str], RedisServer]
) -> None:
    answer = run("--backend", server(USUAL).url, "store", "backup", str(tmp_path / "x"))
    assert answer.code == 1
    assert "expected a store on sqlite:///path" in answer.err


BACKUP = """
import signal, sys, threading, time
from types import SimpleNamespace
from asyncmqd.backends.sqlite import backup, store

class Slow(threading.Event):
    def is_set(self):
        print("a part is written", flush=True)
        self.wait(60.0)
        return super().is_set()

backup._PAGES = 1
store.threading = SimpleNamespace(Event=Slow)
signal.signal(signal.SIGINT, getattr(signal, sys.argv[3]))
sys.argv = ["asyncmq", "--backend", sys.argv[1], "store", "backup", sys.argv[2]]
from asyncmqd.cli.asyncmq import main
main()
"""


@pytest.mark.parametrize(
    ("number", "interrupts"),
    [
        (signal.SIGTERM, "default_int_handler"),
        (signal.SIGTERM, "SIG_IGN"),  # as shells start what goes on in the background
        (signal.SIGINT, "default_int_handler"),
    ],
)
def test_a_backup_that_is_ended_leaves_no_unfinished_copy(
    run: Operator, tmp_path: Path, number: signal.Signals, interrupts: str
) -> None:
    """It may have the size of the store, and the next one to that file would be refused."""
    url, copies = f"sqlite://{tmp_path}/jobs.db", tmp_path / "copies"
    assert run("--backend", url, "enqueue", "t").code == 0
    copies.mkdir()
    command = [sys.executable, "-c", BACKUP, url, str(copies / "copy.db"), interrupts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert list(copies.iterdir())
        process.send_signal(number)
        assert process.wait() != 0
    assert list(copies.iterdir()) == []
