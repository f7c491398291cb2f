"""What jobs cost as applications declare it."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmqd import Queue, Task, task
from asyncmqd.backends import InMemoryBackend
from asyncmqd.domain.tasks import REGISTRY


def declared(cost: Any, store: InMemoryBackend) -> Task[..., Any]:
    """A new task `cost.embed` of two parameters."""
    if REGISTRY.get("cost.embed") is not None:
        REGISTRY.remove("cost.embed")

    @task(name="cost.embed", cost=cost)
    async def embed(texts: list[str], units: Any = 4) -> None: ...

    return embed.options(backend=store)


async def costs(*calls: Any) -> list[int]:
    return [(await (await call).record()).cost for call in calls]


async def test_a_number_a_parameter_or_a_function_gives_the_cost(store: InMemoryBackend) -> None:
    embed = declared(10, store)
    assert await costs(embed.enqueue([])) == [10]
    embed = declared("units", store)
    calls = embed.enqueue([]), embed.enqueue([], 7), embed.enqueue([], units=None)
    assert await costs(*calls) == [4, 7, 1]
    embed = declared(lambda texts: len(texts) or None, store)
    assert await costs(embed.enqueue(["a", "b"], 9), embed.enqueue(texts=["a"])) == [2, 1]
    [job] = await Queue("default", backend=store).add_bulk([embed.job(["a"] * 5)])
    assert (await job.record()).cost == 5


async def test_an_option_wins(store: InMemoryBackend) -> None:
    queue = Queue("default", backend=store)
    embed = declared("units", store)
    assert await costs(
        embed.options(cost=3).enqueue([]),
        queue.add(embed, [], cost=1),
        queue.add(embed, [], 8),
    ) == [3, 1, 8]


@pytest.mark.parametrize("value", [0, 1.5, "3", True, 1_000_001, [1]])
async def test_a_bad_value_is_refused_at_enqueue(store: InMemoryBackend, value: Any) -> None:
    expected = "expected a whole number from 1 to 1000000, got"
    with pytest.raises(ValueError, match=f"^task cost.embed: cost: parameter 'units': {expected}"):
        await declared("units", store).enqueue([], value)
    with pytest.raises(ValueError, match=f"^task cost.embed: cost: its function: {expected}"):
        await declared(lambda units: units, store).enqueue([], value)
    assert await store.queues() == []


@pytest.mark.parametrize("value", [0, 1.5, True, 1_000_001])
def test_a_bad_declaration_is_refused_at_import(store: InMemoryBackend, value: Any) -> None:
    expected = r"^cost: expected a whole number from 1 to 1000000, the name of a parameter, or"
    with pytest.raises(ValueError, match=expected):
        declared(value, store)


@pytest.fixture
def store() -> InMemoryBackend:
    return InMemoryBackend()
