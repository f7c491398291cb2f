"""Text of others on its way to a terminal, a log, a journal or a service manager."""

from __future__ import annotations

import json

_DELETE = 0x7F  # a number: Python looks for a `bytes` in another by way of an error that it drops


def clean(text: str) -> str:
    """The text without what could move a cursor, fake a line or turn its direction.

    Such characters are escaped as Python writes them: `\\x1b`, `\\n`, `\\u202e`.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def counted(number: int, noun: str) -> str:
    """The number and the noun, whose plural ends in s: "1 job", "2 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clean_lines(text: str, indent: str = "") -> str:
    """The same for a text of several lines, such as a traceback: its line ends stay."""
    return "\n".join(indent + clean(line) for line in text.split("\n"))


def is_clean(lines: bytes) -> bool:
    """Whether lines of JSON need no second look at each character: no terminal obeys them."""
    return lines.isascii() and _DELETE not in lines


def clean_json(line: bytes) -> bytes:
    r"""A line of JSON in UTF-8 of the same value and the same cleanliness, with JSON's escapes.

    JSON itself lets everything above U+001F stand as it is: the journal shows a line with U+009F
    as "blob data", and a terminal obeys it.
    """
    if is_clean(line):
        return line
    text = line.decode()
    if text.isprintable():
        return line
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text).encode()
