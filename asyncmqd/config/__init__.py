"""`queues.toml`, its drop-ins and the environment: read, checked, frozen, compared."""

from asyncmqd.config.diff import KeyChange, Plan, diff
from asyncmqd.config.errors import ConfigError, ConfigErrors
from asyncmqd.config.load import load
from asyncmqd.config.models import Settings

__all__ = [
    "ConfigError",
    "ConfigErrors",
    "KeyChange",
    "Plan",
    "Settings",
    "diff",
    "load",
]
