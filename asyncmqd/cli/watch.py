"""`asyncmq watch`: what happens to jobs, queues and daemons, one line of JSON each."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from asyncmqd.cli.errors import Misuse
from asyncmqd.cli.output import complain
from asyncmqd.cli.store_choice import with_store

if TYPE_CHECKING:
    from asyncmqd.backends.base import BaseBackend
    from asyncmqd.client.events import Reader
    from asyncmqd.domain.events import Event

_AGAIN = 1.0  # seconds before the next try to reach a store that failed


def watch(
    context: typer.Context,
    queue: Annotated[
        str | None, typer.Argument(metavar="QUEUE", help="The queue's name; else all queues.")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="NAME",
            help="Only events of this name, or of all that begin with it; may be given again.",
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="POSITION", help="Go on behind the event of this `position`."),
    ] = None,
) -> None:
    """Show what happens to jobs, queues and daemons, as it happens: a line of JSON each.

    It goes on until Ctrl-C. Events that were lost are one line: `events.missed`.
    """
    from asyncmqd.client.events import Reader
    from asyncmqd.domain.events import Position

    try:
        position = None if after is None else Position.of(after)
    except ValueError as error:
        raise Misuse(f"--after: {error}") from None
    names = tuple(event or ("",))

    async def work(store: BaseBackend) -> None:
        await _follow(Reader(store, position), queue, names)

    try:
        with_store(context, work, queue)
    except KeyboardInterrupt:
        return


async def _follow(reader: Reader, queue: str | None, names: tuple[str, ...]) -> None:
    """Print what comes. A store that fails is asked again, once it has answered."""
    import asyncio

    from asyncmqd.backends.base import StoreError
    from asyncmqd.client.events import LOOK_EVERY, is_about

    failed = False
    while True:
        try:
            events = await reader.page()
        except StoreError as error:
            if reader.position is None:
                raise
            if not failed:
                complain(f"store: {error}; it is asked again, and what it lost meanwhile is told")
            failed = True
            await asyncio.sleep(_AGAIN)
            continue
        failed = False
        _print(each for each in events if is_about(each, queue, names))
        if not events:
            await asyncio.sleep(LOOK_EVERY)


def _print(events: Iterable[Event]) -> None:
    from asyncmqd.domain.events import encode
    from asyncmqd.domain.safe_text import clean_json

    lines = [clean_json(encode(each)).decode() for each in events]
    if lines:
        print("\n".join(lines))
        sys.stdout.flush()
