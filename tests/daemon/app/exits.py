"""Jobs whose code tries to end the program that they run in, in every way that asyncio knows."""

from __future__ import annotations

import asyncio
import sys

from asyncmqd import task


async def _exit() -> None:
    sys.exit(7)


async def _interrupt() -> None:
    raise KeyboardInterrupt


@task(name="wait_for")
async def in_wait_for() -> None:
    await asyncio.wait_for(_exit(), 10)


@task(name="gather")
async def in_gather() -> None:
    await asyncio.gather(_exit(), asyncio.sleep(10))


@task(name="group")
async def in_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_exit())
        group.create_task(asyncio.sleep(10))


@task(name="waited")
async def waited() -> None:
    done, _ = await asyncio.wait([asyncio.create_task(_exit())])
    done.pop().result()


@task(name="interrupt")
async def interrupt() -> None:
    await asyncio.create_task(_interrupt())


@task(name="background")
async def in_background() -> None:
    quits = asyncio.create_task(_exit())
    await asyncio.Event().wait()
    await quits


@task(name="handled")
async def handled() -> str:
    """As a command line's `main` in a task, whose exit code is looked at."""
    try:
        await asyncio.create_task(_exit())
    except SystemExit as error:
        return f"exit {error.code}"
    return "no exit"


@task(name="stop_loop")
async def stop_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(10)


@task(name="callback")
async def in_callback() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)


@task(name="left_behind")
async def left_behind() -> None:
    async def later() -> None:
        await asyncio.sleep(0.05)
        sys.exit(9)

    left_behind.kept = asyncio.create_task(later())  # type: ignore[attr-defined]


@task(name="cancel_all")
async def cancel_all() -> str:
    """As programs do at their end."""
    own = asyncio.create_task(asyncio.Event().wait())
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.wait([own])
    return "cancelled" if own.cancelled() else "not cancelled"


@task(name="cancel_itself")
async def cancel_itself() -> None:
    current = asyncio.current_task()
    assert current is not None
    current.cancel()
    await asyncio.sleep(10)
