"""F70 in the small: daemons of this release, killed now and then, run the jobs of a later one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.states import State
from tests.daemon.harness import Daemon, Store, until
from tests.servers import RedisServer
from tests.stores.sample import job, payload

JOBS = 120


@pytest.mark.parametrize("kind", ["sqlite", "valkey9"])
def test_jobs_of_a_later_release_are_run_and_kept_whole(
    kind: str,
    place: Path,
    server: Callable[[str], RedisServer],
    daemon: Callable[..., Daemon],
    seen: Callable[[str], None],
) -> None:
    if kind == "sqlite":
        store = Store(f"sqlite://{place}/jobs.db")
    else:
        server(kind).flush()
        store = Store(server(kind).url)
    ids = [f"{number}" for number in range(JOBS)]
    store.do(lambda backend: backend.add("mail", [job(id) for id in ids]))
    queues = "[queues.mail]\nconcurrency = 5\nrate_limit = 200\nburst = 10\n"
    daemons = [daemon(store.url, queues, name=name).start() for name in ("one", "two")]
    for turn in range(2):
        until(lambda turn=turn: len(daemons[0].lines()) >= (turn + 1) * JOBS // 4)
        daemons[turn % 2].kill()
        daemons[turn % 2].start()
    until(lambda: store.counts("mail").completed == JOBS)
    for each in daemons:
        assert each.stop() == 0

    async def ended(backend: BaseBackend) -> dict[str, bytes]:
        found = await backend.list("mail", State.COMPLETED, 0, 1_000)
        return {record.id: record.payload for record in found}

    assert store.do(ended) == {id: payload(id) for id in ids}
    tally = daemons[0].tally()
    assert set(tally) == set(ids)
    seen(
        f"F70 {kind}: {JOBS} jobs with unknown fields, 2 x kill -9: 0 lost, {sum(tally.values())}"
        " runs, every payload unchanged"
    )
