"""`[otel]` of the configuration for a worker without a daemon: loaded only where there is one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from asyncmqd.cli.errors import Misconfigured
from asyncmqd.config.errors import ConfigErrors
from asyncmqd.config.errors import Path as KeyPath
from asyncmqd.config.load import load_otel
from asyncmqd.daemon import trace_setup
from asyncmqd.daemon.application_import import told


@contextlib.contextmanager
def traced(file: Path) -> Iterator[None]:
    """Trace jobs as the file and its drop-ins say. Round the import of the application, which may
    set up a provider of its own. Raises Misconfigured.
    """
    try:
        otel = load_otel(file)
    except ConfigErrors as errors:
        raise Misconfigured(str(errors)) from None
    _refuse(file, trace_setup.declare(otel, os.environ))
    yield
    _refuse(file, trace_setup.export(otel, os.environ))


def _refuse(file: Path, problems: Mapping[KeyPath, str]) -> None:
    if problems:
        raise Misconfigured(f"{file}: {told(problems)}")
