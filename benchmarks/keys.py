"""Keys: what a claim costs with ever more of them, and how fair their turns are.

python benchmarks/keys.py            measure and print, in about five minutes
python benchmarks/keys.py --write    also replace the tables of docs/keys.md
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import claiming
import fleet
import sheet
from programs.marks import QUEUE

from asyncmqd import Queue
from asyncmqd.client.pending import CallOptions, PendingJob, pending
from asyncmqd.domain import clock
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import NewJob

PAGE = Path(__file__).parent.parent / "docs" / "keys.md"
KEYS = (0, 10, 1_000, 100_000)
WAITING = 100_000  # jobs of all keys together
BACKLOGS = {"big": 1_000_000} | {f"small-{number}": 1_000 for number in range(9)}
STARTS = 10_000  # of which the turns are judged
AT_ONCE = 1_000  # jobs of one call that adds


def main() -> None:
    """Measure, print, write."""
    wanted = sheet.arguments(str(__doc__), PAGE, "a hundredth of all jobs: to try it")
    with tempfile.TemporaryDirectory(prefix="keys") as place:
        sections = [
            sheet.machine(wanted),
            _costs(wanted, Path(place)),
            _turns(wanted, Path(place)),
        ]
    sheet.tell(wanted, PAGE, sections)


# ---------------------------------------------------------------------- claims


def _costs(wanted: argparse.Namespace, place: Path) -> str:
    """Claims at every number of keys, in turn: all of them meet the same weather."""
    sizes = KEYS[:-1] if wanted.short else KEYS
    waiting = WAITING // 100 if wanted.short else WAITING
    with claiming.server(wanted, place / "costs") as server:
        found = {
            "Redis": asyncio.run(_claims(server.tcp_url, sizes, waiting)),
            "SQLite": asyncio.run(_claims(f"sqlite://{place}/costs.db", sizes, waiting)),
        }
    rows: sheet.Rows = [("keys", *(f"{store}: {p}" for store in found for p in ("p50", "p99")))]
    for at, size in enumerate(sizes):
        cells = [f"{size:,}" if size else "none"]
        for samples in found.values():
            cells += [f"{sheet.quantile(samples[at], share):.2f} ms" for share in (0.5, 0.99)]
        rows.append(tuple(cells))
    title = f"### A claim of {claiming.AT_ONCE} jobs of {waiting:,}, by the number of keys"
    return f"{title}\n\n{sheet.table(rows)}"


async def _claims(url: str, sizes: tuple[int, ...], waiting: int) -> list[list[float]]:
    """Milliseconds of each claim, with as many jobs added as were claimed, outside of the clock."""
    backend = Queue("q", url).backend
    numbers = {size: _numbered(size) for size in sizes}
    for size, jobs in numbers.items():
        for _ in range(waiting // AT_ONCE):
            await backend.add(f"keys-{size}", list(islice(jobs, AT_ONCE)))
    samples: list[list[float]] = [[] for _ in sizes]
    held: dict[str, list[Change]] = {f"keys-{size}": [] for size in sizes}
    for _ in range(claiming.ROUNDS):
        for size, into in zip(sizes, samples, strict=True):
            into.append(await claiming.claim(backend, f"keys-{size}", held))
            await backend.add(f"keys-{size}", list(islice(numbers[size], claiming.AT_ONCE)))
    await backend.close()
    return samples


def _numbered(keys: int) -> Iterator[NewJob]:
    """Jobs without end, of so many keys in turn."""
    number = 0
    while True:
        key = f"k{number % keys}" if keys else ""
        yield NewJob(id=clock.new_id(), payload=claiming.PAYLOAD, key=key)
        number += 1


# ---------------------------------------------------------------------- turns


def _turns(wanted: argparse.Namespace, place: Path) -> str:
    """Ten keys of which one has a thousand times the jobs of each other."""
    shrink = 100 if wanted.short else 1
    rows: sheet.Rows = [("store", "Jain's index", "first job of a new key: p50", "p99", "most")]
    with claiming.server(wanted, place / "turns") as server:
        for name, url in {"Redis": server.tcp_url, "SQLite": f"sqlite://{place}/j.db"}.items():
            asyncio.run(_fill(url, shrink))
            index = asyncio.run(_index(url, STARTS // shrink))
            found = fleet.new_keys(url, place / name)
            shares = (sheet.quantile(found, share) for share in (0.5, 0.99, 1.0))
            rows.append((name, f"{index:.4f}", *(f"{share:.2f} ms" for share in shares)))
    backlogs = f"{max(BACKLOGS.values()) // shrink:,} jobs of one key, {1_000 // shrink:,} of each"
    title = f"### {backlogs} of nine others"
    return f"{title}\n\n{sheet.table(rows)}"


async def _fill(url: str, shrink: int) -> None:
    """The greatest backlog first: by the order of their enqueues the others would come last."""
    queue = Queue(QUEUE, url)
    for key, count in BACKLOGS.items():
        for begin in range(0, count // shrink, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, count // shrink))
            await queue.add_bulk([_noop(key, number) for number in numbers])
    await queue.backend.close()


def _noop(key: str, number: int) -> PendingJob:
    return pending("noop", [], {}, CallOptions(key=key, job_id=f"{key}:{number}"))


async def _index(url: str, starts: int) -> float:
    """Jain's index of the starts of each key: 1 if all have as many (R. Jain, D. Chiu and W. Hawe,
    "A Quantitative Measure of Fairness and Discrimination", DEC TR-301, 1984).
    """
    backend = Queue(QUEUE, url).backend
    counts: Counter[str] = Counter()
    changes: list[Change] = []
    while counts.total() < starts:
        turn = await backend.turn(QUEUE, changes, claiming.AT_ONCE, claiming.LEASE, "claiming")
        counts.update(claim.id.partition(":")[0] for claim in turn.claims)
        changes = [claiming.succeeded(claim) for claim in turn.claims]
    await backend.turn(QUEUE, changes, 0, claiming.LEASE, "claiming")
    await backend.close()
    each = counts.values()
    return sum(each) ** 2 / (len(BACKLOGS) * sum(count**2 for count in each))


if __name__ == "__main__":
    main()
