"""A real server whose clock is stepped while daemons work, by Debian's libfaketime.

It is played at full counts only, where that library is there; see conftest.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.daemon.harness import until
from tests.faults.conftest import FAKETIME, Scene
from tests.servers import KINDS, RedisServer

JOBS = 10
LEASE = 2.0
IN_TIME = 10.0 + 2 * LEASE + 5.0  # a heartbeat, the lease, and the work of the jobs


class Stepped:
    """A server whose clock is so far ahead as its file says."""

    def __init__(self, kind: str, place: Path) -> None:
        (place / "redis").mkdir()
        self._file = place / "ahead"
        self.step(0)
        self.server = RedisServer(kind, place / "redis")

    def step(self, seconds: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)

    def start(self, patch: pytest.MonkeyPatch) -> None:
        """With the library in this one process: its steady clock goes on as it is."""
        with patch.context() as patched:
            patched.setenv("LD_PRELOAD", str(FAKETIME))
            patched.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
            patched.setenv("FAKETIME_NO_CACHE", "1")
            patched.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            self.server.start()


@pytest.fixture(params=KINDS)
def stepped(
    request: pytest.FixtureRequest, place: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stepped]:
    made = Stepped(request.param, place)
    made.start(monkeypatch)
    yield made
    made.server.kill()


@pytest.mark.row("F30", "the server's clock is stepped by an hour and by a year")
@pytest.mark.parametrize("size", [3_600, 366 * 86_400])
def test_stepped(stepped: Stepped, place: Path, size: int, figure):
    """Nobody who lives is recovered by it; what the dead held comes back in time."""
    with closing(Scene(place, stepped.server.url, stepped.server)) as scene:
        daemons = [
            scene.daemon(name, queue=f"concurrency = {JOBS}\n", top=f"lease = {LEASE:g}").start()
            for name in "ab"
        ]
        for number, ahead in enumerate((size, -size)):
            scene.enqueue(JOBS, prefix=f"{number}-", task="nap", args=[12.0], batch=1)
            until(lambda n=number: scene.ran(b"began") == JOBS * (n + 1))
            stepped.step(ahead)
            for daemon in daemons:
                daemon.wait_for("store.clock_jumped", number + 1)
            scene.until_ran(JOBS * (number + 1))
        scene.enqueued()
        scene.verdict(stop=False).check(doubled=0)
        assert not any(daemon.all("job.recovered") for daemon in daemons)
        stepped.step(0)
        scene.enqueue(JOBS, prefix="last-", task="nap", args=[2.0], batch=1)
        until(lambda: scene.ran(b"began") == 3 * JOBS)
        daemons[1].kill()
        stepped.step(-size)
        began = time.monotonic()
        scene.until_ran(3 * JOBS)
        took = time.monotonic() - began
        recovered = len(daemons[0].all("job.recovered"))
        assert recovered, "the dead held some"
        assert took < IN_TIME
        figure(
            f"{2 * JOBS} running jobs at two steps: 0 recovered; {recovered} of a dead process run"
            f" again after {took:.1f} s (at most {IN_TIME:g})"
        )
