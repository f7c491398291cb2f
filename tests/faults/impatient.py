"""For short runs: a daemon that gives up on a silent connection after one second.

As a task module, for it has to happen in the daemon. Full runs have the real limits.
"""

from __future__ import annotations

from asyncmqd.backends.redis import subscriber

subscriber.HEARTBEAT = 1.0
