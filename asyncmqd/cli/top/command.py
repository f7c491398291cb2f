"""`asyncmq top`: the command."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from asyncmqd.cli.errors import CommandError
from asyncmqd.cli.options import AsJson, kind_option
from asyncmqd.cli.output import say, show_json, show_table
from asyncmqd.cli.store_choice import with_store
from asyncmqd.domain.options import number

if TYPE_CHECKING:
    from asyncmqd.backends.base import BaseBackend
    from asyncmqd.cli.top.live import Sight
    from asyncmqd.cli.top.view import Seen

INTERVAL = 2.0  # seconds
_NOT_ASCII = "\u00e9"


def top(
    context: typer.Context,
    interval: Annotated[
        float | None,
        kind_option(
            number(0.5, 3_600),
            f"Seconds between two looks, from 0.5 to 3600; {INTERVAL:g} on a terminal. Elsewhere"
            " all is printed once without this option.",
            "N",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is wrong, queues, daemons and jobs, live.

    On a terminal queues are paused and resumed, and jobs retried and cancelled, by keyboard: `?`
    shows the keys. Elsewhere the same is printed as text.
    """
    # Before root becomes the owner of the store, who may not be able to read this code.
    from asyncmqd.cli.top import live, view
    from asyncmqd.client.acting_user import system_user

    by = system_user()
    view.cells(_NOT_ASCII, 1)  # reads the widths of letters
    if as_json or not _is_screen():

        async def work(store: BaseBackend) -> None:
            await _print(live.Sight(store, by), interval, as_json=as_json)
    else:
        from asyncmqd.cli.top.screen import Screen

        async def work(store: BaseBackend) -> None:
            with Screen() as screen:
                await live.Live(store, screen, interval or INTERVAL, by).run()

    with contextlib.suppress(KeyboardInterrupt):
        with_store(context, work)


def _is_screen() -> bool:
    """Whether somebody looks who can type, at a terminal whose cursor can be moved."""
    ends = sys.stdin.isatty() and sys.stdout.isatty()
    return ends and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}


async def _print(sight: Sight, interval: float | None, *, as_json: bool) -> None:
    """Print it once, or again and again. Raises CommandError if the store has never answered."""
    import asyncio

    from asyncmqd.cli.top.position import Position

    while True:
        await sight.look(Position())
        seen = sight.seen()
        if seen.overview is None and not as_json:
            _print_causes(seen)
        if seen.overview is None:
            raise CommandError(f"store: {sight.error}")
        if as_json:
            _print_json(seen, sight.error)
        else:
            _print_text(seen)
        sys.stdout.flush()
        if interval is None:
            return
        if not as_json:
            print()
        await asyncio.sleep(interval)


def _print_json(seen: Seen, error: str) -> None:
    told = msgspec.to_builtins(seen.overview)
    causes = [{**msgspec.to_builtins(each), "line": each.line} for each in seen.causes]
    show_json({**told, "causes": causes, "age": round(seen.age, 1), "error": error or None})


def _print_causes(seen: Seen) -> None:
    for cause in seen.causes:
        say(f"! {cause.line}")


def _print_text(seen: Seen) -> None:
    """All of it, unlike a screen, which has an end."""
    from asyncmqd.cli.top.panes import ORDER
    from asyncmqd.cli.top.position import Position
    from asyncmqd.cli.top.view import header

    assert seen.overview is not None
    _print_causes(seen)
    position = Position()
    say(header(seen, position))
    for name in ORDER:
        pane, rows = position.pane_of(name), position.rows(seen.overview, name)
        print()
        say(f"{pane.title} {len(rows)}")
        columns = sorted(pane.columns, key=lambda column: not column.title)  # spaces at the end
        headings = [column.title or "NOTE" for column in columns]
        show_table(headings, [[column.text(row) for column in columns] for row in rows])
