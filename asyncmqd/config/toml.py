"""One TOML text: what it means, and every syntax error in it at once.

tomllib decides what is valid, and stops at the first error. So the broken statement is taken out
and the rest is read again: the user hears of all errors in one go, and of the wrong values in the
parts that are sound.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncmqd.config.errors import Path, dotted
from asyncmqd.config.nesting_depth import too_deep

if TYPE_CHECKING:
    from asyncmqd.config.line_numbers import Places

_MOST_PROBLEMS = 10
_LONGEST_KEY = 80  # characters that are shown
_WORK = 2 * 1024 * 1024  # characters to read again while looking for more errors
_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*\[\[?[\w.-]+\]")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")
_NO_BYTE_ORDER_MARK = "expected UTF-8 without a byte-order mark, got one"
# What tomllib's messages mean for somebody who reads them for the first time.
_EXPECTED = {
    "Invalid value": "a value in TOML (text stands in quotes)",
    "Expected '='": "'=' after the key",
    "Unclosed array": "',' or ']' in the array",
    "Unclosed inline table": "',' or '}' in the inline table",
    "Expected newline": "the end of the line after the statement",
    "Invalid statement": "a key, a [table] or a # comment",
    "Unterminated string": "quotes that close the text",
    "Illegal character '\\n'": "quotes that close the text",
    "Illegal character": "no control character",
    "Found invalid character": "no control character",
    "Unescaped '\\'": "'\\\\' for a backslash, or text in single quotes",
    "Invalid hex value": "a Unicode escape of hexadecimal digits",
    "Escaped character": "a Unicode character",
    "Expected ']'": "']' after the table's name",
    "Expected ']]'": "']]' after the table's name",
    "Invalid initial character": "a key",
    "Invalid date": "a date or time that exists",
    "Duplicate inline table key": "each key once",
    "Cannot overwrite": "each key once",
    "Cannot declare": "each table once",
    "Cannot mutate": "a table that was not closed before",
    "Cannot redefine": "each table once",
    "Exceeds the limit": "a number of at most 64 bits",
    "maximum recursion depth": "less nesting",
    "TOML inline": "less nesting",
}
# What those have that tomllib gives no column for.
_GOT = {
    "Exceeds the limit": "more digits",
    "maximum recursion depth": "more",
    "TOML inline": "more",
}


@dataclass(frozen=True)
class SyntaxProblem:
    """A syntax error: its line, the key or table that it is in, and "expected X, got Y"."""

    line: int
    key: str
    problem: str


@dataclass
class Document:
    """A text as far as it can be read, without the statements named in `problems`."""

    text: str
    data: dict[str, Any]
    problems: list[SyntaxProblem]

    @cached_property
    def places(self) -> Places:
        """Where the keys of `data` stand."""
        from asyncmqd.config.line_numbers import Places

        return Places(self.text)


@lru_cache(maxsize=4)
def read(text: str) -> Document:
    """Read a text, going on after errors. Never raises.

    The same text is read once: a reload that finds nothing new is quick. Leave the document as it
    is.
    """
    text = text.replace("\r\n", "\n")
    problems: list[SyntaxProblem] = []
    if text.startswith("\ufeff"):
        problems.append(SyntaxProblem(1, "toml", _NO_BYTE_ORDER_MARK))
        text = text[1:]
    if deep := too_deep(text):
        problems.append(SyntaxProblem(deep.line, _key_on(text, deep.line), deep.problem))
        return Document("", {}, problems)
    work = max(2, _WORK // (len(text) + 1))
    while work > 0 and len(problems) < _MOST_PROBLEMS:
        found = _try(text)
        if not isinstance(found, _Failure):
            return Document(text, found, problems)
        broken = _Broken(text, found)
        problems.append(broken.problem())
        text = broken.without()
        work -= 1 + broken.tries
    return Document(text, {}, problems)


def _key_on(text: str, line: int) -> str:
    """The key that a line sets, by its look: the text is too deep to be taken apart."""
    lines = text.split("\n")[:line]
    name = _KEY.match(lines[-1])
    if name is None:
        return "toml"
    header = next((found for each in reversed(lines) if (found := _HEADER.match(each))), None)
    table = f"{header[0].strip().strip('[]')}." if header else ""
    return f"{table}{name[1]}"[:_LONGEST_KEY]


class _Failure(NamedTuple):
    line: int  # where tomllib stopped; 0: at the end
    column: int
    message: str


def _try(text: str) -> dict[str, Any] | _Failure:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        message = str(error)
    if where := _WHERE.search(message):
        return _Failure(int(where[1] or 0), int(where[2] or 1), message[: where.start()])
    return _Failure(_line_without_position(text), 1, message)


def _line_without_position(text: str) -> int:
    """The line of the two errors whose place tomllib does not tell: long numbers, deep nesting."""
    digits = sys.get_int_max_str_digits() or 4_300
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if re.search(rf"\d[\d_]{{{digits},}}", line):
            return number
    return max(range(len(lines)), key=lambda i: lines[i].count("[") + lines[i].count("{")) + 1


class _Broken:
    """One broken statement of a text."""

    def __init__(self, text: str, failure: _Failure) -> None:
        from asyncmqd.config.line_numbers import Places

        line, self._column, self._message = failure
        self._text = text
        self._lines = text.split("\n")
        self._places = Places(text)
        self.tries = 0  # times that a part of the text was read again
        self._at_end = not line
        self._line = line or self._unclosed_line()
        self._start = self._statement_start()
        if self._at_end:
            self._line, self._end = self._start, len(self._lines)
        elif self._start < line and _HEADER.match(self._lines[line - 1]):
            # A table header inside a value: the value was never closed, the header is sound.
            self._line, self._end = self._start, line - 1
            self._message = "never closed"
        else:
            self._end = line

    def problem(self) -> SyntaxProblem:
        earlier = self._places.earlier(self._start)
        if earlier and self._message.startswith(("Cannot overwrite", "Cannot declare")):
            path, first = earlier
            again = f"expected each name once, got it again (first on line {first})"
            return SyntaxProblem(self._start, dotted(path), again)
        return SyntaxProblem(
            self._line, self._key(), f"expected {self._expected()}, got {self._got()}"
        )

    def without(self) -> str:
        """The text with the broken statement as blank lines; of a header, with its whole table."""
        # Inside a long value only the line itself: its other lines may be sound.
        first, end = self._line, self._end
        if self._start == first and self._lines[first - 1].lstrip().startswith("["):
            while end < len(self._lines) and not self._lines[end].lstrip().startswith("["):
                end += 1
        blank = [""] * (end - first + 1)
        return "\n".join([*self._lines[: first - 1], *blank, *self._lines[end:]])

    def _unclosed_line(self) -> int:
        """Where what the text's end cut off began."""
        broken = self._places.broken_lines()
        return broken[0] if broken else len(self._text.rstrip().split("\n"))

    def _statement_start(self) -> int:
        """The line on which the statement around the error begins: all before it is sound."""
        most = 20 if len(self._text) < 64 * 1024 else 1
        for start in range(self._line, max(0, self._line - most), -1):
            self.tries += 1
            try:
                tomllib.loads("\n".join(self._lines[: start - 1]))
            except (ValueError, RecursionError):
                continue
            return start
        return self._line

    def _key(self) -> str:
        first = self._lines[self._start - 1]
        if first.lstrip().startswith("["):
            return "toml"
        from asyncmqd.config.line_numbers import Places

        # Of the sound part: a broken statement may take the headers around it out of the tree.
        above = Places("\n".join(self._lines[: self._start - 1])).tables
        table: Path = above[-1][0] if above else ()
        name = _KEY.match(first)
        path = (*table, name[1]) if name else table
        return dotted(path) or "toml"

    def _expected(self) -> str:
        for beginning in sorted(_EXPECTED, key=len, reverse=True):
            if self._message.startswith(beginning):
                return _EXPECTED[beginning]
        if self._message == "never closed":
            return f"the value to be closed before line {self._end + 1}"
        return f"valid TOML ({self._message})"

    def _got(self) -> str:
        if self._at_end:
            return "the end of the file"
        for beginning, got in _GOT.items():
            if self._message.startswith(beginning):
                return got
        statement = "\n".join(self._lines[self._start - 1 : self._line])
        if "://" in statement or "backend" in statement:
            return "text that is not shown, because it may hold a password"
        if self._message == "never closed":
            return f"{self._lines[self._end].strip()[:40]!r}"
        rest = self._lines[self._line - 1][self._column - 1 :].strip()
        return repr(rest[:40]) if rest else "the end of the line"
