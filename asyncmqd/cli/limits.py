"""The limits of a queue over all daemons, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def limits_fields(limits: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What holds over all daemons, by whom and since when; nothing where nothing ever did.

    `limits` has the fields of `LimitsView`.
    """
    if limits is None:
        return []
    fields = [("running in all daemons", _running(limits))]
    if limits["rate_limit"] is not None:
        fields.append(("starts in all daemons", _starts(limits)))
    return [*fields, ("limits declared", f"by {limits['by']} at {limits['since']}")]


def _running(limits: Mapping[str, Any]) -> str:
    most, ghosts = limits["concurrency"], limits["ghosts"]
    said = "no limit" if most is None else f"{limits['held']} of {most}"
    return said + (f", {ghosts} of them cancelled or removed" if ghosts else "")


def _starts(limits: Mapping[str, Any]) -> str:
    if not limits["rate_limit"]:
        return "none"
    said = f"{limits['rate_limit']:g} in {limits['rate_interval']:g} s"
    opens = f", the next at {limits['opens']}" if limits["opens"] else ""
    return f"{said}, {limits['burst']:g} at once; {limits['allowed']} now{opens}"
