"""What all streams of server-sent events have in common."""

from __future__ import annotations

from asyncmqd.domain import clock

MOST_STREAMS = 64  # of one kind, in one daemon
HEARTBEAT = 15.0  # seconds without an event, after which a comment shows that the stream lives
CONTENT_TYPE = "text/event-stream"
HEADERS = (("X-Accel-Buffering", "no"),)  # nginx would hold events back
_RETRY = 2.0, 8.0  # seconds until a client comes back: not all of them at once


def retry_line() -> bytes:
    """The first line of a stream: when its client comes back once it has ended."""
    low, high = _RETRY
    return b"retry: %d\n\n" % round(1000 * (low + clock.draw() * (high - low)))
