"""The rules and the dashboard in a real Prometheus, and each alert fired by its fault.

Times of the rules are a hundredth of what they are, so that nobody waits for minutes; else they
are the files that users copy.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.harness import Daemon, Store, until
from tests.daemon.test_causes import BREAKS
from tests.daemon.test_http import Client, section
from tests.prometheus.files import RULES, alerts, queries
from tests.servers import RedisServer, free_port

Make = Callable[..., Daemon]
MAIL = "[queues.mail]\n"
# Times and counts of a quarter of an hour, in seconds.
SHORTER = (("for: ", r"\d+m", "0s"), (r"\[", "15m", "15s"), ("offset ", "15m", "15s"))
CONFIG = """
global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: asyncmqd
    static_configs: [{{targets: {targets}}}]
"""


def shortened(rules: str) -> str:
    """The same rules with shorter times."""
    for before, long, short in SHORTER:
        rules = re.sub(f"({before}){long}", rf"\g<1>{short}", rules)
    return re.sub(r"> 300$", "> 3", rules, flags=re.MULTILINE)


class Prometheus:
    """A server of its own that asks some daemons, and looks at the rules."""

    def __init__(self, place: Path, ports: list[int], rules: str) -> None:
        self._port = free_port()
        directory = place / "prometheus"
        directory.mkdir()
        (directory / "rules.yml").write_text(rules)
        targets = [f"127.0.0.1:{port}" for port in ports]
        config = CONFIG.format(rules=directory / "rules.yml", targets=json.dumps(targets))
        (directory / "config.yml").write_text(config)
        self._process = subprocess.Popen(
            [
                os.environ["ASYNCMQD_TEST_PROMETHEUS"],
                f"--config.file={directory}/config.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--log.level=warn",
            ],
            stdout=sys.stderr,
        )
        until(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return bool(self.ask("rules")["groups"])
        except OSError:
            return False

    def ask(self, path: str, **arguments: str) -> Any:
        """What its API answers."""
        query = urllib.parse.urlencode(arguments)
        where = f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(where, timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        found = self.ask("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}

    def until_scraped(self, query: str) -> None:
        """Until a query has an answer."""
        until(lambda: self.ask("query", query=query)["result"])

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


Watch = Callable[..., Prometheus]


@pytest.fixture
def watch(place: Path) -> Iterator[Watch]:
    """Begins to watch daemons by their ports; nothing fires at first."""
    running: list[Prometheus] = []

    def begin(*ports: int, rules: str | None = None) -> Prometheus:
        written = shortened(RULES.read_text()) if rules is None else rules
        running.append(Prometheus(place, list(ports), written))
        running[-1].until_scraped("asyncmqd_ready")
        assert not running[-1].firing()
        return running[-1]

    yield begin
    for each in running:
        each.close()


class Scene:
    """A daemon, its store, and a Prometheus that watches it."""

    def __init__(self, make: Make, store: Store, watch: Watch, place: Path) -> None:
        self.make, self.store, self.watch, self.place = make, store, watch, place

    def begin(self, queues: str = MAIL, **options: Any) -> tuple[Daemon, Prometheus]:
        port = free_port()
        read = options.pop("read", True)
        d = self.make(self.store.url, section(port) + queues, **options).start(read=read)
        return d, self.watch(port)


@pytest.fixture
def scene(daemon: Make, file: Store, watch: Watch, place: Path) -> Scene:
    return Scene(daemon, file, watch, place)


def down(scene: Scene) -> Prometheus:
    d, prometheus = scene.begin()
    d.kill()
    return prometheus


def late(scene: Scene) -> Prometheus:
    d, prometheus = scene.begin(MAIL + "concurrency = 1\n")
    scene.store.add("mail", "hold", ["slow"])
    until(lambda: d.lines("began"))
    scene.store.add("mail", "mark", ["waits"])
    return prometheus


def paused(scene: Scene) -> Prometheus:
    _, prometheus = scene.begin()
    scene.store.do(lambda backend: backend.pause("mail", True, by="ann"))
    scene.store.add("mail", "mark", ["a"])
    return prometheus


def idle(scene: Scene) -> Prometheus:
    limit = "global_rate_limit = 1\nglobal_rate_interval = 3600\n"
    _, prometheus = scene.begin(MAIL + limit)
    scene.store.add("mail", "mark", ["a", "b"])
    return prometheus


def failing(scene: Scene) -> Prometheus:
    (scene.place / "broken_mail.py").write_text(BREAKS)
    _, prometheus = scene.begin(tasks=("ledger", "broken_mail"))
    # At once, by a task that has never run: a counter that begins with six.
    scene.store.add("mail", "breaks", [f"j{number}" for number in range(6)])
    return prometheus


def unknown(scene: Scene) -> Prometheus:
    _, prometheus = scene.begin()
    scene.store.add("mail", "marks", ["a"])
    return prometheus


def schedule_late(scene: Scene) -> Prometheus:
    often = '[[queues.mail.repeatables]]\ntask = "mark"\nevery = 1\n'
    one = scene.make(scene.store.url, MAIL + often, name="one").start()
    until(one.lines)
    one.kill()
    _, prometheus = scene.begin(name="two")
    return prometheus


def leases_lost(scene: Scene) -> Prometheus:
    lease = "lease = 1\n"
    other = scene.make(scene.store.url, MAIL, name="other", top=lease)
    d, prometheus = scene.begin(name="one", top=lease)
    ids = scene.store.add("mail", "hold", [f"j{number}" for number in range(8)])
    until(lambda: len(d.lines("began")) == len(ids))
    scene.store.freeze(d.pid)
    other.start()
    until(lambda: other.tally("began").total() >= 2 * len(ids))
    d.signal(signal.SIGCONT)
    return prometheus


def blocked(scene: Scene) -> Prometheus:
    d, prometheus = scene.begin()
    scene.store.add("mail", "block", ["a"])
    until(lambda: d.lines("began"))
    threading.Timer(2.0, d.open_gate).start()
    return prometheus


def restarts(scene: Scene) -> Prometheus:
    d, prometheus = scene.begin(top="processes = 2\n")
    for count in range(4):
        os.kill(d.ask("status")["processes"][0]["pid"], signal.SIGKILL)
        d.wait_for("process.started", count=3 + count)
    return prometheus


def dropped(scene: Scene) -> Prometheus:
    _, prometheus = scene.begin(read=False)
    scene.store.add("mail", "talk", [f"j{number}" for number in range(400)], 40_000)
    return prometheus


FAULTS: dict[str, Callable[[Scene], Prometheus]] = {
    "AsyncmqdDown": down,
    "AsyncmqdJobsLate": late,
    "AsyncmqdPausedWithBacklog": paused,
    "AsyncmqdBacklogWhileIdle": idle,
    "AsyncmqdJobsFail": failing,
    "AsyncmqdTaskUnknown": unknown,
    "AsyncmqdScheduleLate": schedule_late,
    "AsyncmqdLeasesLost": leases_lost,
    "AsyncmqdLoopBlocked": blocked,
    "AsyncmqdProcessRestarts": restarts,
    "AsyncmqdLogDropped": dropped,
}


@pytest.mark.parametrize("alert", FAULTS)
def test_an_alert_is_fired_by_its_fault(
    alert: str, scene: Scene, seen: Callable[[str], None]
) -> None:
    prometheus = FAULTS[alert](scene)
    until(lambda: alert in prometheus.firing())
    seen(f"{alert} fired")


def test_a_store_that_is_down_makes_the_daemon_not_ready(
    daemon: Make, server: RedisServer, watch: Watch
) -> None:
    port = free_port()
    daemon(server.url, section(port) + MAIL).start()
    prometheus = watch(port)
    server.kill()
    until(lambda: "AsyncmqdNotReady" in prometheus.firing())


def test_each_alert_has_its_fault() -> None:
    assert {*FAULTS, "AsyncmqdNotReady"} == set(alerts())


def test_the_files_as_they_are(daemon: Make, file: Store, watch: Watch, place: Path) -> None:
    """All rules are evaluated without an error, and each query of the dashboard has an answer."""
    (place / "broken_mail.py").write_text(BREAKS)
    port = free_port()
    queues = MAIL + "global_concurrency = 5\n"
    d = daemon(
        file.url, section(port) + queues, top="processes = 2\n", tasks=("ledger", "broken_mail")
    ).start()
    prometheus = watch(port, rules=RULES.read_text())
    numbers = iter(range(1_000_000))

    def unanswered() -> list[str]:
        file.add("mail", "mark", [f"m{next(numbers)}"])
        file.add("mail", "breaks", [f"b{next(numbers)}"])
        found = {query: prometheus.ask("query", query=query)["result"] for query in queries()}
        return [query for query, result in found.items() if not result]

    # The annotation of reloads has an answer only when there was one.
    until(lambda: all("config_generation" in query for query in unanswered()))
    d.signal(signal.SIGHUP)
    until(lambda: not unanswered())
    until(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()))
    assert Client(port).get("/readyz").status == 200
