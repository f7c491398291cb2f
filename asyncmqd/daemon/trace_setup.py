"""`[otel]` of a daemon: what turns traces on in a process that runs jobs, and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from asyncmqd.config.errors import Path as KeyPath
from asyncmqd.config.otel import Otel

_TABLE: KeyPath = ("otel",)
_PACKAGES = (
    "opentelemetry.trace",
    "opentelemetry.sdk.trace",
    "opentelemetry.exporter.otlp.proto.http",
)


def declare(otel: Otel | None, environ: Mapping[str, str]) -> Mapping[KeyPath, str]:
    """Trace jobs from now on; to be called before the application is imported.

    Its keys become variables of this process, where the application and its child processes find
    them, too. A variable that is there already wins. What is wrong, by the path of the key.
    """
    if otel is None or _is_off(otel, environ):
        return {}
    for name, value in otel.environment().items():
        os.environ.setdefault(name, value)
    try:
        from asyncmqd.runtime.tracing import export, spans
    except ImportError as error:
        return _not_installed(f"{error}")
    assert export
    spans.trace_jobs()
    return {}


def missing(
    otel: Otel | None, environ: Mapping[str, str], python_path: Iterable[Path]
) -> Mapping[KeyPath, str]:
    """What `declare` is going to say of packages, by a look at directories: nothing is imported."""
    if otel is None or _is_off(otel, environ):
        return {}
    path = [*map(str, python_path), *sys.path]
    found = PathFinder.find_spec("opentelemetry", path)
    homes = [os.path.dirname(each) for each in (found and found.submodule_search_locations) or ()]
    absent = [
        name
        for name in _PACKAGES
        if not any(os.path.isdir(os.path.join(home, *name.split("."))) for home in homes)
    ]
    return _not_installed(f"no {', '.join(absent)}") if absent else {}


def _not_installed(got: str) -> Mapping[KeyPath, str]:
    return {_TABLE: f"expected the packages of asyncmqd[otel], which are not installed, got {got}"}


def export(otel: Otel | None, environ: Mapping[str, str]) -> Mapping[KeyPath, str]:
    """Send the spans; to be called once the application, which may do so itself, is imported."""
    if otel is None or _is_off(otel, environ):
        return {}
    from asyncmqd.runtime.tracing import TRACES
    from asyncmqd.runtime.tracing.export import export_spans

    try:
        TRACES.exports = export_spans()
    except ValueError as error:
        return {_TABLE: f"expected OTEL_* variables that the SDK takes, got {error}"}
    return {}


def _is_off(otel: Otel, environ: Mapping[str, str]) -> bool:
    said = environ.get("OTEL_SDK_DISABLED", "").strip().lower()
    return said == "true" or (otel.sdk_disabled and not said)
