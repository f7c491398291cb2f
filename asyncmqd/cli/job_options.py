"""Options of `asyncmq job` that say which jobs are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from asyncmqd.cli.options import kind_option, seconds_option
from asyncmqd.domain.options import ID
from asyncmqd.domain.pause import REASON

if TYPE_CHECKING:
    from asyncmqd.domain.selection import Selection


def job_id(text: str) -> str:
    """The text itself, if it can be the id of a job."""
    try:
        return str(ID.kind.check(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Ids = Annotated[
    list[str] | None, typer.Argument(parser=job_id, metavar="ID", help="The ids of the jobs.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="Only jobs of this task.")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", metavar="KEY", help="Only jobs that have this key.")
]
ErrorOption = Annotated[
    str | None,
    typer.Option(
        "--error",
        metavar="TEXT",
        help="Only jobs whose last error has this text in its type or message.",
    ),
]
OlderThan = Annotated[
    float | None, seconds_option("Only jobs that were enqueued longer ago than this.")
]
Everything = Annotated[
    bool,
    typer.Option(
        "--all",
        help="All jobs of --queue that are in --state now, and as these options say.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Leave --all to the daemons.")]
Reason = Annotated[
    str | None, kind_option(REASON, "Why, for whoever looks at the operation.", "TEXT")
]


class Filters(NamedTuple):
    """What the jobs have to be like. None: anything."""

    task: str | None
    key: str | None
    error: str | None
    older_than: float | None

    @property
    def selection(self) -> Selection:
        """The same for a search."""
        from asyncmqd.domain.selection import Selection

        return Selection(**self._asdict())
