"""The verbs of the store as a daemon serves them: at the control socket, and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from asyncmqd.admin.arguments import read_arguments
from asyncmqd.admin.concealed import concealed
from asyncmqd.admin.errors import AdminError, NotFound, WrongArguments
from asyncmqd.admin.verbs import VERBS, Asked, Which
from asyncmqd.backends.base import StoreError
from asyncmqd.daemon.control_server import Call, Refused
from asyncmqd.daemon.queue_processes import Serving

STORE_LIMIT = 5.0  # seconds that it gets for what somebody waits for


class Verbs:
    """Does what is asked. `configured` names the queues of the configuration."""

    def __init__(self, serving: Serving, configured: Callable[[], Iterable[str]]) -> None:
        self._serving = serving
        self._context = serving.context
        self._configured = configured

    async def do(self, call: Call) -> Any:
        """The answer of a verb, as JSON values. Raises Refused.

        What operates is logged, whatever becomes of it.
        """
        name, arguments, by, typed, conceals = call
        verb = VERBS[name]
        try:
            asked = read_arguments(verb.takes, arguments, typed=typed)
        except WrongArguments as error:
            raise Refused(f"{name}: {error}", 400) from None
        if conceals:
            _check_open(asked)
        if verb.operates:
            self._log(name, asked, by)
        context = self._context
        is_seen = not verb.operates or name == "cancel_operation"  # its answer is a description
        reads = concealed(context.backend) if conceals and is_seen else context.backend
        store = Asked(
            reads,
            by,
            lambda queue: context.operations.look([queue]),
            self._serving.enqueue,
            self._configured,
        )
        try:
            async with asyncio.timeout(STORE_LIMIT):
                return msgspec.to_builtins(await verb.run(store, asked))
        except (NotFound, WrongArguments) as error:
            raise Refused(str(error), 404 if isinstance(error, NotFound) else 400) from None
        except AdminError as error:
            raise Refused(str(error)) from None
        except TimeoutError:
            late = f"the store has not answered within {STORE_LIMIT:g} s"
            raise Refused(f"{late}: it may do it yet" if verb.operates else late, 503) from None
        except StoreError as error:
            raise Refused(f"store: {error}", 503) from None

    def _log(self, name: str, asked: Any, by: str) -> None:
        shown = {key: getattr(asked, key, None) for key in ("queue", "state", "task", "reason")}
        ids = getattr(asked, "ids", None)
        self._context.observer.event(
            "daemon.operated",
            action=name,
            by=by,
            **{key: value and str(value) for key, value in shown.items()},
            schedule=getattr(asked, "name", None),
            jobs=len(ids) if ids else None,
        )


def _check_open(asked: Any) -> None:
    """Who could choose jobs by what is hidden would learn it letter by letter. Raises Refused."""
    if isinstance(asked, Which) and (asked.key or asked.error or asked.alike):
        raise Refused("hide_arguments is set: expected no key and no error to search by")


def operates(name: str) -> bool | None:
    """Whether the verb changes something; None: there is no such verb."""
    verb = VERBS.get(name)
    return None if verb is None else verb.operates
