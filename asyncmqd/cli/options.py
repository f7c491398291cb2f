"""Options, arguments and the like that several commands share."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import typer

from asyncmqd.domain.options import DELAY, Kind, check_queue_name
from asyncmqd.domain.states import State


def group(help: str | None = None) -> typer.Typer:
    """A group of commands. Its help is plain: loading rich to frame it would take 90 ms."""
    return typer.Typer(help=help, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def kind_option(kind: Kind, help: str, metavar: str, *names: str) -> Any:
    """An option that takes what `kind` takes, with the words of its errors."""

    def parse(value: Any) -> Any:  # a default comes here, too, and is no text
        try:
            return kind.check(_as_number(value) if metavar == "N" else value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return typer.Option(*names, parser=parse, metavar=metavar, help=help)


def _as_number(value: Any) -> Any:
    """The number that a text means; what means none is left for `kind` to refuse."""
    if not isinstance(value, str):
        return value
    for read in (int, float):
        with contextlib.suppress(ValueError):
            return read(value)
    return value


def seconds_option(help: str, kind: Kind = DELAY.kind) -> Any:
    """An option that takes a duration."""
    return kind_option(kind, help, "SECONDS|5m")


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
# What is in a store can be looked at and purged, whatever its name: `with_store` looks there first.
StoredQueue = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue's name.")]
QueueOption = Annotated[
    str | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Only this queue.")
]
StateOption = Annotated[
    State | None, typer.Option("--state", "-s", help="Only jobs in this state.")
]
