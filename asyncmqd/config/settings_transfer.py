"""Settings on their way to another process of ours, the store's password included."""

from __future__ import annotations

from pathlib import Path

import msgspec

from asyncmqd.config.models import Settings
from asyncmqd.config.values import Secret


def packed(settings: Settings) -> bytes:
    """The settings as JSON. For a private socket only: it holds what is secret."""
    return msgspec.json.encode(settings, enc_hook=_as_text)


def unpacked(data: bytes) -> Settings:
    """The same settings again; they were checked where they come from."""
    return msgspec.json.decode(data, type=Settings, dec_hook=lambda kind, text: kind(text))


def _as_text(value: Secret | Path) -> str:
    return value.text if isinstance(value, Secret) else str(value)
