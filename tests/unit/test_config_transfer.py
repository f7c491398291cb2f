"""Settings arrive in another process as they left, whatever a file says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from asyncmqd.config.load import load
from asyncmqd.config.settings_transfer import packed, unpacked

EVERYTHING = """
backend = "redis://user:secret@localhost/3"
tasks = ["a.b", "c"]
python_path = ["/srv/a", "/srv/b"]
processes = 3
shutdown_timeout = "5m"
control_socket = "/run/x/control.sock"
control_group = "operate"
log_level = "debug"
log_format = "json"
lease = 7
hang_limit = 70
stuck_limit = 0
payload_limit = 2048

[otel]
exporter_otlp_headers = "api-key=secret"
exporter_otlp_certificate = "/ca.pem"
traces_sampler_arg = 0.5

[defaults]
retries = 3
result_ttl = "2d"

[queues.mail]
concurrency = 20
rate_limit = 0.5
rate_interval = "1m"
burst = 2
timeout = 0
executor = "process"
scanners = ["a.b:inbox"]

[[queues.mail.repeatables]]
task = "a.b.nightly"
cron = "0 3 * * *"
timezone = "Europe/Lisbon"
args = [1, "two", [3.5]]
kwargs = {deep = {er = true}}
priority = 0

[queues.plain]
"""


def test_everything_arrives(tmp_path: Path) -> None:
    path = tmp_path / "queues.toml"
    path.write_text(EVERYTHING)
    settings = load(path, {})
    arrived = unpacked(packed(settings))
    assert arrived == settings
    assert arrived.backend_url == "redis://user:secret@localhost/3"
    assert "secret" not in repr(arrived)


def test_what_is_left_to_defaults_arrives_as_well(tmp_path: Path) -> None:
    path = tmp_path / "queues.toml"
    path.write_text('backend = "sqlite:///x"\n[queues.a]\n')
    settings = load(path, {})
    assert unpacked(packed(settings)) == settings


def test_who_takes_them_needs_nothing_that_reads_files() -> None:
    """A child process of the daemon: each start of one would pay for it."""
    code = (
        "import sys, asyncmqd.daemon.children.main;"
        "print([m for m in sys.modules if m.startswith(('pydantic', 'tree_sitter', 'croniter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
