"""How `why` is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncmqd.cli.output import say, show_fields, show_json

if TYPE_CHECKING:
    from asyncmqd.admin.claim_obstacles import Reason


def show_reason(reason: Reason, *, as_json: bool) -> None:
    """The sentence first, then what is known beside it, a line each."""
    if as_json:
        show_json(reason)
        return
    say(reason.sentence)
    fields = ("since", "until", "changes", "command")
    show_fields([("reason", reason.name), *((f, v) for f in fields if (v := getattr(reason, f)))])
    for each in reason.also:
        say(f"also: {each.sentence}" + (f" [{each.command}]" if each.command else ""))
