"""A store whose jobs show nothing that an application or a customer wrote: for `hide_arguments`.

It conceals where records are read, so that no view, sentence or filter has to think of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from asyncmqd.admin.causes import Cause
from asyncmqd.admin.errors import AdminError
from asyncmqd.backends.base import BaseBackend, OperationRecord
from asyncmqd.backends.contract.reading import SEARCH_PAGE
from asyncmqd.domain.attempts import without_words
from asyncmqd.domain.codec import CorruptPayload, decode_spec, encode_spec
from asyncmqd.domain.job import Failure, Record
from asyncmqd.domain.key_backlog import KeyBacklog
from asyncmqd.domain.operation import encode, order_of, progress_of
from asyncmqd.domain.selection import Mark, Searched, Sought
from asyncmqd.domain.settle import decode_failure, encode_failure
from asyncmqd.domain.states import State

HIDDEN = "hidden"  # what stands for the message of an error


def concealed(store: BaseBackend) -> BaseBackend:
    """The store, to be read."""
    return cast("BaseBackend", _Concealed(store))


def concealed_cause(cause: Cause) -> Cause:
    """What is wrong, without the message of an error."""
    if cause.name != "failing":
        return cause
    return msgspec.structs.replace(cause, sentence=cause.sentence.partition(": ")[0])


class _Concealed:
    """Everything but these calls goes to the store as it is."""

    def __init__(self, store: BaseBackend) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, queue: str, ids: Sequence[str]) -> list[Record | None]:
        found = await self._store.get(queue, ids)
        return [each and _record(each) for each in found]

    async def attempts(self, queue: str, id: str) -> bytes:
        return without_words(await self._store.attempts(queue, id), HIDDEN)

    async def key_backlog(self, queue: str, most: int) -> KeyBacklog:
        """How many keys there are says nothing of them."""
        found = await self._store.key_backlog(queue, most)
        return found._replace(keys=[each._replace(key=HIDDEN) for each in found.keys])

    async def search(
        self,
        queue: str,
        state: State,
        sought: Sought,
        after: Mark | None = None,
        most: int = 100,
        page: int = SEARCH_PAGE,
        *,
        newest_first: bool = False,
    ) -> Searched:
        """Who could search by what is hidden would learn it letter by letter."""
        if sought.key or sought.error:
            raise AdminError("hide_arguments is set: expected no key and no error to search by")
        found = await self._store.search(
            queue, state, sought, after, most, page, newest_first=newest_first
        )
        return msgspec.structs.replace(found, records=[_record(each) for each in found.records])

    async def operations(self, queues: Sequence[str] | None) -> list[OperationRecord]:
        return [_operation(each) for each in await self._store.operations(queues)]

    # last, because its name hides the builtin that the annotations above mean
    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100, *, payloads: bool = True
    ) -> list[Record]:
        found = await self._store.list(queue, state, offset, limit, payloads=payloads)
        return [_record(each) for each in found]


def _record(record: Record) -> Record:
    return msgspec.structs.replace(
        record,
        payload=_payload(record),
        error=_failure(record.error),
        result=b"",
        progress=b"",
        key="",
    )


def _payload(record: Record) -> bytes:
    try:
        spec = decode_spec(record.payload, len(record.payload), id=record.id)
    except CorruptPayload:
        return b""
    return encode_spec(
        msgspec.structs.replace(spec, args=[], kwargs={}, key=None, unique=None, headers=None)
    )


def _failure(error: bytes) -> bytes:
    found = decode_failure(error)
    return encode_failure(Failure(found.type, HIDDEN)) if found else b""


def _operation(record: OperationRecord) -> OperationRecord:
    order, progress = order_of(record.order), progress_of(record.progress)
    if order is None:
        return record
    chosen = order.selection
    shown = msgspec.structs.replace(
        chosen,
        key=None if chosen.key is None else HIDDEN,
        error=None if chosen.error is None else HIDDEN,
        alike=None if chosen.alike is None else HIDDEN,
    )
    order = msgspec.structs.replace(order, selection=shown)
    return msgspec.structs.replace(record, order=encode(order), progress=encode(progress))
