"""Which store a command works on, and how it gets there."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import typer

from asyncmqd.cli.errors import Misconfigured, Misuse
from asyncmqd.cli.identity import work_as_owner
from asyncmqd.domain.options import QUEUE_NAME, check_queue_name

if TYPE_CHECKING:
    from asyncmqd.backends.base import BaseBackend

Result = TypeVar("Result")


class Target(msgspec.Struct, frozen=True):
    """What the options before the command said."""

    backend: str | None = None
    config: Path | None = None

    @property
    def keys(self) -> tuple[str, int]:
        """The store's URL, secrets included, and the payload limit. Raises Misconfigured.

        Options win over the environment: whoever types `--config` means that store, even in a
        shell whose ASYNCMQD_BACKEND points elsewhere.
        """
        from asyncmqd.client.connection import CONFIG_FILE
        from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT

        if self.backend is not None:
            return self.backend, DEFAULT_PAYLOAD_LIMIT
        if (file := self.file) is not None:
            return _keys_in(file)
        if url := os.environ.get("ASYNCMQD_BACKEND"):
            return url, DEFAULT_PAYLOAD_LIMIT
        raise Misconfigured(
            "no store is configured: expected --backend URL, --config FILE, ASYNCMQD_BACKEND,"
            f" ASYNCMQD_CONFIG or {CONFIG_FILE}, got none of them"
        )

    @property
    def file(self) -> Path | None:
        """The configuration file that is meant; None if only a URL names the store."""
        from asyncmqd.client.connection import CONFIG_FILE

        if self.config is not None:
            return self.config
        if self.backend is not None or os.environ.get("ASYNCMQD_BACKEND"):
            return None
        if named := os.environ.get("ASYNCMQD_CONFIG"):
            return Path(named)
        return CONFIG_FILE if CONFIG_FILE.exists() else None

    @property
    def config_file(self) -> Path:
        """The configuration file, which need not be there."""
        from asyncmqd.client.connection import CONFIG_FILE

        return self.config or Path(os.environ.get("ASYNCMQD_CONFIG", CONFIG_FILE))

    def open(self) -> BaseBackend:
        """The store; nothing is contacted yet. Raises Misuse or Misconfigured.

        Root works as the owner of a SQLite store from here on.
        """
        from asyncmqd.backends.factory import open_backend

        url, payload_limit = self.keys
        wrong = Misconfigured if self.backend is None else Misuse
        if url.startswith("memory:"):
            raise wrong(
                "backend: expected a store that processes share (sqlite:///path, redis://, ...),"
                " got memory://, which is empty in every process"
            )
        try:
            store = open_backend(url, payload_limit)
        except ValueError as error:
            raise wrong(_without_secrets(url, error)) from None
        work_as_owner(url)
        return store


def _keys_in(path: Path) -> tuple[str, int]:
    """`backend` and `payload_limit` of a file and its drop-ins, as the daemon reads them."""
    # Imported here: a command that has a URL should not pay for the configuration.
    from asyncmqd.config.backend import store_in
    from asyncmqd.config.errors import ConfigErrors

    try:
        keys = store_in(path)
    except ConfigErrors as errors:
        raise Misconfigured(str(errors)) from None
    if keys.url is None:
        raise Misconfigured(f"{path}:1: backend: expected the URL of a store, got none")
    return keys.url, keys.payload_limit


def _without_secrets(url: str, error: ValueError) -> str:
    """Why the URL names no store. The configuration's own check never repeats a password."""
    from asyncmqd.config.urls import check_backend

    try:
        check_backend(url)
    except ValueError as safe:
        return f"backend: {safe}"
    return str(error)


def target_of(context: typer.Context) -> Target:
    """What the options before the command said."""
    target: Target = context.find_object(Target) or Target()
    return target


def with_store(
    context: typer.Context,
    work: Callable[[BaseBackend], Awaitable[Result]],
    queue: str | None = None,
) -> Result:
    """Open the store, have `work` done on it, and close it again.

    A `queue` whose name no queue may have is taken if the store has it: else raises Misuse.
    """

    async def run() -> Result:
        store = target_of(context).open()
        try:
            if queue is not None and not QUEUE_NAME.fullmatch(queue):
                await _check_stored(store, queue)
            return await work(store)
        finally:
            await store.close()

    import asyncio  # only now: a third of what `--help` would take

    return asyncio.run(run())


async def _check_stored(store: BaseBackend, queue: str) -> None:
    if queue in await store.queues():
        return
    try:
        check_queue_name(queue)
    except ValueError as error:
        raise Misuse(str(error)) from None
