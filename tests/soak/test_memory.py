"""What a daemon holds after half an hour of everything: no more than after ten minutes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import JobSpec, NewJob
from tests.daemon.harness import Daemon, Store, until
from tests.scale import scaled
from tests.soak.conftest import Silent

LASTS = scaled(0, 300, 1_800)  # seconds
WARM = LASTS / 3  # seconds until caches are full and every kind of job has run
RELOAD_EVERY = 10  # seconds
LIMITS = "result_ttl = 60\nkeep_completed = 100\nkeep_failed = 60\n"
EACH_SECOND = (  # task, arguments, jobs
    ("quick", [], 60),
    ("answer", [1_000], 15),
    ("plain", [], 15),
    ("flaky", [], 6),
    ("broken", [], 4),
)
SLOPE_LIMIT = 0.5  # MB an hour
DESCRIPTORS = 2


def _queues(concurrency: int) -> str:
    """Every other time there is one queue more."""
    guest = f"[queues.guest]\n{LIMITS}" if concurrency % 2 else ""
    return f"[queues.steady]\nconcurrency = {concurrency}\n{LIMITS}{guest}"


def _jobs(second: int) -> list[NewJob]:
    specs = (
        JobSpec(id=f"{task}-{second}-{number}", task=task, args=args)
        for task, args, count in EACH_SECOND
        for number in range(count)
    )
    return [NewJob(id=spec.id, payload=encode_spec(spec)) for spec in specs]


def _seconds(count: int) -> Iterator[int]:
    """One after the other: time is what is measured here."""
    began = time.monotonic()
    for second in range(count):
        time.sleep(max(0.0, began + second - time.monotonic()))
        yield second


def _reload(daemon: Daemon, concurrency: int) -> None:
    daemon.configure(_queues(concurrency))
    daemon.ask("reload")


@pytest.mark.timeout(LASTS + 300)
def test_a_daemon_under_steady_load_grows_by_nothing(
    silent: Callable[..., Silent], store: Store, seen: Callable[[str], None]
) -> None:
    daemon = silent(store.url, _queues(10))
    process = psutil.Process(daemon.pid)
    samples: list[tuple[float, float, int]] = []  # seconds, MB, descriptors
    for second in _seconds(int(LASTS)):
        jobs = _jobs(second)
        store.do(lambda backend, jobs=jobs: backend.add("steady", jobs))
        if second % RELOAD_EVERY == 0:
            _reload(daemon, 10 + second // RELOAD_EVERY % 4)
        if second >= WARM:
            samples.append((second, process.memory_info().rss / 1e6, process.num_fds()))
    moments, sizes, descriptors = zip(*samples, strict=True)
    slope = statistics.linear_regression(moments, sizes).slope * 3_600
    spread = max(descriptors) - min(descriptors)
    kind = store.url.partition(":")[0]
    seen(
        f"soak of {LASTS / 60:.0f} min on {kind}: {len(jobs)} jobs/s, RSS {sizes[0]:.1f} MB after"
        f" {WARM / 60:.0f} min, {sizes[-1]:.1f} MB at the end, {slope:+.2f} MB/h (limit"
        f" {SLOPE_LIMIT}), descriptors {min(descriptors)} to {max(descriptors)}"
    )
    until(lambda: not (c := store.counts("steady")).waiting + c.active + c.delayed)
    assert process.pid == daemon.pid
    assert daemon.stop() == 0
    assert spread <= DESCRIPTORS
    assert slope < SLOPE_LIMIT
