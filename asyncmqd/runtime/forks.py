"""What a child is that the code of a job forks: a process of the application, and nothing of ours.

It is a copy of us, with our handlers of signals, our connections, our event loop and the lock of
the instance. Here it gives up all of them before any other code runs in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import select
import signal
import sys
import threading
import traceback
from asyncio import events
from collections import deque
from collections.abc import Callable, Collection, Iterable
from types import FrameType
from typing import Any, NoReturn

_RESTORED = {  # as they are in a Python that has just begun
    signal.SIGINT: signal.default_int_handler,
}

_signals: frozenset[signal.Signals] = frozenset()
_descriptors: set[int] = set()
_stand_ins: list[int] = []  # for what a child gives up, and for the loop's epoll
_loop: asyncio.AbstractEventLoop | None = None
_wakeup = -1  # the descriptor by which signals wake that loop
_thread = threading.local()  # what a thread that forks has to know after it
_forked = False
_last_steps: list[Callable[[], object]] = []


def take_signals(
    numbers: Collection[signal.Signals], handler: Callable[[int, Any], object]
) -> None:
    """Have this process handle these signals, and nobody whom it forks.

    Not by the loop's `add_signal_handler`, which takes a byte in a pipe for a signal: a forked
    child writes into the same one. A handler of Python's runs where the signal came.

    Whoever started us may have blocked signals, and a mask outlives exec: no TERM would arrive, and
    no SIGCHLD, by which the loop learns of the end of programs. So nothing is blocked from here on.
    """
    global _signals  # noqa: PLW0603 - signals belong to a process
    _signals |= frozenset(numbers)
    for number in numbers:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def keep(descriptor: int) -> int:
    """Have no forked child hold this descriptor; returns it."""
    _make_stand_ins()
    _descriptors.add(descriptor)
    return descriptor


def keep_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """Have no forked child turn this loop or hold what it watches; None: it has ended."""
    global _loop, _wakeup
    _make_stand_ins()
    _loop, _wakeup = loop, -1
    if loop is not None:
        loop.call_soon(_note_wakeup)  # from its first turn on there is one


def _note_wakeup() -> None:
    """In a child it is too late: from Python 3.12 on asyncio forgets it before we are asked."""
    global _wakeup  # noqa: PLW0603 - as above
    _wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(_wakeup, warn_on_full_buffer=False)


def at_end_of_fork(step: Callable[[], object]) -> None:
    """Have each forked child take this step at its end, which nobody else is told of."""
    _last_steps.append(step)


def end_if_forked(error: BaseException | None = None) -> None:
    """The code of a job has returned, or raised: if it was a forked child that did, it ends here.

    As a program would: with 0, with the code of SystemExit, or with 1 and a traceback. Neither our
    own code goes on in it, nor what was registered with `atexit`.
    """
    if _forked:
        _end(error)


def _end(error: BaseException | None) -> NoReturn:
    code: Any = 0
    if isinstance(error, SystemExit):
        code = error.code
        if code is not None and not isinstance(code, int):
            sys.stderr.write(f"{code}\n")
            code = 1
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for step in (*_last_steps, sys.stdout.flush, sys.stderr.flush):
        with contextlib.suppress(Exception):
            step()
    os._exit((code or 0) & 0xFF)


# ---------------------------------------------------------------------- the fork itself


def _before() -> None:
    turns_loop = _loop is not None and events._get_running_loop() is _loop  # noqa: SLF001
    _thread.task = asyncio.current_task(_loop) if turns_loop else None
    _thread.turns_loop = turns_loop
    # What comes for us between the fork and the child's first step would run our handler there.
    _thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _signals)


def _after_in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _thread.mask)


def _after_in_child() -> None:
    global _forked, _loop  # noqa: PLW0603 - a fork is of the whole process
    _forked = bool(_signals or _descriptors or _loop)  # else no process of ours was forked
    _leave_signals()
    _leave_pool()
    _let_go(_descriptors)
    if _loop is not None:
        _leave_loop(_loop)
        _loop = None
    _after_in_parent()


def _leave_signals() -> None:
    if not _signals:
        return
    for number in _signals:
        signal.signal(number, _RESTORED.get(number, signal.SIG_DFL))
    wakeup = signal.set_wakeup_fd(-1)  # or the loop would take the child's signals for its own
    _let_go({wakeup, _wakeup} - {-1})
    if (
        signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    ):  # libuv has set another, and does not say so
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _leave_pool() -> None:
    """A pool's thread takes what its call raises for a result, and waits for the next call."""
    pools = sys.modules.get("concurrent.futures.thread")
    if not _forked or pools is None:
        return
    call = pools._WorkItem.run.__code__  # noqa: SLF001
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None:
        if frame.f_code is call:
            frame.f_locals["self"].future = _LastCall()
        frame = frame.f_back


class _LastCall:
    """Stands for the future of a call from which a forked child comes back."""

    def set_result(self, _result: object) -> NoReturn:
        _end(None)

    def set_exception(self, error: BaseException) -> NoReturn:
        _end(error)


def _make_stand_ins() -> None:
    """Before they are needed: by then this process may have no descriptor left."""
    if not _stand_ins:
        nothing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with select.epoll() as empty:
            _stand_ins.extend((nothing, os.dup(empty.fileno())))


def _let_go(descriptors: Iterable[int]) -> None:
    """Close them, and leave the numbers taken: objects that hold them would close others' later.

    What stands there instead is never ready, and can be watched.
    """
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.dup2(_stand_ins[0], descriptor, inheritable=False)


def _leave_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Give up all that the loop watches; and what comes back to it in here has ended."""
    selector = _selector_of(loop)
    _let_go(_watched(selector))
    os.dup2(_stand_ins[1], selector, inheritable=False)
    if _thread.turns_loop:
        _end_at_next_turn(loop)
        events._set_running_loop(None)  # noqa: SLF001 - as asyncio does since 3.12
    if sys.version_info < (3, 12):  # from there on asyncio does so itself
        asyncio.set_event_loop(None)


def _selector_of(loop: Any) -> int:
    """The descriptor of its epoll. Neither asyncio nor uvloop has a public name for it."""
    if hasattr(loop, "_get_backend_id"):
        return int(loop._get_backend_id())  # noqa: SLF001
    return int(loop._selector.fileno())  # noqa: SLF001


def _watched(selector: int) -> list[int]:
    """What the loop watches, but for what is to be handed on to a program that is being started."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{selector}") as about:
        found = re.findall(r"^tfd: +(\d+)", about.read(), re.MULTILINE)
        return [int(number) for number in found if not os.get_inheritable(int(number))]
    return []  # no /proc


def _end_at_next_turn(loop: asyncio.AbstractEventLoop) -> None:
    """What waits for the next turn are steps of other jobs, which the parent makes."""
    handle = loop.call_soon(_end_of_turn, _thread.task)
    for ready in gc.get_referents(loop):  # uvloop shows it in no other way
        if isinstance(ready, deque) and ready and ready[-1] is handle:
            for place in range(len(ready)):
                ready[place] = handle


def _end_of_turn(task: asyncio.Task[Any] | None) -> None:
    """The child's code has returned to the loop: from the task that forked, at its end or not."""
    if task is None or not task.done():
        _end(RuntimeError("a forked child may not await: the event loop is its parent's"))
    _end(asyncio.CancelledError() if task.cancelled() else task.exception())


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
