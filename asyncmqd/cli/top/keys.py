"""What a key does in `asyncmq top`: a pure function of where somebody is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from asyncmqd.admin.overview import JobLine, Overview, QueueLine, Wanted
from asyncmqd.cli.top.panes import ORDER, Order, PaneName
from asyncmqd.cli.top.position import Act, Position
from asyncmqd.domain.states import State

PAGE = 10  # rows
Command = Act | Literal["quit", "redraw"] | None
"""What is to be done beside the new position."""

_STATES = list(State)


def press(position: Position, key: str, overview: Overview | None) -> tuple[Position, Command]:
    """Where somebody is after a key, and what is to be done.

    A key is a character, or the name of one that has none: up, page_down, enter, escape and so on.
    """
    if key == "redraw":
        return position, "redraw"
    if position.act:
        return _answer(position, position.act, key)
    if position.filtering:
        return _filter(position, key), None
    if position.page and (moved := _scrolled(position, key)):
        return moved, None
    if key == "q":
        return position, "quit"
    if position.page and key != "w":
        return replace(position, page=""), None
    position = replace(position, said="")
    done = _ANYWHERE.get(key)
    if done:
        return done(position), None
    if overview is not None and key in _AT_ROWS:
        return _AT_ROWS[key](position, overview), None
    return position, None


# ---------------------------------------------------------------------- questions, text, pages


def _answer(position: Position, act: Act, key: str) -> tuple[Position, Command]:
    if act.verb == "pause" and key not in {"enter", "escape"}:
        return replace(position, act=replace(act, reason=_typed(act.reason, key))), None
    done = replace(position, act=None, said="")
    if key in {"y", "Y"} or (act.verb == "pause" and key == "enter"):
        return replace(done, said=f"{act.verb} {act.named} ..."), act
    return replace(done, said="nothing was done"), None


def _filter(position: Position, key: str) -> Position:
    if key == "enter":
        return replace(position, filtering=False)
    if key == "escape":
        return replace(position, filtering=False, filter="")
    return replace(position, filter=_typed(position.filter, key))


def _typed(text: str, key: str) -> str:
    if key == "backspace":
        return text[:-1]
    return text + key if len(key) == 1 and key.isprintable() and len(text) < 500 else text


def _scrolled(position: Position, key: str) -> Position | None:
    if key not in _STEPS:
        return None
    return replace(position, scrolled=max(0, min(position.scrolled + _STEPS[key], 10_000)))


_STEPS = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page_up": -PAGE,
    "page_down": PAGE,
    "home": -(10**9),
    "end": 10**9,
}


# ---------------------------------------------------------------------- moving about


def _other_pane(step: int) -> Callable[[Position], Position]:
    def go(position: Position) -> Position:
        return replace(position, pane=ORDER[(ORDER.index(position.pane) + step) % len(ORDER)])

    return go


def _other_state(step: int) -> Callable[[Position], Position]:
    def go(position: Position) -> Position:
        wanted = position.wanted
        state = _STATES[(_STATES.index(wanted.state) + step) % len(_STATES)]
        return replace(position, pane="jobs", wanted=Wanted(state, wanted.queue))

    return go


def _sort(position: Position) -> Position:
    pane = position.pane_of(position.pane)
    order = position.sorting.get(pane.name, Order())
    titles = pane.sortable
    by = order.by if order.by in titles else pane.by
    following = titles[(titles.index(by) + 1) % len(titles)]
    return _ordered(position, pane.name, Order(following, order.reverse))


def _turn_round(position: Position) -> Position:
    order = position.sorting.get(position.pane, Order())
    return _ordered(position, position.pane, replace(order, reverse=not order.reverse))


def _ordered(position: Position, name: PaneName, order: Order) -> Position:
    return replace(position, sorting={**position.sorting, name: order})


def _widen(position: Position) -> Position:
    """Take back the filter, or else the queue."""
    if position.filter:
        return replace(position, filter="")
    return replace(position, wanted=Wanted(position.wanted.state))


def _open(page: Any) -> Callable[[Position], Position]:
    return lambda position: replace(position, page=page, scrolled=0)


_ANYWHERE: dict[str, Callable[[Position], Position]] = {
    "tab": _other_pane(1),
    "right": _other_pane(1),
    "back_tab": _other_pane(-1),
    "left": _other_pane(-1),
    "s": _other_state(1),
    "S": _other_state(-1),
    "o": _sort,
    "O": _turn_round,
    "/": lambda position: replace(position, filtering=True, filter=""),
    "escape": _widen,
    "?": _open("keys"),
    "h": _open("keys"),
    "w": _open("causes"),
}


# ---------------------------------------------------------------------- rows


def _step(step: int) -> Callable[[Position, Overview], Position]:
    def move(position: Position, overview: Overview) -> Position:
        rows = position.rows(overview, position.pane)
        if not rows:
            return position
        index = max(0, min(position.index(rows, position.pane) + step, len(rows) - 1))
        key = position.pane_of(position.pane).key(rows[index])
        return replace(position, chosen={**position.chosen, position.pane: (key, index)})

    return move


def _enter(position: Position, overview: Overview) -> Position:
    row = position.row(overview)
    if not isinstance(row, QueueLine):
        return position
    return replace(position, pane="jobs", filter="", wanted=Wanted(position.wanted.state, row.name))


def _pause(position: Position, overview: Overview) -> Position:
    row = position.row(overview)
    if not isinstance(row, QueueLine):
        return replace(position, said="p pauses or resumes a queue: choose one (Tab)")
    verb: Literal["pause", "resume"] = "resume" if row.pause else "pause"
    return _asked(position, overview, Act(verb, row.name))


def _to_job(verb: Literal["retry", "cancel"]) -> Callable[[Position, Overview], Position]:
    def ask(position: Position, overview: Overview) -> Position:
        row = position.row(overview)
        if not isinstance(row, JobLine):
            there = "choose one (Tab; s: of another state)"
            return replace(position, said=f"{verb} is for jobs: {there}")
        return _asked(position, overview, Act(verb, row.queue, row.id))

    return ask


def _asked(position: Position, overview: Overview, act: Act) -> Position:
    """Ask, with the row that is meant kept: what is listed may change meanwhile."""
    return replace(_step(0)(position, overview), act=act)


_AT_ROWS: dict[str, Callable[[Position, Overview], Position]] = {
    **{key: _step(step) for key, step in _STEPS.items()},
    "enter": _enter,
    "p": _pause,
    "r": _to_job("retry"),
    "c": _to_job("cancel"),
}
