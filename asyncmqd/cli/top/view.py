"""What is on the screen of `asyncmq top`: a pure function of what is known and of a size.

Every text of others goes through `cells`, which escapes what a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
from rich.cells import cell_len, set_cell_size

from asyncmqd.admin.causes import Cause
from asyncmqd.admin.overview import Overview
from asyncmqd.cli.top.panes import ORDER, Column, Pane, PaneName, span
from asyncmqd.cli.top.position import Act, Position
from asyncmqd.domain.safe_text import clean, counted

HINTS = "? keys  q quit  Tab pane  / filter  o sort  s state  p pause  r retry  c cancel"
KEYS = (
    "Keys                                    (any other key goes back)",
    "",
    "Tab, Left, Right    the next pane: queues, daemons, jobs",
    "Up, Down, k, j      choose a row; PgUp, PgDn, Home, End as well",
    "Enter               on a queue: only its jobs; Esc: of all queues again",
    "s, S                list jobs of the next state, of the one before",
    "o, O                sort by the next column, turn the order round",
    "/                   filter by a text; Enter keeps it, Esc ends it",
    "p                   pause or resume the queue",
    "r                   retry the job: an ended one, or a delayed one now",
    "c                   cancel the job, running or not",
    "w                   all that is wrong, with the commands that mend it",
    "Ctrl-L              draw the screen anew",
    "q, Ctrl-C           quit",
    "",
    "p, r and c ask before they act. The store keeps who did it and when:",
    "asyncmq operation list.",
)
_LEAST_BODY = 9  # lines below which only one pane is shown
_LEAST_FLEXIBLE = 6  # cells for each part, below which columns are left out
_LONGEST = 2_000  # characters of a text of others that are looked at


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known at a moment."""

    overview: Overview | None = None  # None: the store has never answered
    causes: Sequence[Cause] = ()  # the worst first
    age: float = 0.0  # seconds since the store answered
    old: bool = False  # whether there should be newer figures
    store: str = ""
    by: str = ""  # who acts


class Line(msgspec.Struct, frozen=True):
    """A line of the screen."""

    text: str
    style: str = ""  # or bold, reverse: it says nothing that the text does not


