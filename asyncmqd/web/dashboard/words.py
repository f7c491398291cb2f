"""Values as people read them, and as a page may show them whoever wrote them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from asyncmqd.domain.safe_text import clean, clean_lines

NOTHING = "\N{EN DASH}"
_WIDE = 72  # characters of a value that stands in one line
LONGEST = 8 * 1024  # characters of a value that a page shows
_MOMENT = re.compile(r"(\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)")
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def shown(value: Any) -> Any:
    """What a template puts into the page: no text that hides, or turns the direction of others."""
    if value is None:
        return ""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def duration(seconds: float | None) -> str:
    """Some seconds in the two largest units that they have: "2 h 5 min", "0.25 s"."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{seconds:.3g} s" if seconds >= 0.0995 else f"{seconds * 1000:.3g} ms"
    for number, (size, name) in enumerate(_UNITS):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            said = f"{whole:.0f} {name}"
            if number + 1 < len(_UNITS) and whole < 10:
                less, smaller = _UNITS[number + 1]
                if part := int(rest // less):
                    said += f" {part} {smaller}"
            return said
    return f"{seconds:.0f} s"


def number(value: float | None) -> Markup:
    """A number with thin spaces between thousands, which `shown` would take for what hides text."""
    if value is None:
        return escape(NOTHING)
    said = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}".rstrip("0")
    return Markup(said.replace(",", "\N{NARROW NO-BREAK SPACE}"))  # noqa: S704 - digits


def size(value: int | None) -> str:
    """Some bytes, in MB."""
    return NOTHING if value is None else f"{value / 1e6:,.0f} MB"


def lines(text: str | None, most: int = LONGEST) -> Markup:
    """A text of several lines, of which the end is shown if it is long."""
    text = text or ""
    if len(text) > most:
        text = f"… {len(text) - most} characters before this are left out\n{text[-most:]}"
    return Markup(escape(clean_lines(text)))  # noqa: S704 - it is escaped


def value(found: Any) -> Markup:
    """A JSON value, of which the beginning is shown if it is long.

    Integers are text to the browser, so that none loses digits.
    """
    try:
        text = json.dumps(found, ensure_ascii=False, default=str)
        if (whole := len(text)) > _WIDE:
            text = _indented(found)
    except (ValueError, RecursionError):
        return Markup("a value that cannot be shown")
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}\n… this is the beginning of {whole} characters"
    return Markup(escape(clean_lines(text)))  # noqa: S704 - it is escaped


def _indented(found: Any) -> str:
    """Not more of it than is shown: Python indents slowly, and jobs would wait meanwhile."""
    parts, length = [], 0
    for part in json.JSONEncoder(ensure_ascii=False, indent=2, default=str).iterencode(found):
        parts.append(part)
        length += len(part)
        if length > LONGEST:
            break
    return "".join(parts)


def ticks(text: str | None) -> Markup:
    """A sentence in which what stands between backticks is code, and moments are as elsewhere."""
    parts = [_with_moments(clean(each)) for each in (text or "").split("`")]
    if len(parts) % 2 == 0:  # one of them is no pair
        return Markup("`").join(parts)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(e) if n % 2 else e for n, e in enumerate(parts))


def _with_moments(text: str) -> Markup:
    parts = [moment(e) if n % 2 else escape(e) for n, e in enumerate(_MOMENT.split(text))]
    return Markup("").join(parts)


def short(text: str | None, most: int = 160) -> str:
    """The beginning of a text."""
    text = text or ""
    return text if len(text) <= most else f"{text[:most]}…"


def moment(text: str | None, words: str = "") -> Markup:
    """A moment, RFC 3339 in UTC; a script has it in the browser's zone.

    `words` is how it is told there: ago, for (how long, as the begin of a sentence), or clock.
    """
    if not text:
        return escape(NOTHING)
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return Markup(escape(clean(text)))  # noqa: S704 - it is escaped
    said = f"{at:%Y-%m-%d %H:%M:%S}"
    mode = Markup(' data-as="{}"').format(words) if words else ""
    shown = f"Since {said}" if words == "for" else said
    made = Markup('<time datetime="{0}" title="{1} UTC"{2}>{3}</time>')
    return made.format(text, said, mode, shown)
