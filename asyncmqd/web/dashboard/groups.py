"""A group of dead letters, as a form names it: by its newest job.

The text of the errors would be long, and browsers change the line ends of what forms carry.
"""

from __future__ import annotations

from hashlib import sha256

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.selection import error_of, masked, task_of
from asyncmqd.domain.states import State
from asyncmqd.web.api import CannotDo

CHANGED = "Nothing was done: this group is another one by now. Load the page again."


def stamp_of(task: str | None, alike: str) -> str:
    """Tells groups of a queue apart."""
    return sha256(f"{task}\n{alike}".encode(errors="surrogatepass")).hexdigest()[:16]


async def arguments_of(store: BaseBackend, form: dict[str, str]) -> dict[str, str]:
    """Which jobs the form means. Raises CannotDo if its job has failed otherwise meanwhile."""
    queue = form.get("queue", "")
    [record] = await store.get(queue, [form["sample"]])
    if record is None or record.state is not State.FAILED:
        raise CannotDo(CHANGED)
    task, alike = task_of(record), masked(error_of(record))
    if task is None or stamp_of(task, alike) != form.get("group"):
        raise CannotDo(CHANGED)
    return {"queue": queue, "state": str(State.FAILED), "task": task, "alike": alike}
