"""Settings on their way to another process of ours, the store's password included."""

from __future__ import annotations

import msgspec

from asyncmqd.config.models import Settings


def packed(settings: Settings) -> bytes:
    """The settings as JSON. For a private socket only: it holds what is secret."""
    data = settings.model_dump(mode="json")
    return msgspec.json.encode(data | {"backend": settings.backend_url})


def unpacked(data: bytes) -> Settings:
    """The same settings again."""
    return Settings.model_validate(msgspec.json.decode(data))
