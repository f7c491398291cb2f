"""The retry rules of a task, applied in spite of the application's code in them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import msgspec

from asyncmqd.domain import clock
from asyncmqd.domain.attempts import told_of
from asyncmqd.domain.change import Change
from asyncmqd.domain.retry import DEFAULT_BACKOFF
from asyncmqd.domain.settle import (
    Outcome,
    Policy,
    Succeeded,
    decode_failure,
    encode_failure,
    settle,
    succeed,
)
from asyncmqd.observe.log_tail import LogTail
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.execution.failures import failure_of
from asyncmqd.runtime.execution.run import Run

Answer = TypeVar("Answer")


def decide(run: Run, outcome: Outcome, observer: Observer) -> Change:
    """`settle` by the rules of the run's task; rules that raise are logged and ignored.

    An error is kept with the last lines that the run logged.
    """
    if isinstance(outcome, Succeeded):  # no rule of the application has a say in it
        return succeed(run.claim, outcome.result, run.rules.policy.retention)
    draw = clock.draw()
    try:
        change = settle(run.claim, outcome, run.rules.policy, draw)
    except BaseException as error:  # noqa: BLE001 - a back-off function may raise anything
        # No closures: they would cost the jobs whose rules do not raise.
        judge = functools.partial(settle, run.claim, outcome, draw=draw)
        tell = functools.partial(observer.about, run.claim, run.task_name, "job.rules_failed")
        change = _by_default(judge, run.rules.policy, error, tell)
    return change if run.tail is None or not change.error else _with_log(run, change, run.tail)


def _with_log(run: Run, change: Change, tail: LogTail) -> Change:
    failure = decode_failure(change.error or b"")
    assert failure is not None
    failure = msgspec.structs.replace(failure, log=tail.lines())
    attempt = change.attempt and told_of(run.claim, change.edge, failure, change.delay)
    return msgspec.structs.replace(change, error=encode_failure(failure), attempt=attempt)


def by_rules(
    judge: Callable[[Policy], Answer], policy: Policy, complain: Callable[[str], None]
) -> Answer:
    """What `judge` makes of the policy. If a part of it raises, the default stands for that part:
    a job's own error must not be lost by an error in the rules for it.
    """
    try:
        return judge(policy)
    except BaseException as error:  # noqa: BLE001 - a back-off function may raise anything
        return _by_default(judge, policy, error, complain)


def _by_default(
    judge: Callable[[Policy], Answer],
    policy: Policy,
    error: BaseException,
    complain: Callable[[str], None],
) -> Answer:
    failure = failure_of(error)
    complain(f"the default rules are used: the task's own raise {failure.type}: {failure.message}")
    plain = msgspec.structs.replace(policy, retry_on=(BaseException,), dont_retry_on=())
    try:
        return judge(plain)
    except BaseException:  # noqa: BLE001 - the same
        return judge(msgspec.structs.replace(plain, backoff=DEFAULT_BACKOFF))
