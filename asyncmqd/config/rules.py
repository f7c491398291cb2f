"""Rules between keys, which no model of a single value can know.

They look at what was written, valid or not, so that one wrong value hides no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from asyncmqd.config.errors import Path
from asyncmqd.config.http import address_of
from asyncmqd.config.models import Settings
from asyncmqd.config.tables import keys_of
from asyncmqd.config.values import shown
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge
from asyncmqd.domain.queue_options import KeyOptions, QueueOptions
from asyncmqd.domain.schedule import Repeatable, check_size, conflicts, keys_kept
from asyncmqd.domain.shared_limits import Limits, in_vain

Finding = tuple[Path, str]

_BESIDE_A_RATE = {
    "burst": "rate_limit",
    "global_burst": "global_rate_limit",
    "global_rate_interval": "global_rate_limit",
    "key_burst": "key_rate_limit",
    "key_rate_interval": "key_rate_limit",
}
# The keys that make a limit of each key, the one first that an error is about.
_WORDS_OF = {
    "concurrency": ("key_concurrency",),
    "rate_limit": ("key_rate_limit", "key_rate_interval", "key_burst"),
}
_BATCH = "bsp_max_export_batch_size"
_AN = {"burst": "a burst", "interval": "an interval"}


def omissions(data: dict[str, Any]) -> Iterator[Finding]:
    """What has to be there and is not."""
    if not data.get("queues") and isinstance(data.get("queues", {}), dict):
        yield ("queues",), "expected at least one [queues.NAME] table, got none"
    defaults = _table(data.get("defaults"))
    for name, queue in _table(data.get("queues")).items():
        yield from _alone(("queues", name), _table(queue), defaults)
        for key, own in _table(_table(queue).get("keys")).items():
            yield from _alone(("queues", name, "keys", key), _table(own), defaults | _table(queue))
    if data.get("max_concurrency") is None:
        yield from _weights_alone(data)
    for path, repeatable in _repeatables(data):
        if repeatable.get("every") is None and repeatable.get("cron") is None:
            yield path, "expected either every or cron, got neither"


def _weights_alone(data: dict[str, Any]) -> Iterator[Finding]:
    """Parts of what is not limited."""
    for name, queue in _table(data.get("queues")).items():
        weight = _table(queue).get("weight")
        if weight is not None:
            problem = "expected max_concurrency beside it, above the first [table]"
            yield ("queues", name, "weight"), f"{problem}, got a weight of {shown(weight)} alone"


def _alone(path: Path, table: dict[str, Any], known: dict[str, Any]) -> Iterator[Finding]:
    """What says something of a rate where there is none; `known` has what the table inherits."""
    for key, rate in _BESIDE_A_RATE.items():
        value = table.get(key)
        if value is not None and (known | table).get(rate) is None:
            what = key.removeprefix("global_").removeprefix("key_").replace("rate_", "")
            problem = f"expected a {rate} beside it, got {_AN[what]} of {shown(value)} alone"
            yield (*path, key), problem


def _beyond_the_queue(data: dict[str, Any]) -> Iterator[Finding]:
    """Limits of keys that would hold nothing back, for that of their queue does before."""
    defaults = _table(data.get("defaults"))
    for name, queue in _table(data.get("queues")).items():
        options = QueueOptions(**_right(QueueOptions, defaults | _table(queue)))
        yield from _beyond(("queues", name), _table(queue), options, KeyOptions())
        for key, own in _table(_table(queue).get("keys")).items():
            of_key = KeyOptions(**_right(KeyOptions, _table(own)))
            yield from _beyond(("queues", name, "keys", key), _table(own), options, of_key)


def _beyond(
    path: Path, table: dict[str, Any], options: QueueOptions, own: KeyOptions
) -> Iterator[Finding]:
    limits = options.shared_limits
    for limit in in_vain(options.limits_of(own), limits):
        written = [key for key in _WORDS_OF[limit] if table.get(key) is not None]
        if written:
            got = _told(options.limits_of(own), limit)
            expected = f"expected no more than global_{limit}, which is {_told(limits, limit)}"
            yield (*path, written[0]), f"{expected}, got {got}"


def _told(limits: Limits, limit: str) -> str:
    if limit == "concurrency":
        return f"{limits.concurrency}"
    return f"{limits.rate_limit:g} in {limits.rate_interval:g} s"


def _right(table: type[msgspec.Struct], data: dict[str, Any]) -> dict[str, Any]:
    """What is said of limits; what is wrong with a value is said elsewhere."""
    found = {}
    for key, known in keys_of(table).items():
        if key.startswith(("global_", "key_")) and data.get(key) is not None:
            assert known.kind is not None
            with contextlib.suppress(ValueError):
                found[key] = known.kind.check(data[key])
    return found


def contradictions(data: dict[str, Any]) -> Iterator[Finding]:
    """What cannot be true together."""
    lease, hang_limit = _number(data, "lease"), _number(data, "hang_limit")
    if lease is not None and hang_limit is not None and hang_limit <= lease:
        key = "hang_limit" if "hang_limit" in data else "lease"
        got = f"hang_limit {hang_limit:g} and lease {lease:g}"
        yield (key,), f"expected hang_limit above lease, got {got}"
    yield from _unguarded(data)
    yield from _oversized(data)
    yield from _beyond_the_queue(data)
    yield from _conflicting(data)
    yield from _too_few_slots(data)
    yield from _unbatched(data)
    yield from _webhooks(data)
    processes, backend = data.get("processes"), data.get("backend")
    if isinstance(processes, int) and processes > 1 and f"{backend}".startswith("memory:"):
        got = f"{shown(processes)} with {shown(backend)}, which one process has for itself"
        yield ("processes",), f"expected 1, or a store that processes can share, got {got}"
    seen: dict[tuple[Path, str], Path] = {}
    for path, repeatable in _repeatables(data):
        if repeatable.get("every") is not None and repeatable.get("cron") is not None:
            yield (*path, "every"), "expected either every or cron, got both"
        key = "name" if repeatable.get("name") else "task"
        name = repeatable.get(key)
        if isinstance(name, str) and seen.setdefault((path[:-1], name), path) != path:
            first = seen[path[:-1], name][-1]
            got = f"{shown(name)} like repeatables[{first}]"
            yield (*path, key), f"expected a name of its own in this queue, got {got}"


def _too_few_slots(data: dict[str, Any]) -> Iterator[Finding]:
    """A limit of the daemon that leaves no slot for a queue, or for a process."""
    slots = _whole(data, "max_concurrency")
    if slots is None or slots < 1:  # which is told as a wrong value
        return
    queues, processes = len(_table(data.get("queues"))), _whole(data, "processes") or 1
    if slots < queues:
        problem = "expected a slot for each queue at least"
        yield ("max_concurrency",), f"{problem}, got {slots} for {queues} queues"
    if slots < processes:
        problem = "expected a slot for each of the `processes` at least"
        yield ("max_concurrency",), f"{problem}, got {slots} for {processes}"


def _unguarded(data: dict[str, Any]) -> Iterator[Finding]:
    """Whoever reaches an address could read: beyond this host, nobody without a token."""
    http = _table(data.get("http"))
    listen, tokens = http.get("listen"), http.get("token_file")
    try:
        local = not isinstance(listen, str) or address_of(listen).is_local
    except ValueError:
        return  # what is wrong with a value is said elsewhere
    if not local and tokens is None:
        got = f"{shown(listen)} alone, which other hosts can reach"
        yield ("http", "listen"), f"expected a token_file beside it, got {got}"


def _oversized(data: dict[str, Any]) -> Iterator[Finding]:
    """Schedules whose jobs no store would take."""
    limit = _number(data, "payload_limit")
    for path, repeatable in _repeatables(data):
        keys = {
            key: repeatable[key] for key in ("task", "name", "args", "kwargs") if key in repeatable
        }
        try:
            check_size(msgspec.convert(keys, Repeatable), int(limit or 0))
        except PayloadTooLarge as error:
            if limit is not None:
                yield path, str(error).partition(": ")[2] + " (payload_limit)"
        except (msgspec.ValidationError, NotSerialisable):
            pass  # what is wrong with a value is said elsewhere


def _unbatched(data: dict[str, Any]) -> Iterator[Finding]:
    """Requests with more spans than may wait: the SDK raises an error for these."""
    table, waiting, batch = _table(data.get("otel")), "bsp_max_queue_size", _BATCH
    sizes = {key: table.get(key, size) for key, size in ((waiting, 2048), (batch, 512))}
    if all(type(size) is int for size in sizes.values()) and sizes[batch] > sizes[waiting]:
        got = f"{batch} {sizes[batch]} and {waiting} {sizes[waiting]}"
        key = batch if batch in table else waiting
        yield ("otel", key), f"expected {waiting} of at least {batch}, got {got}"


def _webhooks(data: dict[str, Any]) -> Iterator[Finding]:
    """Names that are there twice, or not at all, and queues that are not there."""
    listed, names = data.get("webhooks"), set()
    for index, webhook in enumerate(listed if isinstance(listed, list) else ()):
        name = _table(webhook).get("name")
        if isinstance(name, str) and name in names:
            yield ("webhooks", index, "name"), f"expected another name, got {shown(name)} again"
        names.add(name if isinstance(name, str) else None)
        for problem in _queues_of_webhook(data, _table(webhook)):
            yield ("webhooks", index, "queues"), problem
    for path, table in _queue_tables(data):
        for name in _texts(_table(table).get("webhooks")):
            if name not in names:
                yield (*path, "webhooks"), f"expected names of [[webhooks]], got {shown(name)}"


def _queues_of_webhook(data: dict[str, Any], webhook: dict[str, Any]) -> Iterator[str]:
    queues, defaults = _table(data.get("queues")), _table(data.get("defaults"))
    for queue in _texts(webhook.get("queues")):
        if queue not in queues:
            yield f"expected queues of this configuration, got {shown(queue)}"
        told = (defaults | _table(queues.get(queue))).get("webhooks")
        if isinstance(told, list) and webhook.get("name") not in told:
            yield f"expected queues whose own webhooks name it, got {shown(queue)}"


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _conflicting(data: dict[str, Any]) -> Iterator[Finding]:
    """Keys of a schedule that do not go together."""
    for path, repeatable in _repeatables(data):
        if not repeatable.keys() & {"start", "end", "jitter"}:
            continue
        known = {key: repeatable[key] for key in Repeatable.__struct_fields__ if key in repeatable}
        try:
            found = list(conflicts(keys_kept(Repeatable(**{"task": "t"} | known))))
        except (ValueError, OverflowError):
            continue  # what is wrong with a value is said elsewhere
        yield from (((*path, key), problem) for key, problem in found)


def _repeatables(data: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path, table in _queue_tables(data):
        listed = _table(table).get("repeatables")
        for index, repeatable in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(repeatable, dict):
                yield (*path, "repeatables", index), repeatable


def _queue_tables(data: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """[defaults] and all queues, each with its place."""
    yield ("defaults",), data.get("defaults")
    for name, queue in _table(data.get("queues")).items():
        yield ("queues", name), queue


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(data: dict[str, Any], key: str) -> int | None:
    """The value of a top-level key if it is a whole number."""
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(data: dict[str, Any], key: str) -> float | None:
    """The value of a top-level key or its default; None if it is wrong, which is said elsewhere."""
    known = keys_of(Settings)[key]
    assert known.kind is not None
    try:
        return float(known.kind.check(data.get(key, known.default)))
    except ValueError:
        return None
