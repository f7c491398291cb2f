"""Write the tables of keys from the code: `python docs/make_configuration.py`.

Tests hold the committed pages to this: docs/configuration.md and README.md.
"""  # noqa: INP001 - a script, not a package

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from asyncmqd.config.http import Http
from asyncmqd.config.models import Settings
from asyncmqd.config.otel import Otel
from asyncmqd.config.tables import Key, Table, keys_of
from asyncmqd.config.webhooks import Webhook
from asyncmqd.domain.queue_options import KeyOptions, QueueOptions
from asyncmqd.domain.schedule import Repeatable

PAGE = Path(__file__).with_name("configuration.md")
README = Path(__file__).parents[1] / "README.md"
TABLES: dict[str, Table] = {
    "top": Settings,
    "queue": QueueOptions,
    "key": KeyOptions,
    "repeatable": Repeatable,
    "otel": Otel,
    "http": Http,
    "webhook": Webhook,
}
_DEFAULTS_IN_WORDS = {
    "control_socket": "see below",
    "repeatables": "none",
    "keys": "none",
    "defaults": "none",
    "http": "none",
    "webhooks": "none",
    "events": "all",
    "queues": "all",
    "args": "`[]`",
    "kwargs": "`{}`",
}


def render(page: str) -> str:
    """The page with each table between its markers written anew."""
    for name, keys in TABLES.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page = re.sub(pattern, rf"\1\n{table(keys)}\n\n\2", page, flags=re.DOTALL)
    return page


def table(keys: Table) -> str:
    """One row for each key."""
    rows = ["| key | unit | default | meaning |", "|---|---|---|---|"]
    for name, key in keys_of(keys).items():
        rows.append(f"| `{name}` | {unit(key)} | {default(name, key)} | {key.meaning} |")
    return "\n".join(rows)


def unit(key: Key) -> str:
    """What the values are counted in, or nothing."""
    return key.kind.unit if key.kind else ""


def default(name: str, key: Key) -> str:
    """The value of a key that is not there, as a page says it."""
    if key.required:
        return "required"
    if key.default is None:
        return "unset"
    return _DEFAULTS_IN_WORDS.get(name) or f"`{_toml(key.default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[]"
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    for page in (PAGE, README):
        page.write_text(render(page.read_text()))
