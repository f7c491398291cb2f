"""The units that are shipped agree with the daemon, its sample configuration, and each other.

What they do under a real systemd is in tests/systemd.
"""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from asyncmqd.config.load import load

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "systemd"
SAMPLE = ROOT / "etc/asyncmq/queues.toml"


@pytest.fixture(params=["asyncmqd.service", "asyncmqd@.service"])
def service(request):
    parser = ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    parser.optionxform = str
    parser.read(UNITS / request.param)
    return parser["Service"]


def test_systemd_waits_longer_than_the_jobs_may_take(service):
    settings = load(SAMPLE, {})
    drains = [queue.drain_timeout or 0 for queue in settings.queues.values()]
    assert float(service["TimeoutStopSec"]) > max(settings.shutdown_timeout, *drains) + 5


def test_nothing_is_imported_from_where_it_runs(service):
    """The group writes the state directory."""
    assert service["WorkingDirectory"] == "/"
    assert "PYTHONSAFEPATH=1" in service["Environment"].split()


def test_they_rely_on_what_the_daemon_does(service):
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"
    assert {"78", "243"} <= set(service["RestartPreventExitStatus"].split())
    assert float(service["WatchdogSec"]) > 0
    config = service["ExecStart"].rpartition(" ")[2]
    assert service["ExecStart"].endswith(f" asyncmqd run --config {config}")
    assert service["ExecReload"] == f"asyncmqd reload --config {config}"


def test_the_template_differs_from_the_service_in_its_names_only():
    text = (UNITS / "asyncmqd.service").read_text()
    for of_service, of_template in (
        ("(asyncmqd)", "(asyncmqd, %i)"),
        ("/etc/asyncmq/queues.toml", "/etc/asyncmq/%i.toml"),
        ("Directory=asyncmqd", "Directory=asyncmqd-%i"),
        ("backend_url:asyncmqd.backend_url", "backend_url:asyncmqd-%i.backend_url"),
        ("WantedBy=multi-user.target", "WantedBy=multi-user.target asyncmqd.target"),
    ):
        assert of_service in text
        text = text.replace(of_service, of_template)
    template = (UNITS / "asyncmqd@.service").read_text()
    assert _settings(text) == [s for s in _settings(template) if s != "PartOf=asyncmqd.target"]


def _settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if "=" in line and not line.startswith("#")]


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_each_group_of_settings_has_its_reason(path):
    reasoned = False
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            reasoned = True
        elif not line:
            reasoned = False
        elif line.startswith("["):
            continue
        elif not line.startswith(("Description=", "Documentation=", "WantedBy=")):
            assert reasoned, f"{line} stands without a reason"
