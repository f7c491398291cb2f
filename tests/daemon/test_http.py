"""[http]: real daemons that answer over HTTP, and what Prometheus reads of them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.http import address_of
from asyncmqd.config.load import load
from asyncmqd.daemon.http import _bind
from asyncmqd.domain.history import Period, minute_of
from tests.daemon.harness import Daemon, Store, until
from tests.servers import RedisServer, free_port

DOCS = Path(__file__).parents[2] / "docs"
Make = Callable[..., Daemon]


class Answer(NamedTuple):
    status: int
    text: str


class Client:
    """Asks one daemon."""

    def __init__(self, address: str | int, prefix: str = "") -> None:
        self.address, self.prefix = address, prefix

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", timeout=60)
        if isinstance(self.address, int):
            connection = http.client.HTTPConnection("127.0.0.1", self.address, timeout=60)
        else:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.address)
        try:
            connection.request(method, self.prefix + path, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        finally:
            connection.close()

    def metrics(self, **headers: str) -> dict[tuple[str, ...], float]:
        """All samples, by name and the values of their labels."""
        answer = self.get("/metrics", **headers)
        assert answer.status == 200, answer
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }


def section(listen: str | int, *more: str) -> str:
    where = f"127.0.0.1:{listen}" if isinstance(listen, int) else listen
    return "\n".join(["[http]", f'listen = "{where}"', *more, ""])


def test_what_a_daemon_says_of_itself(daemon: Make, store: Store) -> None:
    port = free_port()
    queues = (
        "[queues.mail]\nconcurrency = 2\nglobal_concurrency = 3\nkey_concurrency = 0\n"
        "[queues.web]\nrate_limit = 7\n"
    )
    d = daemon(store.url, section(port) + queues, top="max_concurrency = 5\n").start()
    client = Client(port)
    assert client.get("/healthz") == (200, "ok\n")
    assert client.get("/readyz") == (200, "ready\n")
    assert client.get("/nothing").status == 404
    store.add("mail", "mark", ["held back"], key="customer")
    closed = "asyncmqd_queue_closed_keys"
    until(lambda: client.metrics().get((closed, "mail")) == 1)
    store.add("mail", "mark", ["a", "b", "c"])
    until(lambda: store.counts("mail").completed == 3)
    store.do(lambda backend: backend.pause("mail", True, by="ann", reason="provider is down"))
    store.add("mail", "mark", ["d"])
    ran = ("asyncmqd_jobs_total", "completed", "mail", "mark")
    until(lambda: client.metrics().get(ran) == 3)  # a moment after the store has it
    found = client.metrics()
    assert found["asyncmqd_job_run_seconds_count", "mail", "mark"] == 3
    assert found["asyncmqd_queue_jobs", "mail", "waiting"] == 2
    assert found["asyncmqd_queue_paused", "mail"] == 1
    assert found["asyncmqd_queue_oldest_waiting_seconds", "mail"] > 0
    assert found["asyncmqd_queue_slots", "mail"] == 2
    assert found["asyncmqd_limit", "rate_limit", "web"] == 7
    assert found["asyncmqd_global_limit", "global_concurrency", "mail"] == 3
    assert found["asyncmqd_slots",] == 5
    assert found["asyncmqd_queue_waits_for_slot", "web"] == 0
    assert (closed, "web") not in found
    assert found["asyncmqd_store_up",] == found["asyncmqd_ready",] == 1
    assert ("asyncmqd_loop_lag_seconds", "1") in found
    until(lambda: "paused" in client.get("/readyz").text)
    ready = client.get("/readyz")
    assert ready.status == 200  # it does its work: somebody wanted the pause
    assert ready.text.startswith("mail: Queue mail is paused since ")
    assert ready.text.endswith("[asyncmq queue resume mail]\n")
    assert d.stop() == 0


def test_one_scrape_is_the_sum_of_all_processes_also_after_a_death(
    daemon: Make, file: Store
) -> None:
    port = free_port()
    queues = "[queues.mail]\nrate_limit = 1000\nglobal_concurrency = 50\nkey_concurrency = 5\n"
    top = "processes = 2\nmax_concurrency = 20\n"
    d = daemon(file.url, section(port) + queues, top=top).start()
    client = Client(port)
    ran = ("asyncmqd_jobs_total", "completed", "mail", "mark")

    def run(ids: list[str]) -> None:
        done = file.counts("mail").completed
        file.add("mail", "mark", ids)
        until(lambda: file.counts("mail").completed == done + len(ids))

    for round_ in range(4):
        run([f"{round_}-{number}" for number in range(10)])
    until(lambda: client.metrics()[ran] == 40)  # a moment after the store has it
    [one, _] = d.ask("status")["processes"]
    os.kill(one["pid"], signal.SIGKILL)
    d.wait_for("process.started", count=3)
    run(["last"])
    until(lambda: client.metrics()[ran] == 41)
    found = client.metrics()
    assert found["asyncmqd_process_restarts_total", "1"] == 1
    assert found["asyncmqd_process_up", "2"] == 1
    assert {key[1] for key in found if key[0] == "asyncmqd_loop_lag_seconds"} == {"1", "2"}
    assert d.stop() == 0
    series = {re.sub("_(bucket|sum|count)$", "", key[0]) for key in found}
    assert documented() == series


def documented() -> set[str]:
    """The metrics that the page has; rules and dashboard ask for no others."""
    page = (DOCS / "monitoring.md").read_text()
    table = page.partition("| metric (")[2].partition("\n\n")[0]
    names = {
        f"asyncmqd_{name}"
        for row in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    for file in (DOCS / "monitoring").iterdir():
        used = set(re.findall(r"asyncmqd_\w+", file.read_text()))
        assert {re.sub("_bucket$", "", each) for each in used} <= names, file
    return names


def test_a_socket_of_the_file_system(daemon: Make, file: Store, place: Path) -> None:
    path = place / "http.sock"
    d = daemon(file.url, section(f"unix:{path}", 'prefix = "/queues"') + "[queues.mail]\n").start()
    client = Client(str(path), "/queues")
    assert client.get("/healthz").status == 200
    assert Client(str(path)).get("/healthz").status == 404
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    d.kill()
    d.start()  # what the killed one has left behind is no obstacle
    assert client.get("/healthz").status == 200
    assert d.stop() == 0
    assert not path.exists()


def test_ready_means_that_the_store_answers(daemon: Make, server: RedisServer) -> None:
    port = free_port()
    d = daemon(server.url, section(port) + "[queues.mail]\n").start()
    client = Client(port)
    server.kill()
    d.wait_for("daemon.degraded")
    answer = client.get("/readyz")
    assert answer.status == 503
    assert answer.text.startswith("degraded: ")
    assert client.get("/healthz").status == 200  # a restart would mend nothing
    found = client.metrics()
    assert found["asyncmqd_store_up",] == found["asyncmqd_ready",] == 0
    assert ("asyncmqd_queue_jobs", "mail", "waiting") not in found  # not known, which is not 0
    server.start()
    until(lambda: client.get("/readyz").status == 200)


def test_a_daemon_that_drains_is_not_ready_and_ends_while_somebody_listens(
    daemon: Make, file: Store
) -> None:
    port = free_port()
    d = daemon(file.url, section(port) + "[queues.mail]\n").start()
    client = Client(port)
    file.add("mail", "hold", ["a"])
    until(lambda: d.lines("began"))
    idle = socket.create_connection(("127.0.0.1", port))
    d.signal(signal.SIGTERM)
    d.wait_for("daemon.draining")
    assert client.get("/readyz") == (503, "draining, 1 left\n")
    d.open_gate()
    began = time.monotonic()
    assert d.wait() == 0
    assert time.monotonic() - began < 30  # the open connection has 5 s, and may be a minute idle
    assert idle.recv(1) == b""
    idle.close()


def test_who_has_no_token_learns_nothing(daemon: Make, file: Store, place: Path) -> None:
    port, tokens = free_port(), place / "tokens"
    tokens.write_text(f"# who may look\nprom read {sha256(b'secret').hexdigest()}\n")
    keys = section(port, f'token_file = "{tokens}"').replace("127.0.0.1", "0.0.0.0")
    d = daemon(file.url, keys + "[queues.mail]\n").start()
    file.do(lambda backend: backend.pause("mail", True, by="ann", reason="x"))
    client, token = Client(port), {"Authorization": "Bearer secret"}
    until(lambda: "paused" in client.get("/readyz", **token).text)
    assert client.get("/readyz") == (200, "ready\n")
    assert client.get("/metrics").status == 401
    assert client.get("/metrics", Authorization="Bearer wrong").status == 401
    assert client.metrics(**token)["asyncmqd_queue_paused", "mail"] == 1
    refused = d.wait_for("http.refused")
    assert refused["address"] == "127.0.0.1"
    tokens.write_text(f"other read {sha256(b'other').hexdigest()}\n")  # no reload is needed
    assert client.get("/metrics", **token).status == 401
    assert client.get("/metrics", Authorization="Bearer other").status == 200
    tokens.chmod(0o666)  # anybody could let himself in
    assert client.get("/metrics", Authorization="Bearer other").status == 401
    assert "secret" not in str(d.events)


def test_commands_of_the_control_socket(daemon: Make, file: Store, place: Path) -> None:
    port, tokens = free_port(), place / "tokens"
    lines = (f"{role} {role} {sha256(role.encode()).hexdigest()}\n" for role in ("read", "operate"))
    tokens.write_text("".join(lines))
    keys = section(port, f'token_file = "{tokens}"')
    d = daemon(file.url, keys + "[queues.mail]\n").start()
    client = Client(port)
    reads = {"Authorization": "Bearer read"}
    status = json.loads(client.get("/api/v1/status", **reads).text)
    assert (status["ok"], status["result"]["pid"]) == (True, d.pid)
    assert json.loads(client.get("/api/v1/ping", **reads).text) == {"ok": True, "result": None}
    assert client.get("/api/v1/status").status == 401
    assert client.get("/api/v1/nothing", **reads).status == 404
    d.configure(keys + "[queues.mail]\nconcurrency = 3\n")
    plan = json.loads(client.get("/api/v1/plan", **reads).text)["result"]
    assert plan["lines"] == ["~ queue mail: concurrency: 10 -> 3"]
    assert client.get("/api/v1/reload", "POST", **reads).status == 403
    operates = {"Authorization": "Bearer operate"}
    assert client.get("/api/v1/reload", **operates).status == 405  # a link changes nothing
    done = client.get("/api/v1/reload", "POST", **operates)
    assert json.loads(done.text)["result"]["lines"] == plan["lines"]
    assert d.wait_for("http.operated")["by"] == "operate"
    d.configure("[queues.mail]\nconcurrency = -1\n")
    refused = client.get("/api/v1/reload", "POST", **operates)
    assert refused.status == 409
    assert "queues.mail.concurrency: expected" in json.loads(refused.text)["error"]


def test_history_over_http(daemon: Make, file: Store) -> None:
    port = free_port()
    daemon(file.url, section(port) + "[queues.mail]\n").start()
    client = Client(port)
    minute = minute_of(file.do(lambda backend: backend.now()))
    counted = Period(minute, [0, 3], [], [36, 3], [40, 3])
    file.do(lambda backend: backend.note({"mail": counted}, over=False))
    found = json.loads(client.get("/api/v1/queues/ma%69l/history?hours=2").text)
    [stretch] = found["result"]["stretches"]
    assert (stretch["started"], stretch["minutes"], stretch["run"]["number"]) == (3, 5, 3)
    assert json.loads(client.get("/api/v1/queues/mail/history").text)["ok"]
    for path, status in (("mail/history?hours=x", 400), ("mail/history?hours=49", 400)):
        answer = client.get(f"/api/v1/queues/{path}")
        assert (answer.status, "history: hours: expected" in answer.text) == (status, True)
    assert client.get("/api/v1/queues/nobody/history").status == 404
    assert client.get("/api/v1/queues/mail/history", "POST").status == 405


def test_nobody_operates_without_a_token_file(daemon: Make, file: Store) -> None:
    port = free_port()
    daemon(file.url, section(port) + "[queues.mail]\n").start()
    client = Client(port)
    assert client.get("/api/v1/status").status == 200
    assert client.get("/api/v1/reload", "POST").status == 403


def test_a_directory_that_is_not_there_is_told_before_a_start(daemon: Make, place: Path) -> None:
    d = daemon("memory://", section(f"unix:{place}/nosuch/http.sock") + "[queues.mail]\n")
    checked = d.cli("check")
    assert checked.returncode == 0  # it may still be made
    problem = "http.listen: expected a directory for the socket before the start, got"
    assert f"{problem} {place}/nosuch: none there" in checked.stderr
    d.configure(section(f"unix:{d.control}.http") + "[queues.mail]\n")
    assert d.cli("check").stderr == ""


def test_a_page_of_another_site_reads_nothing(daemon: Make, file: Store) -> None:
    port = free_port()
    keys = section(port, 'allowed_hosts = ["queues.example.org"]')
    daemon(file.url, keys + "[queues.mail]\n").start()
    client = Client(port)
    assert client.get("/metrics", Host="evil.example.org").status == 403
    assert client.get("/metrics", Host="queues.example.org").status == 200


def test_who_vanishes_without_a_word_is_noticed() -> None:
    """Else a laptop that was closed keeps its stream for a quarter of an hour."""
    port = free_port()
    with (
        _bind(address_of(f"127.0.0.1:{port}")) as listener,
        socket.create_connection(("127.0.0.1", port)),
        listener.accept()[0] as accepted,
    ):
        assert 0 < accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000


def test_a_port_that_is_taken_is_told(daemon: Make, file: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        d = daemon(file.url, section(port) + "[queues.mail]\n").start(ready=False)
        assert d.wait() == 1
    assert f"http.listen: cannot listen at 127.0.0.1:{port}" in d.all("daemon.failed")[0]["error"]


def test_other_keys_wait_for_a_restart(daemon: Make, file: Store) -> None:
    port = free_port()
    d = daemon(file.url, section(port) + "[queues.mail]\n").start()
    d.configure(section(port, 'prefix = "/queues"') + "[queues.mail]\nconcurrency = 3\n")
    assert "! http.prefix: unset -> /queues (needs a restart of the daemon)" in d.cli("plan").stdout
    assert d.ask("reload")["needs_restart"] == ["http.prefix"]
    assert Client(port).metrics()["asyncmqd_queue_slots", "mail"] == 3
    assert d.ask("status")["config"]["needs_restart"] == ["http.prefix"]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('listen = "9100"', "http.listen: expected 'host:port' or 'unix:/path', got '9100'"),
        ('listen = "a:99999"', "http.listen: expected 'host:port' or 'unix:/path', got 'a:99999'"),
        (
            'listen = "0.0.0.0:9100"',
            "http.listen: expected a token_file beside it, got '0.0.0.0:9100' alone, which",
        ),
        ('prefix = "queues/"', "http.prefix: expected a path like '/queues', without a slash at"),
        ('trusted_proxies = ["x"]', "http.trusted_proxies[0]: expected an address or a network"),
        ('token_file = "/nosuch"', "http.token_file: /nosuch: expected a file that can be read"),
        ('lisen = "x"', "http.lisen: expected a known key (did you mean listen?), got 'lisen'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, keys: str, problem: str) -> None:
    path = tmp_path / "queues.toml"
    path.write_text(f'backend = "memory://"\n[queues.mail]\n[http]\n{keys}\n')
    with pytest.raises(ConfigErrors) as caught:
        load(path, {})
    assert f"{path}:4: {problem}" in str(caught.value)


def test_a_spoilt_line_of_tokens_is_told_without_its_hash(tmp_path: Path) -> None:
    tokens, path = tmp_path / "tokens", tmp_path / "queues.toml"
    tokens.write_text("ann operate 12ab\n")
    text = f'backend = "memory://"\n[queues.mail]\n[http]\ntoken_file = "{tokens}"\n'
    path.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load(path, {})
    assert "got 4 other characters in line 1" in str(caught.value)
    assert "12ab" not in str(caught.value)
    tokens.write_text("# nobody yet\n\n")
    with pytest.raises(ConfigErrors, match=r"http.token_file: .*tokens: expected a name.* no line"):
        load(path, {})


def test_who_has_no_http_imports_nothing_of_it() -> None:
    """The cost of an idle daemon, and of a start, is what it was."""
    code = (
        "import asyncmqd.daemon.app, sys;"
        "print(sorted({'h11', 'asyncmqd.web', 'asyncmqd.daemon.http',"
        " 'asyncmqd.admin.causes', 'asyncmqd.observe.prometheus_text'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
