"""Options, arguments and the like that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from asyncmqd.domain.schedule import seconds
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import check_queue_name


def group(help: str | None = None) -> typer.Typer:
    """A group of commands. Its help is plain: loading rich to frame it would take 90 ms."""
    return typer.Typer(help=help, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def period(value: str | float) -> float:
    """Seconds out of "90", "1.5h" or "5m"; a default is a number already."""
    try:
        return seconds(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def duration(value: str | float) -> float:
    """The same, but 0 is one, too."""
    return 0.0 if value in {0, "0", "0s"} else period(value)


def seconds_option(help: str, parser: Callable[[str], float] = duration) -> Any:
    """An option that takes a duration."""
    return typer.Option(parser=parser, metavar="SECONDS|5m", help=help)


def queue_name(text: str) -> str:
    """The text itself, if it can name a queue."""
    try:
        return check_queue_name(text)
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("queue: ")) from None


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
QueueArgument = Annotated[
    str, typer.Argument(parser=queue_name, metavar="QUEUE", help="The queue's name.")
]
QueueOption = Annotated[
    str | None,
    typer.Option("--queue", "-q", parser=queue_name, metavar="QUEUE", help="Only this queue."),
]
StateOption = Annotated[State | None, typer.Option("--state", "-s", help="Only jobs in it.")]
