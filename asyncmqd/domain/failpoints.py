"""Named steps on the way of a job, at which a test may step in: kill the process, freeze it, raise.

Nothing is armed in production, and then a step costs one call. Where each job comes by, `ARMED` is
looked at first, which costs less. Only code that runs in the process can arm one. Environment and
payloads cannot: whoever may write to the store must not be able to stop a daemon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

Step = Literal[
    "adding",  # the producer is about to send jobs to the store
    "added",  # the store has them, and the producer does not know it yet
    "claimed",  # the store has handed out jobs, and the worker does not know it yet
    "starting",  # the task function is about to be called
    "ran",  # it has returned or raised
    "settling",  # what became of jobs is about to be sent to the store
    "settled",  # the store has it, and the worker does not know it yet
    "renewing",  # leases are about to be extended; in the thread that does so
    "renewed",
    "recovering",  # claims of a dead holder are about to be taken back
    "recovered",
    "promoting",  # delayed jobs are due, and about to be moved
    "promoted",
    "firing",  # an instant of a schedule has come, and is about to be claimed
    "fired",
    "operating",  # a step of an operator's operation on many jobs is about to be sent
    "operated",
]

STEPS: tuple[Step, ...] = get_args(Step)

ARMED: dict[str, Callable[[], None]] = {}


def arm(step: Step, action: Callable[[], None]) -> None:
    """Call `action` each time that the step is reached, in whatever thread reaches it.

    Raises ValueError for a step that there is not.
    """
    if step not in STEPS:
        raise ValueError(f"step: expected one of {', '.join(STEPS)}, got {step!r}")
    ARMED[step] = action


def failpoint(step: Step) -> None:
    """The step is reached."""
    if ARMED and (action := ARMED.get(step)) is not None:
        action()
