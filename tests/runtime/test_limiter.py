"""The token bucket: what it grants, to how many callers, and across changes."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd import RateLimiter
from tests.runtime.conftest import Bench
from tests.runtime.virtual import virtual


def most_in_a_window(starts: list[float], window: float = 1.0) -> int:
    """The most starts that any half-open window of that length sees."""
    return max(sum(first <= other < first + window for other in starts) for first in starts)


@virtual
async def test_concurrent_callers_get_no_more_than_a_serial_one() -> None:
    limiter = RateLimiter(2, 1.0)
    granted = []

    async def caller() -> None:
        await limiter.acquire()
        granted.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(caller() for _ in range(8)))
    assert granted == pytest.approx([0, 0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])


@virtual
async def test_unused_tokens_come_back_and_a_reserved_one_keeps_its_place() -> None:
    limiter = RateLimiter(10, 1.0, burst=2)
    assert limiter.reserve(5) == 2
    await asyncio.sleep(1)
    assert limiter.reserve(5) == 0, "the bucket refilled under what is reserved"
    limiter.refund(1)
    limiter.start(1)
    assert limiter.reserve(5) == 1
    assert limiter.wait_time() == pytest.approx(0.1)
    await asyncio.sleep(0.1)
    assert limiter.reserve(5) == 1
    assert limiter.wait_time() == float("inf"), "only the start of a reserved one makes room"


@virtual
async def test_what_a_job_costs_beyond_a_token_is_paid_before_the_next(bench: Bench) -> None:
    starts: list[float] = []

    async def work() -> None:
        starts.append(asyncio.get_running_loop().time())

    bench.task(work)
    ids = [await bench.add("work", cost=cost) for cost in (5, 1, 1)]
    begin = asyncio.get_running_loop().time()
    async with bench.worker(concurrency=1, rate_limit=10, burst=2):
        await bench.ended(*ids)
    assert [each - begin for each in starts] == pytest.approx([0, 0.4, 0.5], abs=0.01)


@virtual
async def test_a_lower_rate_keeps_what_fits_and_a_higher_one_gives_nothing() -> None:
    limiter = RateLimiter(100, 1.0)
    limiter.change(5, 1.0)
    assert limiter.reserve(100) == 5
    limiter.start(5)
    limiter.change(1000, 1.0)
    assert limiter.reserve(100) == 0


@virtual
async def test_rate_zero_blocks_until_it_is_changed() -> None:
    limiter = RateLimiter(0)
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(1e6)
    assert not waiting.done()
    limiter.change(1)
    await asyncio.wait_for(waiting, 1.001)


@pytest.mark.parametrize("bad", [(-1, 1, None), (1, 0, None), (1, 1, 0.5), (float("inf"), 1, None)])
def test_numbers_that_make_no_limit_are_refused(bad: tuple[float, float, float | None]) -> None:
    with pytest.raises(ValueError, match="expected"):
        RateLimiter(*bad)


@given(
    rate=st.integers(1, 60),
    burst=st.integers(1, 20),
    seed=st.integers(0, 10_000),
)
def test_no_window_sees_more_than_burst_and_rate(rate: int, burst: int, seed: int) -> None:
    """Reserve, wait as long as a round trip may take, start some, refund the rest."""

    @virtual
    async def play() -> None:
        rng = random.Random(seed)
        limiter = RateLimiter(rate, 1.0, burst)
        starts: list[float] = []

        async def claimer() -> None:
            for _ in range(40):
                reserved = limiter.reserve(rng.randint(1, 10))
                await asyncio.sleep(rng.choice([0, 0.001, 0.02, 0.3]))
                used = rng.randint(0, reserved)
                limiter.start(used)
                limiter.refund(reserved - used)
                starts.extend([asyncio.get_running_loop().time()] * used)

        await asyncio.gather(*(claimer() for _ in range(3)))
        if starts:
            assert most_in_a_window(starts) <= burst + rate

    play()


@virtual
async def test_a_worker_of_fifty_a_second_never_starts_more(bench: Bench) -> None:
    starts: list[float] = []

    async def start() -> None:
        starts.append(asyncio.get_running_loop().time())

    bench.task(start)
    ids = [await bench.add("start") for _ in range(200)]
    async with bench.worker(concurrency=100, rate_limit=50, burst=1):
        await bench.ended(*ids)
    assert most_in_a_window(starts) <= 51
    assert starts[-1] < 4.5, "and not much less, either"


@virtual
async def test_a_worker_of_rate_zero_starts_nothing_and_drains_at_once(bench: Bench) -> None:
    bench.task(lambda: None, name="never")
    await bench.add("never")
    async with bench.worker(rate_limit=0, drain_timeout=30):
        await asyncio.sleep(100)
        assert (await bench.backend.counts(["q"]))["q"].waiting == 1
        stopped = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopped < 0.1


@virtual
async def test_an_empty_claim_burns_no_token(bench: Bench) -> None:
    async def nothing() -> None: ...

    bench.task(nothing)
    async with bench.worker(concurrency=5, rate_limit=3, rate_interval=1000):
        for _ in range(10):  # ten looks at an empty queue
            await bench.backend.pause("q", paused=False)
            await asyncio.sleep(1)
        ids = [await bench.add("nothing") for _ in range(3)]
        await asyncio.sleep(1)
        states = [(await bench.record(id)).state for id in ids]
        assert states == ["completed"] * 3
