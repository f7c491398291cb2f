"""`[otel]` of a daemon: what turns traces on in a process that runs jobs, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping

from asyncmqd.config.errors import Path as KeyPath
from asyncmqd.config.otel import Otel

_TABLE: KeyPath = ("otel",)


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
        problem = f"expected the packages of asyncmqd[otel], which are not installed, got {error}"
        return {_TABLE: problem}
    assert export
    spans.trace_jobs()
    return {}


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
