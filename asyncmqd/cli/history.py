"""`asyncmq history`: what happened to queues in the last hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from asyncmqd.cli.options import AsJson, kind_option
from asyncmqd.cli.output import show_json, show_table
from asyncmqd.cli.queues import configured
from asyncmqd.cli.store_choice import with_store
from asyncmqd.domain.history import COUNTS, KEPT, LEVELS
from asyncmqd.domain.options import whole

if TYPE_CHECKING:
    from asyncmqd.admin.history import Quantiles, Stretch

_HOURS = whole(1, KEPT // 60)
_HEADINGS = (
    *(each.upper() for each in COUNTS),
    *(each.upper() for each in LEVELS if each != "failed"),
    *("WAIT_P50", "WAIT_P95", "RUN_P50", "RUN_P95"),
)


def history(
    context: typer.Context,
    queue: Annotated[
        str | None, typer.Argument(metavar="QUEUE", help="The queue's name; else all queues.")
    ] = None,
    hours: Annotated[int, kind_option(_HOURS, "How many hours, from 1 to 48; usually 1.", "N")] = 1,
    marks: Annotated[
        bool, typer.Option("--marks", help="Show pauses, reloads, starts and deaths instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a queue in the last hours, or to each queue.

    Jobs that were added, started and so on; at the highest, the jobs that waited at the end of a
    minute and the seconds that the oldest had waited; and how many seconds jobs waited and ran.
    """
    from asyncmqd.admin import history

    if marks:
        _show_marks(context, queue, hours, as_json=as_json)
        return
    if queue is None:
        every = with_store(context, lambda store: history.of_all(store, hours))
        if as_json:
            show_json(every)
        else:
            rows = [(each.queue, *_cells(*each.stretches)) for each in every]
            show_table(("QUEUE", *_HEADINGS), rows)
        return
    names = configured(context)
    found = with_store(context, lambda store: history.of_queue(store, queue, hours, names), queue)
    if as_json:
        show_json(found)
        return
    show_table(
        ("BEGIN", "MINUTES", *_HEADINGS),
        [(_minute(each.begin), each.minutes, *_cells(each)) for each in found.stretches],
    )


def _show_marks(context: typer.Context, queue: str | None, hours: int, *, as_json: bool) -> None:
    from asyncmqd.admin.marks import list_marks

    names = configured(context)
    found = with_store(context, lambda store: list_marks(store, queue, hours, names), queue)
    if as_json:
        show_json(found)
        return
    rows = [(each.at, each.kind, each.queue, each.who, each.what) for each in found]
    show_table(("AT", "KIND", "QUEUE", "WHO", "WHAT"), rows)


def _minute(begin: str) -> str:
    """A time to the minute: it is the begin of one."""
    return f"{begin[:16]}Z"


def _cells(stretch: Stretch) -> Sequence[object]:
    levels = stretch.levels
    return (
        *(getattr(stretch, each) for each in COUNTS),
        *(getattr(levels, each, None) for each in LEVELS if each != "failed"),
        *_quantiles(stretch.wait),
        *_quantiles(stretch.run),
    )


def _quantiles(quantiles: Quantiles) -> Sequence[str | None]:
    return [_told(quantiles.p50), _told(quantiles.p95)]


def _told(seconds: float | None) -> str | None:
    """Seconds without an exponent, for people and awk."""
    return None if seconds is None else f"{seconds:.6f}".rstrip("0").rstrip(".")
