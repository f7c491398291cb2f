"""`asyncmq worker`: the list, and a worker of one's own as a real process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncmqd.backends.factory import open_backend
from tests.cli.conftest import Operator, ServingWorker
from tests.eventually import eventually
from tests.otlp import collecting
from tests.scale import scaled
from tests.servers import USUAL, free_port

Starter = Callable[..., ServingWorker]
# For what a worker does alike on all stores.
ONE_STORE = pytest.mark.parametrize(
    "store_url", scaled(["sqlite"], ["sqlite", USUAL]), indirect=True
)


async def test_list_shows_who_serves_what(
    worker: Starter, store_url: str, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    serving = worker("--concurrency", "7")
    store = open_backend(store_url)
    await eventually(store.workers)
    await store.close()
    listed, _ = spawn("worker", "list").communicate()
    heading, row = (line.split() for line in listed.splitlines())
    assert heading == ["WORKER", "HOST", "PID", "STARTED", "SEEN", "QUEUES"]
    assert row[2] == str(serving.process.pid)
    assert row[5] == "mail:0/7"


def test_list_of_nobody(asyncmq: Operator) -> None:
    assert asyncmq("worker", "list", "--json").json == []


@pytest.mark.parametrize(
    ("store_url", "signum"),
    scaled(
        [(USUAL, signal.SIGTERM), ("sqlite", signal.SIGINT)],
        [(url, signum) for url in ("sqlite", USUAL) for signum in (signal.SIGTERM, signal.SIGINT)],
    ),
    indirect=["store_url"],
)
def test_a_signal_lets_running_jobs_finish(
    asyncmq: Operator, worker: Starter, signum: signal.Signals
) -> None:
    serving = worker()
    id = asyncmq("enqueue", "shop.sleep", "-q", "mail", "--args", "[0.3]").out.strip()
    assert serving.wait_for("asleep")["job_id"] == id  # prints carry their job
    assert serving.end(signum) == 0
    job = asyncmq("job", "show", id, "--json").json
    assert (job["state"], job["result"]) == ("completed", "awake")
    assert asyncmq("worker", "list", "--json").json == []


@ONE_STORE
def test_the_drain_ends_and_hands_back(asyncmq: Operator, worker: Starter) -> None:
    serving = worker("--drain-timeout", "20ms")
    id = asyncmq("enqueue", "shop.sleep", "-q", "mail", "--args", "[600]").out.strip()
    serving.wait_for("asleep")
    assert serving.end(signal.SIGTERM) == 0
    job = asyncmq("job", "show", id, "--json").json
    assert (job["state"], job["attempt"]) == ("waiting", 1)


@ONE_STORE
def test_the_otel_of_the_configuration_is_that_of_the_worker(
    run: Operator,
    spawn: Callable[..., subprocess.Popen[str]],
    store_url: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "queues.toml"
    start = ("--config", str(file), "worker", "start", "mail", "--tasks", "shop")
    with collecting() as collector:
        table = f'[otel]\nexporter_otlp_endpoint = "{collector.url}"\nservice_name = "shop"\n'
        file.write_text(f'backend = "{store_url}"\n{table}')
        serving = ServingWorker(spawn(*start, "--log-format", "json"))
        serving.wait_for("queue.started")
        enqueue = ("enqueue", "shop.length", "-q", "mail", "--args", '["abc"]', "--wait")
        id = run("--config", str(file), *enqueue).out.splitlines()[0]
        assert serving.end(signal.SIGTERM) == 0  # it sends them before
        (span,) = collector.spans
    assert (span.name, span.attributes["messaging.message.id"]) == ("run mail", id)
    assert span.resource["service.name"] == "shop"
    file.write_text(f'backend = "{store_url}"\n[otel]\nservice_nam = "shop"\n')
    out, err = spawn(*start).communicate()
    assert out == ""
    assert f"{file}:3: otel.service_nam: expected a known key (did you mean service_name?)" in err


@ONE_STORE
def test_the_payload_limit_of_the_configuration_is_that_of_the_worker(
    run: Operator,
    spawn: Callable[..., subprocess.Popen[str]],
    store_url: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "queues.toml"
    file.write_text(f'backend = "{store_url}"\npayload_limit = 400_000\n')
    start = ("worker", "start", "mail", "--tasks", "shop", "--log-format", "json")
    ServingWorker(spawn("--config", str(file), *start)).wait_for("queue.started")
    enqueue = ("enqueue", "shop.length", "-q", "mail", "--wait")
    answer = run("--config", str(file), *enqueue, "--args", json.dumps(["x" * 300_000]))
    assert answer.out.splitlines()[1:] == ["300000"], answer


@ONE_STORE
def test_a_second_signal_hands_back_at_once(asyncmq: Operator, worker: Starter) -> None:
    serving = worker("--drain-timeout", "10m")
    id = asyncmq("enqueue", "shop.sleep", "-q", "mail", "--args", "[600]").out.strip()
    serving.wait_for("asleep")
    serving.process.send_signal(signal.SIGTERM)
    serving.wait_for("daemon.draining")
    assert serving.end(signal.SIGINT) == 0
    assert asyncmq("job", "show", id, "--json").json["state"] == "waiting"


@ONE_STORE
def test_two_signals_at_once_are_two(asyncmq: Operator, worker: Starter) -> None:
    serving = worker("--drain-timeout", "10m")
    asyncmq("enqueue", "shop.sleep", "-q", "mail", "--args", "[600]")
    serving.wait_for("asleep")
    serving.process.send_signal(signal.SIGSTOP)  # so that it finds both
    serving.process.send_signal(signal.SIGTERM)
    serving.process.send_signal(signal.SIGINT)
    assert serving.end(signal.SIGCONT) == 0


@ONE_STORE
def test_a_worker_paused_by_rate_worker_stops_at_once(asyncmq: Operator, worker: Starter) -> None:
    serving = worker("--rate-limit", "0")
    id = asyncmq("enqueue", "shop.add", "-q", "mail", "--args", "[1]").out.strip()
    assert serving.end(signal.SIGTERM) == 0
    assert asyncmq("job", "show", id, "--json").json["state"] == "waiting"


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("no.such.module", "ModuleNotFoundError: No module named 'no'"),
        ("./shop.py", "TypeError"),
        ("broken", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_code_78(
    asyncmq: Operator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    reason: str,
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    answer = asyncmq("worker", "start", "mail", "--tasks", module)
    assert (answer.code, answer.out) == (78, "")
    assert answer.err.startswith(f"asyncmq: --tasks {module}: expected a module")
    assert reason in answer.err


def test_nothing_is_imported_from_a_directory_in_which_everybody_puts_files(
    asyncmq: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')\n")
    tmp_path.chmod(0o1777)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    answer = asyncmq("worker", "start", "mail", "--tasks", "planted")
    assert answer.code == 78
    assert answer.err == (
        "asyncmq: --tasks: expected a directory that not everybody can write,"
        f" got {tmp_path} of mode 1777\n"
    )


def test_a_store_that_is_away_at_the_start_is_code_1(
    spawn: Callable[..., subprocess.Popen[str]],
) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    process = spawn("--backend", url, "worker", "start", "mail", "--tasks", "shop")
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert err.startswith(f"asyncmq: store: {url}")
    assert err.count("\n") == 1
