"""The options of a job as type checkers see them: the keywords of Python calls.

The table in `options.py` is what counts at run time. A test compares the two, names and types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypedDict

from asyncmqd.domain.options import Moment, Seconds
from asyncmqd.domain.retry import Backoff

Missed = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip", "queue", "replace"]
ExecutorKind = Literal["thread", "process"]
CostRule = int | str | Callable[..., int | None]
UniqueRule = bool | str | Callable[..., str | None]
UniqueWhile = Literal["live", "waiting"]
KeyRule = str | Callable[..., str | None]
OnConflict = Literal["existing", "replace", "push", "again"]
ErrorTypes = type[BaseException] | Iterable[type[BaseException]]


class RunKeywords(TypedDict, total=False):
    """What may be said of jobs wherever they come from. None is the same as not given."""

    priority: int | None
    retries: int | None
    timeout: Seconds | None
    ttl: Seconds | None


class StoredKeywords(RunKeywords, total=False):
    """What a schedule may say of its jobs."""

    cost: int | None


class RepeatableKeywords(StoredKeywords, total=False):
    """What `Queue.add_repeatable` takes beside what names the jobs and the instants."""

    key: str | None
    missed: Missed | None
    catch_up: Seconds | None
    overlap: Overlap | None
    enabled: bool | None
    start: Moment | None
    end: Moment | None
    jitter: Seconds | None


class AddKeywords(StoredKeywords, total=False):
    """What `Queue.add` takes."""

    delay: Seconds | None
    job_id: str | None
    unique: bool | str | None
    unique_while: UniqueWhile | None
    unique_for: Seconds | None
    key: str | None
    on_conflict: OnConflict | None
    push_for: Seconds | None


class CallKeywords(AddKeywords, total=False):
    """What a producer may ask for one job."""

    queue: str | None


class TaskKeywords(RunKeywords, total=False):
    """What `@task` declares, as far as the table has it."""

    cost: CostRule | None
    queue: str | None
    executor: ExecutorKind | None
    unique: UniqueRule | None
    unique_while: UniqueWhile | None
    unique_for: Seconds | None
    key: KeyRule | None
    on_conflict: OnConflict | None
    push_for: Seconds | None


class DecoratorKeywords(TaskKeywords, total=False):
    """All that `@task` takes: the table's, the name, and the rules for retries."""

    name: str | None
    backoff: Backoff | Seconds | Callable[[int, BaseException], float] | None
    retry_on: ErrorTypes
    dont_retry_on: ErrorTypes
