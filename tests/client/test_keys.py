"""Keys of jobs as applications declare them."""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Any

import pytest

from asyncmqd import NotSerialisable, Queue, Task, current_job, task
from asyncmqd.backends import InMemoryBackend
from asyncmqd.domain.codec import CorruptPayload, decode_spec, encode_spec
from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.tasks import REGISTRY
from asyncmqd.testing import app


class Plan(str, Enum):  # noqa: UP042 - what `str` makes of it is not its value
    GOLD = "gold"


@pytest.fixture
def store() -> InMemoryBackend:
    return InMemoryBackend()


def declared(key: Any, store: InMemoryBackend) -> Task[..., Any]:
    """A new task `key.sync` of two parameters."""
    if REGISTRY.get("key.sync") is not None:
        REGISTRY.remove("key.sync")

    @task(name="key.sync", key=key)
    async def sync(tenant: Any, plan: Any = "basic", *rest: int, **more: Any) -> str | None:
        return current_job().key

    return sync.options(backend=store)


async def keys(*calls: Any) -> list[str]:
    return [(await (await call).record()).key for call in calls]


async def test_a_parameter_gives_the_key(store: InMemoryBackend) -> None:
    sync = declared("tenant", store)
    id = uuid.UUID(int=7)
    found = await keys(
        sync.enqueue("t7"),
        sync.enqueue(tenant=17),
        sync.enqueue(True),
        sync.enqueue(2.5),
        sync.enqueue(Plan.GOLD),
        sync.enqueue(id),
        sync.enqueue(None),
    )
    assert found == ["t7", "17", "true", "2.5", "gold", str(id), ""]


async def test_a_default_counts(store: InMemoryBackend) -> None:
    sync = declared("plan", store)
    assert await keys(sync.enqueue(1), sync.enqueue(1, "gold")) == ["basic", "gold"]


async def test_a_function_gives_the_key(store: InMemoryBackend) -> None:
    sync = declared(lambda tenant, plan="basic": tenant and f"{tenant} {plan}", store)
    assert await keys(sync.enqueue("t"), sync.enqueue("u", plan="x"), sync.enqueue(None)) == [
        "t basic",
        "u x",
        "",
    ]


async def test_a_function_takes_the_parameters_that_it_needs(store: InMemoryBackend) -> None:
    sync = declared(lambda plan: plan, store)
    assert await keys(sync.enqueue(1), sync.enqueue(1, "gold"), sync.enqueue(1, plan="x")) == [
        "basic",
        "gold",
        "x",
    ]
    sync = declared(lambda rest, more: f"{rest} {more}", store)
    assert await keys(sync.enqueue(1, "p", 2, zone="z")) == ["(2,) {'zone': 'z'}"]


async def test_a_function_of_any_parameters_is_called_like_the_task(store: InMemoryBackend) -> None:
    sync = declared(lambda *args, **by_name: f"{args} {by_name}", store)
    assert await keys(sync.enqueue("t", plan="p")) == ["('t',) {'plan': 'p'}"]
    assert await keys(declared(max, store).enqueue("t", "u")) == ["u"]


@pytest.mark.parametrize("option", ["key", "unique", "cost"])
def test_a_function_of_what_the_task_does_not_take_is_refused_at_import(option: str) -> None:
    with pytest.raises(
        ValueError,
        match=f"^task key.other: {option}: expected a function of parameters of the task"
        r" \(tenant, plan\), got 'tenent' \(did you mean tenant\?\)$",
    ):

        @task(name="key.other", **{option: lambda tenent: tenent})
        async def other(tenant: str, plan: str = "basic") -> None: ...


async def test_an_option_wins(store: InMemoryBackend) -> None:
    queue = Queue("default", backend=store)
    sync = declared("tenant", store)
    assert await keys(
        sync.options(key="k").enqueue("t7"),
        queue.add(sync, "t7", key="k"),
        queue.add(sync, "t7"),
        queue.add("not known here", key="k"),
    ) == ["k", "k", "t7", "k"]
    [job] = await queue.add_bulk([sync.job("t8")])
    assert (await job.record()).key == "t8"


@pytest.mark.parametrize("value", ["", "a\nb", "x" * 129, 7, True])
def test_a_bad_key_is_refused_where_it_is_given(store: InMemoryBackend, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^key: expected text of 1 to 128 printable characters"):
        declared(None, store).options(key=value)


@pytest.mark.parametrize("value", ["", "a\nb", "x" * 129, ["t7"], {"id": 7}])
async def test_a_bad_value_is_refused_at_enqueue(store: InMemoryBackend, value: Any) -> None:
    expected = "expected text of 1 to 128 printable characters, got"
    with pytest.raises(ValueError, match=f"^task key.sync: key: parameter 'tenant': {expected}"):
        await declared("tenant", store).enqueue(value)
    with pytest.raises(ValueError, match=f"^task key.sync: key: its function: {expected}"):
        await declared(lambda tenant: tenant, store).enqueue(value)
    assert await store.queues() == []


async def test_a_value_that_json_cannot_carry_is_refused(store: InMemoryBackend) -> None:
    where = r"^task key.sync: key:"
    with pytest.raises(NotSerialisable, match=f"{where} its function: a value of type object"):
        await declared(lambda tenant: object(), store).enqueue(1)
    with pytest.raises(NotSerialisable, match=f"{where} parameter 'tenant': expected a finite num"):
        await declared("tenant", store).enqueue(float("nan"))


async def refuse(tenant: Any) -> str:
    raise LookupError("no such tenant")


@pytest.mark.parametrize("option", ["key", "unique"])
async def test_an_error_of_a_function_says_which_task_has_it(option: str) -> None:
    @task(name=f"key.by_{option}", **{option: lambda tenant: {}[tenant]})
    async def by_function(tenant: str) -> None: ...

    with app(), pytest.raises(KeyError) as caught:
        await by_function.enqueue("t7")
    assert caught.value.__notes__ == [
        f"raised by the function that task key.by_{option} has as its {option}"
    ]
    expected = f"^task key.late: {option}: expected a plain function, .*, got the async one refuse$"
    with pytest.raises(ValueError, match=expected):
        task(name="key.late", **{option: refuse})(refuse)


def test_an_unknown_parameter_is_refused_at_import(store: InMemoryBackend) -> None:
    with pytest.raises(
        ValueError,
        match=r"^task key\.sync: key: expected a parameter of the function"
        r" \(tenant, plan, rest, more\), got 'tenent' \(did you mean tenant\?\)$",
    ):
        declared("tenent", store)
    with pytest.raises(ValueError, match=r"^key: expected the name of a parameter, or a function"):
        declared(True, store)


def test_a_payload_with_a_bad_key_is_no_job() -> None:
    good = JobSpec(id="a", task="t", key="t7")
    assert decode_spec(encode_spec(good)) == good
    with pytest.raises(CorruptPayload, match=r"^key: expected text"):
        decode_spec(encode_spec(JobSpec(id="a", task="t", key="x\n")))


async def test_a_run_knows_its_key() -> None:
    with app() as shop:
        sync = declared("tenant", shop.backend)
        keyed, plain = await sync.enqueue("t7"), await sync.enqueue(None)
        await shop.run_dry()
        assert (await keyed.result(), await plain.result()) == ("t7", None)
