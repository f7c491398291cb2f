"""The scanner that turns files in the inbox into jobs. `queues.toml` runs it beside a queue."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

from asyncmqd import Queue
from dropfolder import places
from dropfolder.tasks import archive

Stamp = tuple[int, int]  # size and time of last change
Drop = tuple[str, str]  # the directory below `taken`, and the file's name


async def inbox(queue_name: str, backend: Any, interval: float) -> None:
    """Look every `interval` seconds; a file that has not changed since the last look is taken."""
    queue = Queue(queue_name, backend=backend)
    # A former life may have ended between taking a file and enqueueing its job.
    await enqueue(queue, await asyncio.to_thread(taken))
    seen: dict[str, Stamp] = {}
    while True:
        await enqueue(queue, await asyncio.to_thread(take, seen))
        await asyncio.sleep(interval)


async def enqueue(queue: Queue, drops: list[Drop]) -> None:
    """One job for each drop; its id is the drop's, so that none gets a second one."""
    if drops:
        jobs = [archive.options(job_id=f"archive-{drop}").job(drop, name) for drop, name in drops]
        await queue.add_bulk(jobs)
        print(f"{len(drops)} new files")


def take(seen: dict[str, Stamp]) -> list[Drop]:
    """Move the files out of the inbox that look the same as in `seen`, and bring `seen` up to date.

    Hidden files are left alone: programs that copy use them until a file is complete.
    """
    found = {path: _stamp(path) for path in _visible(places.folder("inbox"))}
    settled = [path for path, stamp in found.items() if stamp and seen.get(path.name) == stamp]
    seen.clear()
    seen.update({path.name: stamp for path, stamp in found.items() if stamp})
    return [_take_one(path) for path in settled]


def _take_one(path: Path) -> Drop:
    drop = uuid.uuid4().hex
    directory = places.folder("taken") / drop
    directory.mkdir()
    path.rename(directory / path.name)
    return drop, path.name


def taken() -> list[Drop]:
    """The files that were taken and are not archived yet."""
    return [(path.parent.name, path.name) for path in places.folder("taken").glob("*/*")]


def _visible(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if not path.name.startswith("."))


def _stamp(path: Path) -> Stamp | None:
    """None for what is no file, or has gone since it was listed."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return (status.st_size, status.st_mtime_ns) if path.is_file() else None
