"""The keys of [[webhooks]], and the secrets that sign their requests."""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from asyncmqd.config import values
from asyncmqd.config.file_permissions import file_problem
from asyncmqd.config.values import Kind, Secret, choice, of, period
from asyncmqd.domain import options
from asyncmqd.domain.queue_options import WEBHOOK, QueueOptions

EVENTS = ("job.failed", "queue.late", "daemon.dead")
_CREDENTIAL = "credential:"
_LIMIT = 1024  # bytes of the file
_SIZES = 24, 64  # bytes of a secret
_SECRET = re.compile(r"whsec_([A-Za-z0-9+/]+={0,2})")
_EXPECTED = "expected whsec_ and 24 to 64 bytes as base64 (asyncmqd does not show what it got)"


def _url(value: Any) -> Secret:
    """Its path is often all that a receiver asks for: as secret as a password."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError("expected a URL like 'https://hooks.example.org/x', got something else")
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in value:
        raise ValueError("expected a URL like 'https://hooks.example.org/x', got something else")
    if "@" in parts.netloc:
        raise ValueError("expected a URL without user and password: requests are signed")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("expected a port from 0 to 65535, got something else") from None
    return Secret(value)


def _file(value: Any) -> str:
    if isinstance(value, str) and value.startswith(_CREDENTIAL):
        name = value.removeprefix(_CREDENTIAL)
        if not name or "/" in name or name.startswith("."):
            raise ValueError
        return value
    return str(values.absolute(value))


_URL = Kind("a URL like 'https://hooks.example.org/x'", _url)
_FILE = Kind("an absolute path, or 'credential:NAME'", _file)


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where to tell what went wrong."""

    name: Annotated[
        str,
        of(WEBHOOK),
        "Its name, in the log and in the name of the task that delivers.",
    ]
    url: Annotated[Secret, _URL, "Where requests go: `https://...`; `http://` is not encrypted."]
    secret_file: Annotated[
        str, _FILE, "The file with the secret that signs requests, or `credential:NAME`."
    ]
    events: Annotated[
        tuple[Annotated[str, choice(*EVENTS)], ...],
        "What is told: `job.failed`, `queue.late`, `daemon.dead`.",
    ] = EVENTS
    queues: Annotated[
        tuple[Annotated[str, values.QUEUE], ...],
        "Of which queues jobs and delays are told; none named: of all that this daemon serves and"
        " that have no `webhooks` of their own.",
    ] = ()
    late_after: Annotated[
        float, period(1.0), "A queue is late if its oldest job has waited for longer."
    ] = 300.0
    allow_private: Annotated[
        bool,
        of(options.flag()),
        "Whether `url` may lead to an address that is not public, such as 10.0.0.1.",
    ] = False

    @property
    def is_credential(self) -> bool:
        """Whether the service manager hands the secret over."""
        return self.secret_file.startswith(_CREDENTIAL)

    def is_about(self, event: str, queue: str, queues: Mapping[str, QueueOptions]) -> bool:
        """Whether an event of a queue is told; a daemon's is of none.

        `queues` are those of the configuration.
        """
        if event not in self.events:
            return False
        if queue in queues and (names := queues[queue].webhooks) is not None:
            return self.name in names
        return not queue or not self.queues or queue in self.queues


def read_secret(file: str, environ: Mapping[str, str]) -> bytes:
    """The secret of a webhook. Raises ValueError "expected X, got Y", which shows none of it."""
    path = Path(file)
    if file.startswith(_CREDENTIAL):
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError("expected LoadCredential= in the unit, got no CREDENTIALS_DIRECTORY")
        path = Path(folder, file.removeprefix(_CREDENTIAL))
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            found = os.fstat(stream.fileno())
            problem = _problem(found)
            text = "" if problem else stream.read(_LIMIT).decode("ascii", "replace").strip()
    except OSError as error:
        raise ValueError(
            f"{path}: expected a file that can be read, got {error.strerror}"
        ) from None
    if problem:
        raise ValueError(f"{path}: {problem}")
    matched = _SECRET.fullmatch(text)
    try:
        secret = base64.b64decode(matched[1], validate=True) if matched else b""
    except ValueError:
        secret = b""
    if not _SIZES[0] <= len(secret) <= _SIZES[1]:
        raise ValueError(f"{path}: {_EXPECTED}")
    return secret


def _problem(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "expected a file, got something else"
    if found.st_mode & stat.S_IROTH:
        return "expected a file that not everybody can read"
    return file_problem(found)
