"""`asyncmq top` where nobody can type, and what it asks of a store."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from asyncmqd.admin import operations
from asyncmqd.admin.overview import Looks, Wanted
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.cli.top.live import Sight, done
from asyncmqd.cli.top.position import Act, Position
from asyncmqd.domain.heartbeat import Load, Serving
from asyncmqd.domain.states import State
from tests.cli.conftest import Operator
from tests.cli.test_jobs import InStore, new
from tests.contract.jobs import apply, failed, succeeded

ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
def busy(in_store: InStore) -> None:
    """Of `mail` a job runs, one has failed, 30 completed, one waits, one is delayed."""

    async def fill(store: BaseBackend) -> None:
        load = Load(concurrency=20, running=1)
        said = Serving(host="h1", pid=7, lease=15.0, queues={"mail": load}, tasks=("shop.add",))
        await store.beat("h1/a", msgspec.json.encode(said), 60.0)
        await store.add("mail", [new(f"j{number}") for number in range(32)])
        claims = await store.claim("mail", 32, 60.0, "h1/a#1")
        await apply(store, failed(claims[0]), *(succeeded(each) for each in claims[2:]))
        await store.add("mail", [new("next"), new("later", delay=3600.0)])
        await store.add("paused", [new("stays")])
        await store.pause("paused", True, by="ann", reason="provider\nis down")

    in_store(fill)


@pytest.mark.usefixtures("busy")
def test_a_look_tells_queues_daemons_and_jobs(in_store: InStore) -> None:
    async def look(store: BaseBackend) -> Any:
        looks = Looks(store)
        return [await looks.look(Wanted(state)) for state in (State.ACTIVE, State.FAILED)]

    active, failures = in_store(look)
    mail, paused = active.queues
    counts = (mail.waiting, mail.delayed, mail.active, mail.failed, mail.slots, mail.daemons)
    assert (mail.name, *counts) == ("mail", 1, 1, 1, 1, 20, 1)
    assert mail.oldest >= 0.0
    assert mail.rate > 0.0
    assert (paused.pause.by, paused.rate, paused.slots) == ("ann", None, 0)
    assert [(each.id, each.running, each.slots) for each in active.daemons] == [("h1/a", 1, 20)]
    assert [(each.id, each.task) for each in active.jobs] == [("j1", "shop.add")]
    assert [(each.id, each.state) for each in failures.jobs] == [("j0", "failed")]
    assert (active.total, failures.total) == (1, 1)
    assert [each.name for each in active.causes] == ["no_daemon", "paused"]


@pytest.mark.usefixtures("busy")
def test_text_is_printed_once_where_nobody_can_type(asyncmq: Operator) -> None:
    lines = asyncmq("top").out.splitlines()
    sentence = "! paused: No living daemon serves queue paused; 1 daemon for others, since "
    assert lines[0].startswith(sentence)
    assert lines[0].endswith("Z. [asyncmqd reload]")
    assert "by ann: provider\\nis down. [asyncmq queue resume paused]" in lines[1]
    assert "  1 daemon  2 waiting  1 active  1 failed  " in lines[2]
    rows = [line.split() for line in lines]
    assert ["NAME", "WAITING", "DELAYED", "ACTIVE", "FAILED", "OLDEST", "RATE/S", "NOTE"] in rows
    assert any(row[:5] == ["mail", "1", "1", "1/20", "1"] for row in rows)
    assert any(row[:3] == ["h1/a", "h1", "1/20"] for row in rows)
    assert any(row[:4] == ["j1", "mail", "shop.add", "1"] for row in rows)


@ONE_STORE
@pytest.mark.usefixtures("busy")
def test_json_has_the_same(asyncmq: Operator) -> None:
    told = asyncmq("top", "--json").json
    assert {"store", "now", "queues", "daemons", "state", "jobs", "total", "age", "error"} <= set(
        told
    )
    assert told["error"] is None
    assert told["causes"][1]["line"].endswith("[asyncmq queue resume paused]")
    assert told["queues"][0]["active"] == 1


@ONE_STORE
def test_it_is_printed_again_and_again(spawn: Any, in_store: InStore) -> None:
    in_store(lambda store: store.add("mail", [new("a")]))
    process = spawn("top", "--json", "--interval", "0.5")
    first = json.loads(process.stdout.readline())
    in_store(lambda store: store.add("mail", [new("b")]))
    waiting = [json.loads(process.stdout.readline())["queues"][0]["waiting"] for _ in range(2)]
    assert (first["queues"][0]["waiting"], waiting[-1]) == (1, 2)
    assert first["causes"][0]["name"] == "no_daemon"


def test_a_store_that_never_answered_has_no_figures(run: Operator) -> None:
    answer = run("--backend", "redis://127.0.0.1:1/0", "top")
    assert answer.code == 1
    assert answer.out.startswith("! degraded: redis://127.0.0.1:1/0: ")
    assert answer.out.endswith("Z. [asyncmq store info]\n")
    assert answer.err.startswith("asyncmq: store: redis://127.0.0.1:1/0: ")


@pytest.mark.parametrize("arguments", [("--interval", "0.1"), ("--interval", "x")])
def test_an_interval_that_is_none_is_refused(run: Operator, arguments: tuple[str, ...]) -> None:
    assert "'--interval': expected a number from 0.5 to 3600" in run("top", *arguments).err


# ---------------------------------------------------------------------- its look at a store


class Counting:
    """A store whose calls are counted."""

    def __init__(self, store: BaseBackend) -> None:
        self.store = store
        self.url = store.url
        self.calls: Counter[str] = Counter()
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            if self.error:
                raise self.error
            return await getattr(self.store, name)(*arguments, **options)

        return call


@ONE_STORE
def test_what_it_costs_does_not_grow_with_the_queues(in_store: InStore) -> None:
    async def look(store: BaseBackend) -> None:
        for number in range(60):
            await store.add(f"q{number}", [new("a"), new("b"), new("c", delay=60.0)])
            [claim, _] = await store.claim(f"q{number}", 2, 60.0, "w")
            await store.apply(f"q{number}", [succeeded(claim)])
            await store.add(f"q{number}", [new("d")])
        counting: Any = Counting(store)
        looks = Looks(counting)
        await looks.look(Wanted())
        assert len(looks._causes) == 60 + 20  # nobody serves them; of 20 the jobs were looked at
        first, counting.calls = counting.calls.total(), Counter()
        await looks.look(Wanted())
        assert counting.calls["list"] == 40  # of 20 queues: one job that ended, a page
        assert counting.calls.total() == 45
        assert first <= 45 + 5 + 4 * 20

    in_store(look)


@ONE_STORE
def test_a_rate_is_measured_over_some_seconds(in_store: InStore) -> None:
    async def look(store: BaseBackend) -> None:
        looks = Looks(store)
        for begin in (0, 50):
            await store.add("mail", [new(f"j{begin + number}") for number in range(50)])
            claims = await store.claim("mail", 50, 60.0, "w")
            await apply(store, *map(succeeded, claims))
            [mail] = (await looks.look(Wanted())).queues
            assert mail.rate > 5.0
        assert looks._rates["mail"]._over > 20
        looks._rates["mail"]._since -= 3600.0
        [mail] = (await looks.look(Wanted())).queues  # nothing has happened since
        assert mail.rate < 0.1

    in_store(look)


@ONE_STORE
@pytest.mark.usefixtures("busy")
def test_a_store_that_is_down_leaves_the_last_figures(in_store: InStore) -> None:
    async def look(store: BaseBackend) -> None:
        counting: Any = Counting(store)
        sight = Sight(counting, "ann")
        await sight.look(Position())
        counting.error = StoreError("connection refused")
        await sight.look(Position())
        seen = sight.seen()
        assert seen.causes[0].name == "degraded"
        assert seen.causes[0].since is not None
        assert seen.causes[0].line.startswith("degraded: connection refused, since ")
        assert [each.name for each in seen.causes[1:]] == ["paused", "no_daemon"][::-1]
        assert seen.overview is not None
        assert seen.overview.queues[0].active == 1
        counting.error = None
        await sight.look(Position())
        assert sight.seen().causes[0].name == "no_daemon"

    in_store(look)


@ONE_STORE
def test_a_store_that_does_not_answer_is_called_slow(
    in_store: InStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(store: BaseBackend) -> None:
        sight = Sight(store, "ann")
        await sight.look(Position())
        monkeypatch.setattr("asyncmqd.cli.top.live.PATIENCE", -1.0)
        assert "it has not answered for 0 s" in sight.seen(asking=True).causes[0].line
        assert sight.seen().overview is not None

    in_store(look)


@pytest.mark.usefixtures("busy")
def test_what_is_done_by_keyboard(in_store: InStore) -> None:
    async def act(store: BaseBackend) -> None:
        for verb, queue, id in (
            ("pause", "mail", ""),
            ("resume", "paused", ""),
            ("retry", "mail", "j0"),
            ("retry", "mail", "later"),
            ("cancel", "mail", "j1"),
        ):
            assert await done(store, Act(verb, queue, id, "late"), "ann") is None
        assert await done(store, Act("cancel", "mail", "j2"), "ann") == (
            "job j2: expected a job that has not ended, this one is completed"
        )
        counts = await store.counts(["mail", "paused"])
        assert (counts["mail"].paused, counts["paused"].paused) == (True, False)
        assert (counts["mail"].waiting, counts["mail"].cancelled) == (3, 1)
        noted = await operations.list_operations(store)
        verbs = {(each.verb, each.by) for each in noted if each.queue == "mail"}
        assert verbs >= {("pause", "ann"), ("retry", "ann"), ("cancel", "ann")}
        assert ("paused", "resume", "ann") in {(each.queue, each.verb, each.by) for each in noted}
        pause = (await store.outlook(["mail"]))["mail"].pause
        assert pause is not None
        assert (pause.by, pause.reason) == ("ann", "late")

    in_store(act)
