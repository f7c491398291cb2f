"""What stands before a waiting job: what people ask who wait for it."""

from __future__ import annotations

import msgspec


class InLine(msgspec.Struct, frozen=True):
    """The jobs and the turns of others that come before a waiting job, as it is now.

    Jobs without a key are alike in this as those of one key are.
    """

    ahead: int  # jobs of its key that start before it
    # Keys of its priority whose turn comes before that of its own; None: its own takes no turns,
    # for its limits hold it back
    turns: int | None
    better: int  # jobs of other keys with a better priority; limits may hold some of them back
    others: int  # jobs of other keys that wait, of all priorities
    first: str  # the id of the first job of its key, which may be this one
