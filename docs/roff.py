"""Markdown as the language of manual pages, man(7): as much of it as docs/man needs.

A list item of the form "`term`: text" becomes an entry with the term beside the text.
"""  # noqa: INP001 - used by a script

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

_FONTS = {"strong": "B", "em": "I"}


def render(markdown: str) -> str:
    """The body of a manual page. Raises ValueError for Markdown that is not known here."""
    lines: list[str] = []
    for line in _lines(MarkdownIt("commonmark").parse(markdown)):
        if line == ".PP" and lines[-1].startswith((".SH", ".SS")):
            continue  # a heading begins a paragraph already
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _lines(tokens: Sequence[Token]) -> Iterator[str]:
    parents: list[Token] = []
    for token in tokens:
        if token.nesting > 0:
            parents.append(token)
        elif token.nesting < 0:
            parents.pop()
        elif token.type == "fence":
            yield from (".PP", ".in +4n", ".nf", *_verbatim(token.content), ".fi", ".in")
        elif token.type == "inline":
            yield from _block(token, parents)
        else:
            raise ValueError(f"docs/man: {token.type}: not known to docs/roff.py")


def _block(token: Token, parents: Sequence[Token]) -> Iterator[str]:
    match [parent.type for parent in parents]:
        case ["heading_open"]:
            macro = "SH" if parents[-1].tag == "h1" else "SS"
            yield f".{macro} {_quoted(token.content)}"
        case ["paragraph_open"]:
            yield ".PP"
            yield _text(token.children or ())
        case ["bullet_list_open", "list_item_open", "paragraph_open"]:
            yield from _entry(token)
        case unknown:
            raise ValueError(f"docs/man: {unknown}: not known to docs/roff.py")


def _entry(token: Token) -> Iterator[str]:
    children = token.children or []
    for index, child in enumerate(children):
        head, colon, rest = child.content.partition(": ")
        if child.type == "text" and colon:
            split = [Token("text", "", 0, content=part) for part in (head, rest)]
            yield ".TP"
            yield _text([*children[:index], split[0]])
            yield _text([split[1], *children[index + 1 :]])
            return
    raise ValueError(f"docs/man: expected a list item `term`: text, got {token.content!r}")


def _text(children: Sequence[Token]) -> str:
    """Running text. Fonts nest nowhere here, so each ends with the usual one."""
    parts = []
    for child in children:
        match child.type:
            case "text":
                parts.append(_escaped(child.content))
            case "softbreak":
                parts.append("\n")
            case "code_inline":
                parts.append(rf"\fB{_escaped(child.content)}\fR")
            case "strong_open" | "em_open":
                parts.append(rf"\f{_FONTS[child.type.removesuffix('_open')]}")
            case "strong_close" | "em_close":
                parts.append(r"\fR")
            case unknown:
                raise ValueError(f"docs/man: {unknown} is not known to docs/roff.py")
    return "\n".join(_guarded(line) for line in "".join(parts).split("\n"))


def _verbatim(text: str) -> Iterator[str]:
    return (_guarded(_escaped(line)) for line in text.rstrip("\n").split("\n"))


def _escaped(text: str) -> str:
    """The text itself: no escapes, no hyphen where people will copy a minus."""
    return text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")


def _guarded(line: str) -> str:
    """The line itself, also where it would be read as a request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', r"\(dq") + '"'
