"""Producers under gevent and eventlet, which put greenlets in the place of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncmqd import Queue
from asyncmqd.client.sync_calls import run_sync
from tests.client.test_loops import STORES
from tests.servers import USUAL, RedisServer

PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
REQUESTS = 200


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "redis":
        with RedisServer(USUAL, tmp_path, tcp=True) as server:
            yield f"redis://localhost:{server.port}"
    else:
        yield f"sqlite://{tmp_path}/jobs.db" if request.param == "sqlite" else "memory://greenlets"


@pytest.mark.parametrize("library", PATCHES)
def test_greenlets_enqueue_and_look(library: str, url: str) -> None:
    code = (
        f"{PATCHES[library]}; from tests.client.greenlets import main; main({library!r}, {url!r})"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    told = json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    )
    assert told["outcomes"] == ["stored"] * 40
    assert told["state"] == "waiting"
    assert told["turns"] > 3, "the other greenlets went on"
    assert all("would block the event loop" in text for text in told["said"])


def test_gunicorn_with_gevent(tmp_path: Path) -> None:
    store = f"sqlite://{tmp_path}/jobs.db"
    command = "-m gunicorn -k gevent -w 2 -b 127.0.0.1:0 tests.client.greenlets:app"
    server = subprocess.Popen(
        [sys.executable, *command.split()],
        env={**os.environ, "ASYNCMQD_BACKEND": store},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = next(line.split()[-2] for line in server.stderr if "Listening at" in line)
        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(lambda n: get(f"{address}/{n}"), range(REQUESTS)))
    finally:
        server.terminate()
        server.communicate()
    assert statuses == [202] * REQUESTS
    counts = run_sync(Queue("web", store).counts())
    assert counts.waiting == REQUESTS


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status
