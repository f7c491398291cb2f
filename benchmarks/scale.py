"""How what asyncmqd costs grows: with the backlog, with the queues, with the daemons on one Redis.

    python benchmarks/scale.py            measure and print, in about six minutes
    python benchmarks/scale.py --write    also replace the tables and drawings of docs/scale.md

From the measured costs of one job it computes what other loads take; plan.py says how.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

import claiming
import drawing
import fleet
import plan
import sheet
from stores import Redis

from asyncmqd import Queue
from asyncmqd.domain import clock
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import NewJob

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
BACKLOGS = (1_000, 10_000, 100_000, 1_000_000)
QUEUES = (1, 10, 100, 1_000)
DAEMONS = (1, 2, 4, 8, 16)


def main() -> None:
    """Measure, print, write."""
    wanted = sheet.arguments(str(__doc__), PAGE)
    with tempfile.TemporaryDirectory(prefix="scale") as place:
        sections = [
            sheet.machine(wanted),
            _backlogs(wanted, Path(place)),
            _queues(wanted, Path(place)),
            _daemons(wanted, Path(place)),
            plan.report(_unit_costs(wanted, Path(place))),
        ]
    sheet.tell(wanted, PAGE, sections)


def _scaled(wanted: argparse.Namespace, values: tuple[int, ...]) -> tuple[int, ...]:
    return values[:-1] if wanted.short else values


# ---------------------------------------------------------------------- the backlog


def _backlogs(wanted: argparse.Namespace, place: Path) -> str:
    """Claims at every size of the backlog, in turn: all of them meet the same weather."""
    sizes = _scaled(wanted, BACKLOGS)
    with claiming.server(wanted, place / "backlog") as server:
        samples = {
            "Redis": asyncio.run(_claims(server.tcp_url, sizes)),
            "SQLite": asyncio.run(_claims(f"sqlite://{place}/jobs.db", sizes)),
        }
    rows: sheet.Rows = [
        ("jobs waiting", *(f"{store}: {p}" for store in samples for p in ("p50", "p99")))
    ]
    medians: dict[str, list[float]] = {store: [] for store in samples}
    for at, size in enumerate(sizes):
        cells = [f"{size:,}"]
        for store, found in samples.items():
            middle, late = sheet.quantile(found[at], 0.5), sheet.quantile(found[at], 0.99)
            medians[store].append(middle)
            cells += [f"{middle:.2f} ms", f"{late:.2f} ms"]
        rows.append(tuple(cells))
    name = drawing.lines("backlog", "jobs waiting", "ms for a claim of 10, median", sizes, medians)
    title = (
        f"### A claim of {claiming.AT_ONCE} jobs, by the backlog ({claiming.ROUNDS:,} claims each)"
    )
    return "\n\n".join([title, sheet.table(rows), name])


async def _claims(url: str, sizes: tuple[int, ...]) -> list[list[float]]:
    """Milliseconds of each claim, with as many jobs added as were claimed, outside of the clock."""
    backend = Queue("q", url).backend
    names = [f"backlog-{size}" for size in sizes]
    for name, size in zip(names, sizes, strict=True):
        for _ in range(size // 1_000):
            await backend.add(name, _jobs(1_000))
    samples: list[list[float]] = [[] for _ in sizes]
    held: dict[str, list[Change]] = {name: [] for name in names}
    for _ in range(claiming.ROUNDS):
        for name, found in zip(names, samples, strict=True):
            found.append(await claiming.claim(backend, name, held))
            await backend.add(name, _jobs(claiming.AT_ONCE))
    await backend.close()
    return samples


def _jobs(count: int) -> list[NewJob]:
    return [NewJob(id=clock.new_id(), payload=claiming.PAYLOAD) for _ in range(count)]


# ---------------------------------------------------------------------- queues


def _queues(wanted: argparse.Namespace, place: Path) -> str:
    """An idle daemon with ever more queues."""
    rows: sheet.Rows = [("queues", "start to ready", "CPU", "requests to Redis", "resident memory")]
    cpu: dict[str, list[float]] = {"CPU ms a second": []}
    sizes = _scaled(wanted, QUEUES)
    with claiming.server(wanted, place / "queues") as server, server.client() as client:
        for size in sizes:
            server.flush()
            idle = fleet.idle(server.tcp_url, place / f"queues-{size}", size, Redis(client))
            cpu["CPU ms a second"].append(idle.cpu_ms)
            rows.append(
                (
                    f"{size:,}",
                    f"{idle.ready:.2f} s",
                    f"{idle.cpu_ms:.1f} ms/s",
                    f"{idle.requests:.2f}/s",
                    f"{idle.rss_mb:.0f} MB",
                )
            )
    name = drawing.lines("queues", "queues, all idle", "ms of CPU a second", sizes, cpu)
    return "\n\n".join(["### An idle daemon, by the number of its queues", sheet.table(rows), name])


# ---------------------------------------------------------------------- daemons


def _daemons(wanted: argparse.Namespace, place: Path) -> str:
    """One job after the other meets ever more idle daemons: does one wake, or do all?"""
    rows: sheet.Rows = [
        ("idle daemons", "p50", "p99", "requests a job", "CPU of all daemons a job")
    ]
    used: dict[str, list[float]] = {"requests to Redis a job": []}
    sizes = _scaled(wanted, DAEMONS)
    with claiming.server(wanted, place / "daemons") as server, server.client() as client:
        for size in sizes:
            server.flush()
            met = fleet.meet(server.tcp_url, place / f"daemons-{size}", size, Redis(client))
            used["requests to Redis a job"].append(met.requests)
            rows.append(
                (
                    str(size),
                    f"{met.p50:.2f} ms",
                    f"{met.p99:.2f} ms",
                    f"{met.requests:.1f}",
                    f"{met.cpu_us:.0f} µs",
                )
            )
    name = drawing.lines(
        "daemons", "idle daemons on one queue", "requests to Redis a job", sizes, used
    )
    return "\n\n".join(["### One job, and ever more idle daemons", sheet.table(rows), name])


# ---------------------------------------------------------------------- one job


def _unit_costs(wanted: argparse.Namespace, place: Path) -> plan.Costs:
    """What one no-op job takes on its whole way, when there is much to do."""
    runs = []
    for run in range(1 if wanted.short else 5):
        with claiming.server(wanted, place / f"unit-{run}") as server, server.client() as client:
            runs.append(fleet.unit_costs(server.tcp_url, place / f"daemon-{run}", client))
    names = plan.Costs.__struct_fields__
    return plan.Costs(**{n: statistics.median(getattr(run, n) for run in runs) for n in names})


if __name__ == "__main__":
    main()
