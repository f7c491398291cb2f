"""What the process has imported and built that is forked: all that daemons and producers take."""

from __future__ import annotations

import functools
import gc
import importlib
import pkgutil

import structlog
import uvloop

import asyncmqd
from asyncmqd.cli import daemon, lazy_commands
from tests.faults import forked, ledger

__all__ = ["forked", "ledger", "structlog", "uvloop"]

for module in pkgutil.walk_packages(asyncmqd.__path__, "asyncmqd."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
lazy_commands.command_line = functools.cache(lazy_commands.command_line)
lazy_commands.command_line(daemon.app).commands["check"]  # what each would build for itself
gc.collect()
gc.freeze()  # a daemon collects garbage at its start, and need not walk through what it shares
