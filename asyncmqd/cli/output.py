"""What commands print: tables for people, aligned text for pipes, JSON for programs.

rich is imported only where a terminal is there to profit from it, and typer where it asks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from asyncmqd.cli.errors import CommandError, Misuse
from asyncmqd.domain.safe_text import clean, clean_lines

_STYLES = {
    "active": "cyan",
    "delayed": "yellow",
    "blocked": "yellow",
    "completed": "green",
    "failed": "red",
    "expired": "magenta",
    "cancelled": "dim",
    "PAUSED": "bold yellow",
}
_HEAD = {"timestamp", "level", "event", "queue", "worker", "job_id", "job_key", "task", "trace_id"}
_OF_MANY_LINES = ("exception", "stack", "traceback")


def show_json(value: Any) -> None:
    """Print one JSON document, in ASCII: job data cannot reach the terminal raw."""
    print(json.dumps(value, default=msgspec.structs.asdict))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table. Only its last column may hold spaces when it goes into a pipe."""
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _show_rich_table(headings, cells)
    else:
        _show_plain_table(headings, [_joined(row) for row in cells])


def show_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Print names and values, a line each."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        print(f"{name:<{width}}  {_cell(value)}")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return "-" if value is None or value == "" else clean(str(value))


def _joined(row: Sequence[str]) -> list[str]:
    # A space inside of a cell would shift awk's columns.
    return [*(cell.replace(" ", "\\x20") for cell in row[:-1]), row[-1]]


def _show_plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _show_rich_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:  # as Text, because a task may be called [red]
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    Console().print(table)


def _style(cell: str) -> str:
    return _STYLES.get("PAUSED" if cell.startswith("PAUSED ") else cell, "")


def told(event: Mapping[str, Any]) -> str:
    """A line of a log for people: of the job that it belongs to, nothing is repeated."""
    rest = {key: value for key, value in event.items() if key not in _HEAD}
    long = {key: rest.pop(key) for key in _OF_MANY_LINES if isinstance(rest.get(key), str)}
    head = [clean(str(event.get(key, "-"))) for key in ("timestamp", "level", "event")]
    fields = [clean(f"{key}={value}") for key, value in rest.items()]
    line = "  ".join([head[0], f"{head[1]:<8}", head[2], *fields]).rstrip()
    return "\n".join([line, *(clean_lines(text, "    ") for text in long.values())])


def say(text: str) -> None:
    """One line on standard output. It may repeat a server, or names that an application gave."""
    print(clean(text))


def complain(text: str) -> None:
    """One line on standard error."""
    print(f"asyncmq: {clean(text)}", file=sys.stderr)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless `yes` was said already. Raises CommandError for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Misuse("expected --yes, since there is no terminal to ask on")
    import typer

    if not typer.confirm(clean(question), err=True):
        raise CommandError("nothing was done")


@contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error; call what it yields with each step done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda count: bar.advance(task, count)