def screen(seen: Seen, position: Position, width: int, height: int) -> list[Line]:
    """The lines of a screen, at most `height` of them and none wider than `width` cells."""
    top = [*_cause(seen, width, max(1, height // 6)), Line(header(seen, position), "")]
    room = max(0, height - len(top) - 1)
    if position.page:
        body = list(_page(seen, position, width, room))
    elif seen.overview is None:
        body = []
    else:
        body = list(_panes(seen.overview, position, width, room))
    lines = [*top, *body[:room], *([Line("")] * (room - len(body))), _foot(seen, position, width)]
    if height <= len(top):  # what is wrong comes before all else
        lines = [*top[: height - 1], lines[-1]]
    return [Line(cells(line.text, width), line.style) for line in lines[: max(0, height)]]


def cells(text: str, width: int) -> str:
    """The text in exactly so many cells of a terminal, with a mark where it is cut."""
    if width <= 0:
        return ""
    text = _safe(text[: width + 1])  # each character has a cell at least
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "~"


def _safe(text: str) -> str:
    """The text, of which each character has a place of its own on a terminal.

    Marks that a terminal puts on the letter before are escaped: they may be thousands.
    """
    text = clean(text)
    if text.isascii():
        return text
    return "".join(char if cell_len(char) else ascii(char)[1:-1] for char in text)


# ---------------------------------------------------------------------- the head and the foot


def _cause(seen: Seen, width: int, most: int) -> Iterator[Line]:
    """The worst that is wrong, on as many lines as it needs, and how much else is."""
    if not seen.causes:
        yield Line("nothing is wrong" if seen.overview else f"{seen.store}: asking ...", "bold")
        return
    others = len(seen.causes) - 1
    more = f" (w: {others} more)" if others else ""
    for line in _wrapped(_fitting(seen.causes[0], width * most - len(more) - 2) + more, width):
        yield Line(line, "bold")


def _fitting(cause: Cause, room: int) -> str:
    """The cause in so many cells: since when and the command are in it, whatever its length."""
    line = f"! {_safe(cause.line[:_LONGEST])}"
    if cell_len(line) <= room:
        return line
    since = f", since {cause.since}" if cause.since else ""
    end = f"{since}. [{_safe(cause.command)}]" if cause.command else since
    said = f"{cause.queue}: {cause.sentence}" if cause.queue else cause.sentence
    return cells(f"! {said}", max(10, room - cell_len(end))) + end


def _wrapped(text: str, width: int) -> Iterator[str]:
    """The text in lines of so many cells, cut between words where there are some."""
    while text:
        end = _cut(text, max(2, width))
        yield text[:end].rstrip()
        text = text[end:].lstrip()


def _cut(text: str, width: int) -> int:
    """How many of its characters fit on a line."""
    if len(text) <= width and cell_len(text) <= width:
        return len(text)
    used, end = 0, 0
    while end < len(text) and (used := used + cell_len(text[end])) <= width:
        end += 1
    space = text.rfind(" ", end // 2, end + 1)
    return space if space > 0 else max(1, end)


def header(seen: Seen, position: Position) -> str:
    """When it was, what is shown of it, and sums over all queues."""
    found = seen.overview
    if found is None:
        return f"{seen.store}: no figures yet"
    sums = (
        f"{sum(getattr(each, state) for each in found.queues)} {state}"
        for state in ("waiting", "active", "failed")
    )
    shown = [f"filter: {position.filter}"] * bool(position.filter)
    shown += [f"queue: {position.wanted.queue}"] * bool(position.wanted.queue)
    when = f"{found.now}"[:19] + "Z"
    if seen.old:
        when = f"FIGURES OF {when}, {span(seen.age)} OLD"
    told = (when, *shown, counted(len(found.daemons), "daemon"), *sums, found.store)
    return "  ".join(told)


def _foot(seen: Seen, position: Position, width: int) -> Line:
    if position.act:
        return Line(_question(position.act, seen.by, width), "reverse")
    if position.filtering:
        return Line(f"filter: {_end(position.filter, width - 10)}_", "reverse")
    return Line(position.said or HINTS)


def _question(act: Act, by: str, width: int) -> str:
    if act.verb != "pause":
        return f"[y/n] {act.verb} {act.named}, as {by}?"
    asked = cells(f"pause {act.named}, as {by} (Enter: do it, Esc: no)? reason: ", width).rstrip()
    typed = _end(act.reason, max(8, width - cell_len(asked) - 2))
    return f"{cells(asked, width - cell_len(typed) - 2).rstrip()} {typed}_"


def _end(text: str, width: int) -> str:
    """What of a text that somebody types fits."""
    text = _safe(text)[-max(1, width) :]
    while cell_len(text) > max(0, width):
        text = text[1:]
    return text


# ---------------------------------------------------------------------- pages


def _page(seen: Seen, position: Position, width: int, room: int) -> Iterator[Line]:
    lines = list(KEYS if position.page == "keys" else _told(seen, width))
    begin = max(0, min(position.scrolled, len(lines) - room))
    for line in lines[begin : begin + room]:
        yield Line(line)


def _told(seen: Seen, width: int) -> Iterator[str]:
    """All that is wrong, and what changes it."""
    for cause in seen.causes:
        yield from _wrapped(f"! {_safe(cause.line[:_LONGEST])}", width)
        if cause.changes:
            yield from _wrapped(f"  until {_safe(cause.changes[:_LONGEST])}", width)
        yield ""
    if not seen.causes:
        yield "nothing is wrong"


# ---------------------------------------------------------------------- panes


def _panes(overview: Overview, position: Position, width: int, room: int) -> Iterator[Line]:
    for name, lines in _shares(overview, position, room).items():
        yield from _pane(overview, position, name, width, lines)


def _shares(overview: Overview, position: Position, room: int) -> dict[PaneName, int]:
    """How many lines each pane gets: the one where somebody is gets what the others leave."""
    if room < _LEAST_BODY:
        return {position.pane: room}
    others = [name for name in ORDER if name != position.pane]
    needs = {name: max(2, 1 + len(position.rows(overview, name))) for name in ORDER}
    shares = {name: min(needs[name], room // 4) for name in others}
    # What the pane itself does not need is for the others.
    free = room - sum(shares.values()) - needs[position.pane]
    for name in others:
        more = max(0, min(free, needs[name] - shares[name]))
        shares[name] += more
        free -= more
    shares[position.pane] = room - sum(shares.values())
    return {name: shares[name] for name in ORDER}


def _pane(
    overview: Overview, position: Position, name: PaneName, width: int, room: int
) -> Iterator[Line]:
    pane, rows = position.pane_of(name), position.rows(overview, name)
    widths = _widths(pane.columns, width - 2)
    yield Line(_heading(overview, position, pane, widths, len(rows)), "bold")
    chosen = position.index(rows, name)
    size = room - 1
    begin = max(0, min(chosen - size // 2, len(rows) - size))
    for number, row in enumerate(rows[begin : begin + size], begin):
        here = name == position.pane and number == chosen
        text = " ".join(_cell(column, column.text(row), of) for column, of in widths)
        yield Line(f"{'>' if here else ' '} {text}", "reverse" if here else "")
    if not rows and size > 0:
        yield Line("  none")
    yield from [Line("")] * (size - max(1, len(rows)))


def _heading(overview: Overview, position: Position, pane: Pane, widths: Widths, shown: int) -> str:
    """The titles of the columns, with a mark before the one by which the pane is sorted.

    That of the first names the pane, and says how many rows it has.
    """
    listed = overview.total if pane.name == "jobs" else len(getattr(overview, pane.name))
    of = f"{shown}" if shown == listed else f"{shown} of {listed}"
    order = position.sorting.get(pane.name)
    by = order.by if order and order.by in pane.sortable else pane.by
    mark = "<" if order and order.reverse else ">"
    text = " "
    for number, (column, width) in enumerate(widths):
        title = column.title if number else f"{pane.title} {of}"
        text += (mark if column.title == by else " ") + _cell(column, title, width)
    return text


def _cell(column: Column, text: str, width: int) -> str:
    if column.left or column.width < 0:
        return cells(text, width)
    text = cells(text, width).rstrip()
    return " " * (width - cell_len(text)) + text


Widths = list[tuple[Column, int]]


def _widths(columns: Sequence[Column], width: int) -> Widths:
    """The columns for which there is room, and how many cells each has.

    The flexible ones share what the others leave.
    """
    left = width - sum(max(0, column.width) for column in columns) - (len(columns) - 1)
    parts = sum(-column.width for column in columns if column.width < 0)
    spare = max(columns, key=lambda column: column.spare)
    if left < _LEAST_FLEXIBLE * parts and spare.spare:
        return _widths([column for column in columns if column is not spare], width)
    begins = [0]
    for column in columns:
        begins.append(begins[-1] + max(0, -column.width))
    ends = [max(0, left) * begin // max(1, parts) for begin in begins]
    return [
        (column, column.width if column.width > 0 else after - before)
        for column, (before, after) in zip(columns, pairwise(ends), strict=True)
    ]
