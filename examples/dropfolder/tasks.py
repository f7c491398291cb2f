"""The work of the drop folder. Each task may run twice, and then does the same again."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from asyncmqd import Exponential, Reject, Retry, current_job, task
from dropfolder import catalog, places

_CHUNK = 1024 * 1024  # bytes
_WORD = re.compile(r"[^\W\d_]{3,}")
_SERVICE_UNAVAILABLE = 503
_LEFT_OVER = 3_600  # seconds after which nobody writes to an unfinished file any more


@task(queue="archive", executor="process", retries=3, timeout=600)
def archive(drop: str, name: str) -> str | None:
    """Checksum and compress a file that was taken from the inbox; its SHA-256.

    To remove the file is the last step: if it is gone, an earlier run has come to its end.
    """
    source = places.folder("taken") / drop / name
    if not source.exists():
        return None
    part = places.folder("archive") / f".{drop}.part"
    with source.open("rb") as original, part.open("wb") as packed:
        digest = _compress(original, packed)
    target = part.replace(places.folder("archive") / f"{digest}.gz")
    catalog.add_file(digest, name, source.stat().st_size, target.stat().st_size)
    # Ids of our own: a second run of this job does not enqueue them again.
    index.options(job_id=f"index-{drop}").enqueue_sync(digest)
    announce.options(job_id=f"announce-{drop}").enqueue_sync(digest, name)
    source.unlink()
    source.parent.rmdir()
    return digest


def _compress(original: BinaryIO, packed: BinaryIO) -> str:
    size, done = os.fstat(original.fileno()).st_size, 0
    digest = hashlib.sha256()
    # Without name and time in it, the same content is the same archive.
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream:
        while chunk := original.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
            done += len(chunk)
            current_job().progress({"bytes": done, "of": size})
    return digest.hexdigest()


@task(queue="index", retries=3)
def index(digest: str) -> int:
    """Count the words of an archived text; how many different ones there are. 0 for no text."""
    with gzip.open(places.folder("archive") / f"{digest}.gz") as stream:
        content = stream.read()
    try:
        words = Counter(_WORD.findall(content.decode().lower()))
    except UnicodeDecodeError:
        return 0
    catalog.set_words(digest, words)
    return len(words)


@task(queue="announce", retries=30, backoff=Exponential(base=0.5, cap=60), timeout=20)
def announce(digest: str, name: str) -> None:
    """Tell the endpoint of a file. It is often too busy and says when to come back."""
    request = urllib.request.Request(
        f"{_endpoint()}/files/{digest}", data=json.dumps({"name": name}).encode(), method="PUT"
    )
    try:
        _opener.open(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != _SERVICE_UNAVAILABLE:
            raise Reject(f"the endpoint refused {name}: {error}") from None
        raise Retry("the endpoint is busy", after=float(error.headers["Retry-After"])) from None
    catalog.add_announcement(digest, name, current_job().attempt)


def _endpoint() -> str:
    return os.environ.get("DROPFOLDER_ENDPOINT", "http://127.0.0.1:8008")


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this host


@task(queue="reports")
def report() -> str:
    """Write the report of the day, over the one of a minute ago; where it is."""
    day = datetime.now(UTC).date().isoformat()
    lines = [f"# The drop folder on {day}", ""]
    lines += [f"- {name}: {value:,}" for name, value in catalog.totals(day).items()]
    lines += ["", "| word | times |", "|---|---|"]
    lines += [f"| {word} | {times:,} |" for word, times in catalog.top_words(day, limit=15)]
    path = places.folder("reports") / f"{day}.md"
    places.write_whole(path, "\n".join(lines) + "\n")
    return str(path)


@task(queue="reports")
def tidy() -> None:
    """Delete what runs that were killed have left unfinished in the archive."""
    for path in places.folder("archive").glob(".*.part"):
        if time.time() - _last_written(path) > _LEFT_OVER:
            path.unlink(missing_ok=True)


def _last_written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # it was finished in the meantime
        return time.time()
