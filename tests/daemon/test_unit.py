"""The unit that is shipped agrees with the daemon and its sample configuration."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from asyncmqd.config import load

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "etc/asyncmq/queues.toml"


@pytest.fixture
def service():
    parser = ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read(ROOT / "systemd/asyncmqd.service")
    return parser["Service"]


def test_systemd_waits_longer_than_the_jobs_may_take(service):
    settings = load(SAMPLE, {})
    drains = [queue.drain_timeout or 0 for queue in settings.queues.values()]
    assert float(service["TimeoutStopSec"]) > max(settings.shutdown_timeout, *drains) + 5


def test_it_relies_on_what_the_daemon_does(service):
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"
    assert service["RestartPreventExitStatus"] == "78"
    assert float(service["WatchdogSec"]) > 0
    for verb, key in (("run", "ExecStart"), ("reload", "ExecReload")):
        assert service[key] == f"asyncmqd {verb} --config /etc/asyncmq/queues.toml"
