"""The thread behind `enqueue_sync`: it may not start, or end, and no call waits for ever."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from asyncmqd import Queue, connect, task
from asyncmqd.backends.base import StoreError, StoreUncertain
from asyncmqd.client import connection, sync_calls
from asyncmqd.client.sync_calls import run_sync
from tests.eventually import eventually

IMPOSSIBLE = 1 << 50  # bytes of a thread's stack


@task(queue="background", name="background.plain")
async def plain(number: int = 0) -> None: ...


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_default", None)
    connect(f"memory://{uuid4()}")


def waiting() -> int:
    return run_sync(Queue("background").counts()).waiting


async def end_the_thread() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(3600)


def test_a_thread_that_cannot_be_started_is_tried_again() -> None:
    with pytest.raises(StoreUncertain):
        run_sync(end_the_thread())
    before = threading.stack_size(IMPOSSIBLE)
    try:
        with pytest.raises(StoreError, match="no thread can be started to do it: can't start new"):
            plain.enqueue_sync()
    finally:
        threading.stack_size(before)
    plain.enqueue_sync()
    assert waiting() == 1


def test_who_waits_for_a_thread_that_ends_is_told_and_the_next_call_starts_another() -> None:
    begun = threading.Event()

    async def beside() -> None:
        begun.set()
        await asyncio.sleep(3600)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run_sync, beside())
        begun.wait()
        with pytest.raises(StoreUncertain, match="no answer before the thread ended"):
            run_sync(end_the_thread())
        with pytest.raises(StoreUncertain, match="no answer before the thread ended"):
            other.result()
    plain.enqueue_sync()
    assert waiting() == 1


def test_what_was_not_begun_in_time_is_never_done() -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def hold_up() -> None:
        begun.set()
        go_on.wait()

    async def late() -> None:
        raise AssertionError

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(run_sync, hold_up())
        begun.wait()
        with pytest.raises(StoreError, match=r"not begun within 0\.05 s"):
            run_sync(late(), 0.05)
        go_on.set()
        holding.result()
    run_sync(asyncio.sleep(0))


async def test_what_is_not_answered_in_time_is_cancelled() -> None:
    cancelled = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.set()

    with pytest.raises(StoreUncertain, match=r"no answer within 0\.05 s"):
        await asyncio.to_thread(run_sync, slow(), 0.05)

    async def is_cancelled() -> bool:
        return cancelled.is_set()

    assert await eventually(is_cancelled)


class Interrupted(BaseException):
    """What a time limit of greenlets or of tests raises in the middle of a call."""


def test_a_caller_that_is_interrupted_leaves_no_wait_behind() -> None:
    job = plain.enqueue_sync()  # nobody runs it
    ended = threading.Event()

    async def wait() -> None:
        try:
            await job.result()
        finally:
            ended.set()

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupted):
            run_sync(wait())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ended.wait(30)
    assert sync_calls._thread is not None
    assert not sync_calls._thread.calls
    assert waiting() == 1  # and the next call is served


def test_a_handler_of_logging_that_enqueues_does_not_stand_still_at_the_start() -> None:
    """A new event loop is logged, by the very call that makes it."""
    told = output("""
        import logging
        connect("memory://x")
        class Enqueues(logging.Handler):
            def emit(self, record):
                try:
                    plain.enqueue_sync(1)
                except StoreError as error:
                    print(record.name, error)
        logging.basicConfig(level=logging.DEBUG, handlers=[Enqueues()])
        logging.getLogger("app").error("first")
        print(run_sync(Queue("background").counts()).waiting)
    """)
    why = "not begun: called by a handler while this thread's first call begins"
    assert told == f"asyncio {why}\n1\n"


def test_a_handler_of_a_signal_may_enqueue_while_a_call_waits() -> None:
    def enqueue(*_: object) -> None:
        plain.enqueue_sync(2)

    async def interrupt() -> None:
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, enqueue)
    try:
        run_sync(interrupt())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert waiting() == 1


def test_a_forked_child_starts_its_own(tmp_path) -> None:
    told = output(f"""
        import os
        connect("sqlite://{tmp_path}/jobs.db")
        plain.enqueue_sync(1)
        if (child := os.fork()) == 0:
            plain.enqueue_sync(2)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        plain.enqueue_sync(3)
        print(run_sync(Queue("background").counts()).waiting)
    """)
    assert told == "3\n"


@pytest.mark.parametrize("first", ["plain.enqueue_sync(1)", "pass"], ids=["running", "never used"])
def test_at_the_end_of_the_interpreter_it_is_refused_in_words(first: str) -> None:
    told = output(f"""
        import os
        connect("memory://x")
        {first}
        class Late:
            def __del__(self, enqueue=plain.enqueue_sync, write=os.write):
                try:
                    enqueue(2)
                except Exception as error:
                    write(1, f"{{type(error).__name__}} {{error}}\\n".encode())
        late = Late()
    """)
    assert told == "RuntimeError the interpreter shuts down: no further call is possible\n"


def output(code: str) -> str:
    """What a program prints that has all of the above."""
    names = "from tests.client.test_background import Queue, StoreError, connect, plain, run_sync\n"
    lines = code.splitlines()
    body = "\n".join(line[8:] for line in lines)
    done = subprocess.run(
        [sys.executable, "-c", names + body], stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.stdout


def test_a_call_costs_no_thread() -> None:
    plain.enqueue_sync()
    before = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(plain.enqueue_sync, range(200)))
    assert threading.active_count() <= before
    assert sync_calls._thread is not None
    assert sync_calls._thread.calls == set()
