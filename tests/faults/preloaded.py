"""What the process has imported that is forked: all that a daemon and a producer import."""

from __future__ import annotations

import gc
import importlib
import pkgutil

import structlog
import uvloop

import asyncmqd
from tests.faults import forked, ledger

__all__ = ["forked", "ledger", "structlog", "uvloop"]

for module in pkgutil.walk_packages(asyncmqd.__path__, "asyncmqd."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
gc.collect()
gc.freeze()  # a daemon collects garbage at its start, and need not walk through what it shares
