"""Write the tables of keys from the models: `python docs/make_configuration.py`.

Tests hold the committed pages to this: docs/configuration.md and README.md.
"""  # noqa: INP001 - a script, not a package

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from asyncmqd.config.models import QueueSettings, RepeatableSettings, Settings
from asyncmqd.config.values import Kind

PAGE = Path(__file__).with_name("configuration.md")
README = Path(__file__).parents[1] / "README.md"
TABLES: dict[str, type[BaseModel]] = {
    "top": Settings,
    "queue": QueueSettings,
    "repeatable": RepeatableSettings,
}
_DEFAULTS_IN_WORDS = {
    "control_socket": "see below",
    "repeatables": "none",
    "defaults": "none",
    "args": "`[]`",
    "kwargs": "`{}`",
}


def render(page: str) -> str:
    """The page with each table between its markers written anew."""
    for name, model in TABLES.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page = re.sub(pattern, rf"\1\n{table(model)}\n\n\2", page, flags=re.DOTALL)
    return page


def table(model: type[BaseModel]) -> str:
    """One row for each key of the model."""
    rows = ["| key | unit | default | meaning |", "|---|---|---|---|"]
    for key, field in model.model_fields.items():
        rows.append(f"| `{key}` | {unit(field)} | {default(key, field)} | {field.description} |")
    return "\n".join(rows)


def unit(field: FieldInfo) -> str:
    """What the values are counted in, or nothing."""
    kinds = [known for known in field.metadata if isinstance(known, Kind)]
    return kinds[0].unit if kinds else ""


def default(key: str, field: FieldInfo) -> str:
    """The value of a key that is not there, as a page says it."""
    if key in _DEFAULTS_IN_WORDS:
        return _DEFAULTS_IN_WORDS[key]
    if field.is_required():
        return "required"
    return "unset" if field.default is None else f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[]"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    for page in (PAGE, README):
        page.write_text(render(page.read_text()))
