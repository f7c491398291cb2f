"""`[otel]`: each key is the variable of OpenTelemetry that has its name, with OTEL_ before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import msgspec

from asyncmqd.config import values
from asyncmqd.config.values import Kind, Secret, choice, of, whole
from asyncmqd.domain import options

_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_MOST_SPANS = 1_000_000
_LONGEST = 3_600_000  # milliseconds


def _collector(value: Any) -> Secret:
    """A collector's URL. User and password in it are as secret as those of a store."""
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        raise ValueError
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError for one that is no number
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError
    return Secret(value)


def _pairs(value: Any) -> str:
    """Text like `a=1,b=2`. What the SDK would leave out with a warning is an error here."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError
    for pair in filter(str.strip, value.split(",")):
        name, separator, _ = pair.partition("=")
        if not separator or not unquote(name.strip()):
            raise ValueError
    return value


def _secret_pairs(value: Any) -> Secret:
    try:
        return Secret(_pairs(value))
    except ValueError:
        raise ValueError("expected text like 'name=value,name=value', got something else") from None


_URL = Kind("a URL like 'http://collector:4318'", _collector)
_HEADERS = Kind("text like 'name=value,name=value'", _secret_pairs)
_ATTRIBUTES = Kind("text like 'name=value,name=value'", _pairs)
_FILE = Kind("an absolute path like '/etc/ssl/ca.pem'", values.absolute)


def _optional(kind: Kind | options.Kind) -> Kind:
    return Kind(kind.expected, kind.read, kind.unit, optional=True)


class Otel(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of `[otel]`. One that is None is left to the environment, or to the SDK."""

    sdk_disabled: Annotated[bool, of(options.flag()), "`true`: as if there were no `[otel]`."] = (
        False
    )
    service_name: Annotated[
        str | None, _optional(options.name()), "The name of the service; unset: `asyncmqd`."
    ] = None
    resource_attributes: Annotated[
        str | None, _optional(_ATTRIBUTES), "What else names the service: `a=1,b=2`."
    ] = None
    traces_sampler: Annotated[
        str | None,
        _optional(choice(*_SAMPLERS)),
        "Which runs are traced; unset: `parentbased_always_on`.",
    ] = None
    traces_sampler_arg: Annotated[
        float | None, _optional(options.number(0, 1)), "The share that a ratio takes; unset: 1."
    ] = None
    exporter_otlp_endpoint: Annotated[
        Secret | None,
        _optional(_URL),
        "The collector; spans go to `/v1/traces` there; unset: `http://localhost:4318`.",
    ] = None
    exporter_otlp_traces_endpoint: Annotated[
        Secret | None, _optional(_URL), "The same with its whole path, for spans alone."
    ] = None
    exporter_otlp_headers: Annotated[
        Secret | None, _optional(_HEADERS), "Headers of each request: `api-key=...`."
    ] = None
    exporter_otlp_timeout: Annotated[
        float | None,
        _optional(options.number(0.1, 600, "seconds")),
        "For one request with all that is tried again; unset: 10.",
    ] = None
    exporter_otlp_compression: Annotated[
        str | None,
        _optional(choice("none", "gzip", "deflate")),
        "How requests are compressed; unset: `none`.",
    ] = None
    exporter_otlp_certificate: Annotated[
        Path | None, _optional(_FILE), "The certificates that a collector's is checked by."
    ] = None
    exporter_otlp_client_certificate: Annotated[
        Path | None, _optional(_FILE), "The certificate by which the collector knows the daemon."
    ] = None
    exporter_otlp_client_key: Annotated[
        Path | None, _optional(_FILE), "The key of that certificate."
    ] = None
    bsp_schedule_delay: Annotated[
        int | None,
        _optional(whole(1, _LONGEST, "milliseconds")),
        "The longest time between two requests; unset: 5000.",
    ] = None
    bsp_max_queue_size: Annotated[
        int | None,
        _optional(whole(1, _MOST_SPANS, "spans")),
        "Spans that wait at most; what comes then is dropped; unset: 2048.",
    ] = None
    bsp_max_export_batch_size: Annotated[
        int | None, _optional(whole(1, _MOST_SPANS, "spans")), "Spans of one request; unset: 512."
    ] = None

    def environment(self) -> dict[str, str]:
        """The variables that say the same."""
        return {
            f"OTEL_{key.upper()}": _as_variable(value)
            for key in self.__struct_fields__
            if (value := getattr(self, key)) is not None and value is not False
        }


def _as_variable(value: Any) -> str:
    if isinstance(value, Secret):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
