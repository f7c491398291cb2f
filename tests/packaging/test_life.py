"""One installation from its first start over an upgrade to its removal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import daemon, place
from tests.daemon.harness import Daemon
from tests.packaging.conftest import Installation
from tests.scale import SCALE

__all__ = ["daemon", "place"]

APPLICATION = Path(__file__).parent / "app"


@pytest.mark.timeout(900)  # it installs four times, which takes a while on a loaded machine
def test_install_run_upgrade_remove(
    living: Installation, place: Path, daemon: Callable[..., Daemon]
) -> None:
    running = daemon(
        f"sqlite://{place}/jobs.db",
        "[queues.default]\n",
        tasks=["crunch"],
        command=[str(living.usr / "bin/asyncmqd")],
        environ={"PYTHONPATH": f"{place}/elsewhere", "PYTHONHOME": "/nonexistent"},
    )
    (place / "crunch.py").write_text((APPLICATION / "crunch.py").read_text())
    look_from_a_place_with_traps(living, place)
    read_again_it_starts_nothing(living)
    running.start()
    of_the_installed_code(living, running, "0.1.0")
    assert enqueued(living, running, "pool") == 1024

    living.configuration.write_text("# edited\n")
    a_failed_upgrade_changes_nothing(living)
    upgrade(living)
    assert living.configuration.read_text() == "# edited\n"

    # The child is the first of this daemon, started after the upgrade, and yet of the same code.
    of_the_installed_code(living, running, "0.1.0", task="child")
    assert running.stop() == 0
    running.kill()  # closes what it had open
    running.start()
    of_the_installed_code(living, running, "0.1.1")
    of_the_installed_code(living, running, "0.1.1", task="child")
    assert running.stop() == 0

    if SCALE != "short":
        the_same_again_changes_nothing(living)
    remove(living)


def look_from_a_place_with_traps(living: Installation, place: Path) -> None:
    """Neither the directory nor the environment of a person decides which code a command runs."""
    traps = [place / f"{module}.py" for module in ("asyncmqd", "typer", "usercustomize")]
    for trap in traps:
        trap.write_text("raise SystemExit('the wrong one')")
    for command in ("asyncmqd", "asyncmq"):
        shown = subprocess.run(
            [living.usr / "bin" / command, "--version"],
            cwd=place,
            env={"PYTHONPATH": str(place), "PYTHONHOME": str(place)},
            capture_output=True,
            text=True,
        )
        assert (shown.stdout, shown.stderr) == (f"{command} 0.1.0\n", "")
    sample = living.usr / "share/doc/asyncmqd/queues.toml"
    checked = subprocess.run([living.usr / "bin/asyncmqd", "check", "--config", sample])
    assert checked.returncode == 0
    for trap in traps:
        trap.unlink()  # the daemon's python_path is one that its administrator chose


def read_again_it_starts_nothing(living: Installation) -> None:
    """As multiprocessing does it; a daemon in each process of a pool would never come to an end."""
    program = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__mp_main__')"
    again = subprocess.run([sys.executable, "-c", program, living.usr / "bin/asyncmqd"])
    assert again.returncode == 0


def enqueued(living: Installation, running: Daemon, task: str) -> Any:
    """What a job returned that was enqueued by the installed command."""
    command = [living.usr / "bin/asyncmq", "--config", running.config, "enqueue", task]
    answer = subprocess.run(
        [*command, "--wait-timeout", "30"], capture_output=True, text=True, env={}
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[1])


def of_the_installed_code(
    living: Installation, running: Daemon, version: str, task: str = "here"
) -> None:
    """A job runs in the code of that version, isolated, and what it starts would not be."""
    ran = enqueued(living, running, task)
    assert ran["version"] == version
    assert ran["code"].startswith(f"{living.usr}/lib/asyncmqd/{version}-")
    assert (ran["pid"] == running.pid) == (task == "here")
    assert ran["isolated"] == 1
    assert ran["python_variables"] == ["PYTHONHOME", "PYTHONPATH"]  # as they were given


def a_failed_upgrade_changes_nothing(living: Installation) -> None:
    before = living.tree()
    empty = living.directory / "empty"
    empty.mkdir()
    done = living.make("install", WHEELS=empty)
    assert done.returncode != 0
    assert "pip could not install the code; nothing was changed" in done.stderr
    assert living.tree() == before


def upgrade(living: Installation) -> None:
    """Install a later version, in which a page of the former is gone."""
    for name in ("pyproject.toml", "asyncmqd/__init__.py"):
        path = living.source / name
        path.write_text(path.read_text().replace('"0.1.0"', '"0.1.1"'))
    (living.source / "docs/performance.md").unlink()
    said = living.install()
    assert "installed asyncmqd 0.1.1" in said
    assert "kept /etc/asyncmq/queues.toml" in said
    assert not (living.staged / "share/doc/asyncmqd/docs/performance.md").exists()


def the_same_again_changes_nothing(living: Installation) -> None:
    before = living.tree()
    living.install()
    assert living.tree() == before


def remove(living: Installation) -> None:
    state = living.stage / "var/lib/asyncmqd/jobs.db"
    others = living.staged / "share/doc/other/README"
    for path in (state, others):
        path.parent.mkdir(parents=True)
        path.touch()
    done = living.make("uninstall")
    assert done.returncode == 0, done.stderr
    left = {str(path.relative_to(living.stage)) for path in living.stage.rglob("*")}
    files = {path for path in left if (living.stage / path).is_file()}
    assert files == {
        "etc/asyncmq/queues.toml",
        "var/lib/asyncmqd/jobs.db",
        str(others.relative_to(living.stage)),
    }
    assert {path for path in left - files if "asyncmq" in Path(path).name} == {
        "etc/asyncmq",
        "var/lib/asyncmqd",
    }
    for kept in ("/etc/asyncmq", "/var/lib/asyncmqd*", "user and group asyncmqd"):
        assert kept in done.stdout
