"""Shared by all tests: how hard Hypothesis tries, what a machine cannot run, what was seen.

`push` is the same at every run, so that nobody's push fails by chance. `nightly` looks further:
`pytest --hypothesis-profile=nightly`, or HYPOTHESIS_PROFILE=nightly in the environment. `verdict`
ends at the first failure, for those who need no small example of it.
"""

from __future__ import annotations

import functools
import gc
import os
import re
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from asyncmqd.domain.tasks import REGISTRY
from tests.scale import SCALE
from tests.systemd.box import missing

settings.register_profile(
    "push",
    max_examples=60,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,  # a loaded machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    max_examples=2_000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "verdict",
    parent=settings.get_profile("push"),
    phases=[phase for phase in Phase if phase not in {Phase.shrink, Phase.explain}],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "push"))


def pytest_configure(config: pytest.Config) -> None:
    """Markers, told here because --strict-markers wants to know them."""
    config.addinivalue_line("markers", "full: runs in `make test-full`, and not at each push")
    config.addinivalue_line("markers", "zram: needs a disk that fails when it is told to")
    config.addinivalue_line("markers", "row(id, fault): a row of the catalogue of faults")


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say what a test saw: a line that is printed at the end of the run."""
    return lambda text: record_property("seen", text)


HERE = Path(__file__).parent
BOXED = HERE / "systemd"
# What takes longest, one after the other. The first also makes what others look at afterwards.
LONG = (
    "packaging/test_life.py",
    "daemon/test_reload_properties.py",
    "examples/test_demo.py",
    "systemd/test_redeploy.py",
    "systemd/test_reload.py",
    "systemd/test_watchdog.py",
    "systemd",
    "faults/test_replicas.py",
    "faults/test_cluster.py",
    "daemon/test_life.py",
    "simulation",
    "contract/test_model.py",
    "unit/test_schedule_dst.py",
    "daemon",
    "faults",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run is not for, and what this machine cannot run.

    Without root these are the tests that boot a systemd. Of the others the longest come first: at
    the end they would leave the other processes idle.
    """
    if SCALE == "short":
        _leave_out("full", config, items)
    boxed = [item for item in items if _is_boxed(item.path)]
    others = [item for item in items if not _is_boxed(item.path)]
    if missing():
        config.hook.pytest_deselected(items=boxed)
        boxed = []
    if os.geteuid() != 0:
        _leave_out("mounts", config, others)
    if not _has_zram():
        _leave_out("zram", config, others)
    items[:] = _dealt([*boxed, *others], int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _has_zram() -> bool:
    """Whether a disk of zram can be made here, and a file system on it."""
    return Path("/sys/class/zram-control").exists() and shutil.which("mkfs.ext4") is not None


def _leave_out(marker: str, config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker(marker)]
    config.hook.pytest_deselected(items=marked)
    left_out = set(marked)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected lives to the end: no search for garbage looks at it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def _dealt(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """The same items, so that each process begins with its share of the long ones.

    `--dist worksteal` gives each process an equal part of the list, and whoever has done its own
    takes from the end of another's.
    """
    ranks = {item: _rank(item.path) for item in items}
    long = sorted((item for item in items if ranks[item] < len(LONG)), key=ranks.__getitem__)
    short = [item for item in items if ranks[item] == len(LONG)]
    dealt: list[pytest.Item] = []
    for number in range(processes):
        share = long[number::processes]
        size = (len(items) - len(dealt)) // (processes - number)
        rest = max(0, size - len(share))
        dealt += [*share, *short[:rest]]
        del short[:rest]
    return dealt + short


@functools.cache  # for thousands of tests of some hundred files
def _is_boxed(path: Path) -> bool:
    return path.is_relative_to(BOXED)


@functools.cache
def _rank(path: Path) -> int:
    ranks = (rank for rank, name in enumerate(LONG) if path.is_relative_to(HERE / name))
    return next(ranks, len(LONG))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Tasks of modules that a test wrote itself end with it: no child could import them later."""
    written = f"{item.config.rootpath}/"  # no Path: this is done for thousands of tests
    for name, task in list(REGISTRY._tasks.items()):
        module = sys.modules.get(task.module)
        file = getattr(module, "__file__", None)
        if module is not None and (file is None or file.startswith(written)):
            continue
        REGISTRY.remove(name)
        sys.modules.pop(task.module, None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests noted with the fixture `seen`, and which were left out."""
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)
    ]
    noted = {text for report in reports for key, text in report.user_properties if key == "seen"}
    noted |= set(_fault_rows(terminalreporter))
    if noted:
        terminalreporter.section("seen")
    for text in sorted(noted, key=_in_number_order):
        terminalreporter.write_line(text)
    if reason := missing():
        terminalreporter.write_line(f"tests/systemd were left out: {reason}")
    if os.geteuid() != 0:
        terminalreporter.write_line("tests that mount a disk were left out: they need root")
    elif not _has_zram():
        terminalreporter.write_line("tests of a failing disk were left out: no zram or mkfs.ext4")


def _fault_rows(reporter: pytest.TerminalReporter) -> Iterator[str]:
    """A line for each test that is a row of the catalogue, and what it saw."""
    for verdict, kind in (("pass", "passed"), ("FAIL", "failed"), ("FAIL", "error")):
        for report in reporter.getreports(kind):
            # What could not be collected is reported as well, and has none.
            noted = dict(getattr(report, "user_properties", ()))
            if "row" in noted and (report.when == "call" or verdict == "FAIL"):
                yield f"{noted['row']}: {noted.get('figure', 'no figure')}: {verdict}"


def _in_number_order(text: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
