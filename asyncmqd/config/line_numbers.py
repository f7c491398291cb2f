"""Where each key of a TOML text stands.

tomllib says what a text means but not where; tree-sitter says where, and goes on after an error.
It is only asked once something is wrong, so that a good start does not pay for it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from asyncmqd.config.errors import Path

_LANGUAGE = Language(tree_sitter_toml.language())
_KEYS = {"bare_key", "quoted_key", "dotted_key"}
_PUNCTUATION = {"[", "]", ",", "comment"}


class Places:
    """Every key and table of one text, in the order in which they were written."""

    def __init__(self, text: str) -> None:
        self._root = Parser(_LANGUAGE).parse(text.encode("utf-8", "replace")).root_node
        self.keys: list[tuple[Path, int]] = []
        self.tables: list[tuple[Path, int]] = []
        self._lengths: dict[Path, int] = {}  # of the arrays of tables so far
        for node in self._root.children:
            if node.type == "pair":
                self._add_pair(node, ())
            elif node.type in {"table", "table_array_element"}:
                self._add_table(node)
        self._lines: dict[Path, int] = {}
        self._implied: dict[Path, int] = {}  # tables that a longer name brings along
        for path, line in self.tables + self.keys:
            self._lines.setdefault(path, line)
            for length in range(1, len(path)):
                self._implied.setdefault(path[:length], line)

    def line(self, path: Path) -> int | None:
        """The line that a key or table begins on, or None."""
        return self._lines.get(path) or self._implied.get(path)

    def earlier(self, line: int) -> tuple[Path, int] | None:
        """The key or table on this line, and the line where it was written before, if it was."""
        for path, start in self.keys + self.tables:
            first = self._lines[path]
            if start == line and first < line:
                return path, first
        return None

    def broken_lines(self) -> list[int]:
        """The lines on which something begins that is no TOML."""
        return sorted({_line(node) for node in _errors(self._root)})

    def _add_table(self, node: Node) -> None:
        header = next((child for child in node.children if child.type in _KEYS), None)
        if header is None:
            return
        path = self._inside_arrays(_names(header))
        if node.type == "table_array_element":
            index = self._lengths.get(path, 0)
            self._lengths[path] = index + 1
            self.tables.append((path, _line(node)))
            path = (*path, index)
        self.tables.append((path, _line(node)))
        for child in node.children:
            if child.type == "pair":
                self._add_pair(child, path)

    def _inside_arrays(self, names: Path) -> Path:
        """The path of a header, with the index of the last element of each array on the way."""
        path: Path = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return (*path, *names[-1:])

    def _add_pair(self, node: Node, table: Path) -> None:
        key, value = node.children[0], node.children[-1]
        path = table + _names(key)
        self.keys.append((path, _line(node)))
        self._add_value(value, path)

    def _add_value(self, node: Node, path: Path) -> None:
        if node.type == "inline_table":
            for child in node.children:
                if child.type == "pair":
                    self._add_pair(child, path)
        elif node.type == "array":
            elements = [child for child in node.children if child.type not in _PUNCTUATION]
            for index, element in enumerate(elements):
                self.keys.append(((*path, index), _line(element)))
                self._add_value(element, (*path, index))


def _line(node: Node) -> int:
    return node.start_point[0] + 1


def _errors(node: Node) -> Iterator[Node]:
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from _errors(child)


def _names(key: Node) -> Path:
    """The names of a key, bare, quoted or dotted. tomllib reads them: its rules decide."""
    text = (key.text or b"").decode("utf-8", "replace")
    if key.type == "bare_key":
        return (text,)
    try:
        table: Any = tomllib.loads(f"{text} = 0")
    except ValueError:
        return (text,)
    names: list[str] = []
    while isinstance(table, dict):
        [(name, table)] = table.items()
        names.append(name)
    return tuple(names)
