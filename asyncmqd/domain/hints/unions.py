"""Unions: which of several a value was is read from its JSON alone, or the union is refused."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import msgspec

from asyncmqd.domain.hints.form import FORMATS, Form, Uncarried, shown


def union(hint: Any, forms: Sequence[Form]) -> Form:
    """One of several. Raises Uncarried for two that cannot be told apart by their JSON."""
    members = tuple(leaf for form in forms for leaf in (form.members or (form,)))
    for one, other in combinations(members, 2):
        if not _apart(one, other):
            raise Uncarried(_alike(hint, one, other))
    return Form(
        hint=hint,
        read=functools.partial(_read_one_of, members, shown(hint)),
        kinds=frozenset().union(*(each.kinds for each in members)),
        plain=all(each.plain for each in members),
        native=all(each.native for each in members),
        exact=frozenset().union(*(each.exact for each in members)),
        values=_all_values(members),
        members=members,
        loose=any(each.loose for each in members),
    )


def _alike(hint: Any, one: Form, other: Form) -> str:
    instead = "declare one of them"
    if "object" in one.kinds & other.kinds:
        instead += ", or give each a field that tells which it is (kind: Literal['...'])"
    return (
        f"{shown(hint)}: expected types that their JSON tells apart, got {one.name} and"
        f" {other.name}; {instead}"
    )


def _all_values(members: Sequence[Form]) -> frozenset[bytes] | None:
    values: frozenset[bytes] = frozenset()
    for each in members:
        if each.values is None:
            return None
        values |= each.values
    return values


def _apart(one: Form, other: Form) -> bool:
    if one.plain and other.plain:
        return True  # the JSON is the value, whichever of them it is
    if one.values is not None and other.values is not None:
        return not one.values & other.values
    shared = one.kinds & other.kinds
    if "object" in shared and one.keys and other.keys and one.keys.apart(other.keys):
        shared -= {"object"}
    if "text" in shared and _texts_apart(one, other):
        shared -= {"text"}
    return not shared


def _texts_apart(one: Form, other: Form) -> bool:
    if one.values is None and other.values is None:
        return one.format is not None and other.format is not None and one.format != other.format
    few, many = (one, other) if other.values is None else (other, one)
    if many.format is None:
        return False
    texts = [msgspec.json.decode(value) for value in few.values or ()]
    return not any(FORMATS[many.format].fullmatch(text) for text in texts if isinstance(text, str))


def _read_one_of(members: Sequence[Form], name: str, value: Any) -> Any:
    written = [each for each in members if each.may_be(value)]
    if len(written) == 1:
        return written[0].read(value)
    # Written by hand, with fields left out: nothing is guessed, but one may be the only one.
    found = []
    for each in written or members:
        try:
            found.append((each, each.read(value)))
        except (ValueError, TypeError):
            continue
    if not found:
        raise ValueError(f"Expected `{name}`, got what is none of them")
    if len(found) > 1 and not all(each.plain for each, _ in found):
        names = " and ".join(each.name for each, _ in found)
        raise ValueError(f"Expected `{name}`, got what may be {names}")
    return found[0][1]
