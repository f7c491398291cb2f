"""How deep a TOML text nests, before anybody reads it.

tomllib and tree-sitter descend once for each level, and a dotted key of some thousand parts takes
them minutes. Both are bounded here, in one pass that takes no longer for a hostile text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_DEPTH = 100  # levels, as in the arguments of a job

# What may hold brackets and dots that mean nothing: texts and comments.
_OPAQUE = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*(?:"""|$)'
    r"|'''(?:[^']|'(?!''))*(?:'''|$)"
    r'|"(?:[^"\\\n]|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|\#[^\n]*",
    re.DOTALL,
)
_BETWEEN_KEYS = re.compile(r"[=,\[\]{}\n]")
_BRACKETS = re.compile(r"[\[\]{}\n]")


class TooDeep(NamedTuple):
    """The first place that nests deeper than MAX_DEPTH."""

    line: int
    problem: str


def too_deep(text: str) -> TooDeep | None:
    """The first line on which a text nests too deep, or None."""
    if text.count("[") + text.count("{") <= MAX_DEPTH and text.count(".") <= MAX_DEPTH:
        return None
    plain = _OPAQUE.sub(_as_plain, text)
    return _deep_brackets(plain) or _long_key(plain)


def _as_plain(found: re.Match[str]) -> str:
    return "_" + "\n" * found[0].count("\n")


def _deep_brackets(plain: str) -> TooDeep | None:
    line, depth = 1, 0
    for found in _BRACKETS.finditer(plain):
        match found[0]:
            case "\n":
                line += 1
            case "[" | "{":
                depth += 1
            case _:
                depth = max(0, depth - 1)
        if depth > MAX_DEPTH:
            return TooDeep(line, f"expected at most {MAX_DEPTH} levels of nesting, got more")
    return None


def _long_key(plain: str) -> TooDeep | None:
    at = 0
    for piece in _BETWEEN_KEYS.split(plain):
        if (parts := piece.count(".") + 1) > MAX_DEPTH:
            line = plain.count("\n", 0, at) + 1
            return TooDeep(line, f"expected a key of at most {MAX_DEPTH} parts, got {parts}")
        at += len(piece) + 1
    return None
