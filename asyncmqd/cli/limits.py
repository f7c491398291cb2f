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
    if limits["each_key"] is not None:
        fields.append(("limits of each key", _of_key(limits["each_key"])))
    fields += [(f"limits of key {key}", _of_key(own)) for key, own in limits["keys"].items()]
    if limits["closed_keys"]:
        fields.append(("keys that are used up", str(limits["closed_keys"])))
    return [*fields, ("limits declared", f"by {limits['by']} at {limits['since']}")]


def _running(limits: Mapping[str, Any]) -> str:
    most, ghosts = limits["concurrency"], limits["ghosts"]
    said = "no limit" if most is None else f"{limits['held']} of {most}"
    return said + (f", {ghosts} of them cancelled or removed" if ghosts else "")


def _of_key(limits: Mapping[str, Any]) -> str:
    """`limits` has the fields of `KeyLimits`; those that are as in code may be missing."""
    parts = []
    if limits.get("concurrency") is not None:
        parts.append(f"{limits['concurrency']} running")
    if (rate := limits.get("rate_limit")) is not None:
        burst = limits.get("burst") or rate
        parts.append(f"{rate:g} in {limits.get('rate_interval', 1.0):g} s, {burst:g} at once")
    if limits.get("weight", 1.0) != 1.0:
        parts.append(f"weight {limits['weight']:g}")
    return "; ".join(parts) or "no limit"


def _starts(limits: Mapping[str, Any]) -> str:
    if not limits["rate_limit"]:
        return "none"
    said = f"{limits['rate_limit']:g} in {limits['rate_interval']:g} s"
    opens = f", the next at {limits['opens']}" if limits["opens"] else ""
    return f"{said}, {limits['burst']:g} at once; {limits['allowed']} now{opens}"
