"""`asyncmq enqueue`: one job from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from asyncmqd.cli.errors import Misuse
from asyncmqd.cli.options import kind_option, queue_name, seconds_option
from asyncmqd.cli.store_choice import target_of, with_store
from asyncmqd.domain.options import (
    COST,
    ID,
    KEY,
    ON_CONFLICT,
    PRIORITY,
    RETRIES,
    TASK,
    UNIQUE_TEXT,
    UNIQUE_WHILE,
)

if TYPE_CHECKING:
    from asyncmqd.client.pending import CallOptions

Task = Annotated[str, typer.Argument(metavar="TASK", help="The task's registered name.")]
Queue = Annotated[
    str,
    typer.Option("--queue", "-q", parser=queue_name, metavar="QUEUE", help="The queue of the job."),
]
Args = Annotated[str, typer.Option(metavar="JSON", help="Positional arguments: a JSON array.")]
Kwargs = Annotated[str, typer.Option(metavar="JSON", help="Arguments by name: a JSON object.")]
Delay = Annotated[float | None, seconds_option("The job runs after this time at the earliest.")]
Priority = Annotated[
    int | None, kind_option(PRIORITY.kind, "0 to 255, lower numbers run first; usually 5.", "N")
]
Id = Annotated[
    str | None,
    kind_option(
        ID.kind, "An id of your own. The job is enqueued once as long as the store has it.", "ID"
    ),
]
Unique = Annotated[
    str | None,
    kind_option(
        UNIQUE_TEXT.kind,
        "A name that one live job of the queue has at most. While one has it, nothing is enqueued.",
        "NAME",
    ),
]
UniqueWhile = Annotated[
    Literal["live", "waiting"] | None,
    kind_option(UNIQUE_WHILE.kind, "How long the job holds --unique: live, or waiting.", "WHEN"),
]
UniqueFor = Annotated[
    float | None, seconds_option("--unique stays taken so long, whatever becomes of the job.")
]
Key = Annotated[
    str | None, kind_option(KEY.kind, "Whose job it is: a customer, a tenant, an account.", "KEY")
]
Cost = Annotated[
    int | None, kind_option(COST.kind, "Tokens that it takes of every rate limit; usually 1.", "N")
]
OnConflict = Annotated[
    Literal["existing", "replace", "push", "again"] | None,
    kind_option(
        ON_CONFLICT.kind,
        "If --unique is held by a job that never ran: existing (leave it), replace (it gets these"
        " arguments and options), push (that, and it runs --delay from now on), or again (replace,"
        " and if it runs, one job waits until it has ended).",
        "WHAT",
    ),
]
PushFor = Annotated[
    float | None,
    seconds_option("A push ends so long after the first enqueue; usually ten delays."),
]
Retries = Annotated[int | None, kind_option(RETRIES.kind, "Runs after the first one.", "N")]
Timeout = Annotated[float | None, seconds_option("The time limit of a run; 0: none.")]
Ttl = Annotated[float | None, seconds_option("The job expires if it did not start in this time.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for the job to end, and print the result as JSON.")
]
WaitTimeout = Annotated[float | None, seconds_option("How long to wait for the job to end.")]


class Call(NamedTuple):
    """What the command line says of the job."""

    queue: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: CallOptions


def enqueue(
    context: typer.Context,
    task: Task,
    queue: Queue = "default",
    args: Args = "[]",
    kwargs: Kwargs = "{}",
    delay: Delay = None,
    priority: Priority = None,
    id: Id = None,
    unique: Unique = None,
    unique_while: UniqueWhile = None,
    unique_for: UniqueFor = None,
    key: Key = None,
    cost: Cost = None,
    on_conflict: OnConflict = None,
    push_for: PushFor = None,
    retries: Retries = None,
    timeout: Timeout = None,
    ttl: Ttl = None,
    wait: Wait = False,
    wait_timeout: WaitTimeout = None,
) -> None:
    """Enqueue a job and print its id. If no worker there knows the task, it waits for one."""
    options = _options(
        delay=delay,
        job_id=id,
        priority=priority,
        retries=retries,
        timeout=timeout,
        ttl=ttl,
        unique=unique,
        unique_while=unique_while,
        unique_for=unique_for,
        key=key,
        cost=cost,
        on_conflict=on_conflict,
        push_for=push_for,
    )
    call = Call(queue, _task(task), _array(args), _object(kwargs), options)
    _send(context, call, wait=wait, timeout=wait_timeout)


def _options(**asked: Any) -> CallOptions:
    from asyncmqd.client.pending import CallOptions

    return CallOptions(**asked)


def _send(context: typer.Context, call: Call, *, wait: bool, timeout: float | None) -> None:
    from asyncmqd.cli.enqueue_and_wait import send

    file = target_of(context).file
    with_store(context, lambda store: send(store, call, file, wait=wait, timeout=timeout))


def _task(name: str) -> str:
    try:
        return str(TASK.kind.check(name))
    except ValueError as error:
        raise Misuse(f"TASK: {error}") from None


def _array(text: str) -> list[Any]:
    value = _json("--args", text)
    if not isinstance(value, list):
        raise Misuse(f"--args: expected a JSON array like '[1, \"a\"]', got {_shown(text)}")
    return value


def _object(text: str) -> dict[str, Any]:
    value = _json("--kwargs", text)
    if not isinstance(value, dict):
        raise Misuse(f"--kwargs: expected a JSON object like '{{\"a\": 1}}', got {_shown(text)}")
    return value


def _json(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Misuse(f"{option}: expected JSON, got {error.msg} at {place}") from None
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{option}: expected JSON that can be read, got {error}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
