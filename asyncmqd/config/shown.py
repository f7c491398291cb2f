"""What a configuration says, as it may be shown: no passwords, and no arguments of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from asyncmqd.config.http import Http
from asyncmqd.config.models import Settings
from asyncmqd.config.otel import Otel
from asyncmqd.config.tables import keys_of
from asyncmqd.config.values import Secret
from asyncmqd.config.webhooks import Webhook
from asyncmqd.domain.queue_options import KeyOptions
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.url_redaction import redacted

ARGUMENTS = frozenset({"args", "kwargs"})  # data of the application, which is not for others
HIDDEN = "***"
NAMED = frozenset({"keys", "key", "repeatables"})  # what has keys, which an application chose
CONCEALED = "hidden"  # in their place, where nothing of applications is to be told
_SECRETS = frozenset({"exporter_otlp_headers"})  # which hold keys, and no URL
_TABLES = frozenset({"queues", "defaults"})  # [defaults] show in the queues that they change


def in_force(settings: Settings) -> dict[str, Any]:
    """All keys that are set to something else than usual: of the top, and of each queue."""
    top = {key: value for key, value in _set(settings).items() if key not in _TABLES}
    return {"top": top, "queues": {name: _set(each) for name, each in settings.queues.items()}}


def _set(table: msgspec.Struct) -> dict[str, Any]:
    return {
        name: plain(value)
        for name, key in keys_of(type(table)).items()
        if (value := getattr(table, name)) != key.default
    }


def plain(value: Any) -> Any:
    """The value as JSON has it; of a secret URL, what may be seen."""
    if isinstance(value, Secret):
        return redacted(value.text)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return _plain_table(value)


def _plain_table(value: Any) -> Any:
    """The same of what is a table in the file."""
    if isinstance(value, Repeatable):
        fields: dict[str, Any] = msgspec.to_builtins(value)
        return fields | dict.fromkeys(ARGUMENTS & fields.keys(), HIDDEN)
    if isinstance(value, Otel):
        fields = _set_keys({key: getattr(value, key) for key in keys_of(Otel)})
        return fields | dict.fromkeys(_SECRETS & fields.keys(), HIDDEN)
    if isinstance(value, Webhook):
        return {**_set_keys(msgspec.structs.asdict(value)), "url": HIDDEN}
    if isinstance(value, KeyOptions):
        return _set_keys(msgspec.structs.asdict(value))
    if isinstance(value, Http):
        return _set(value)
    return value


def _set_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {key: plain(each) for key, each in values.items() if each is not None}


def words(value: Any) -> str:
    """A plain value for a line: an unset one in a word, tables of an array by their number."""
    if value is None:
        return "unset"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
    if isinstance(value, dict):
        parts = ((key, words(each)) for key, each in value.items())
        tables = any(isinstance(each, dict) for each in value.values())
        return ", ".join(f"{key} ({each})" if tables else f"{key} {each}" for key, each in parts)
    return str(value)
