"""What a Redis user has to be allowed, and no more."""

from __future__ import annotations

from asyncmqd.backends.redis.address import Address

# The categories hold what the scripts call. What is dangerous is taken away again: it empties
# databases, among other things. INFO is of that kind and only tells of memory and replicas. TIME is
# in no category, WAIT and SELECT are in others with other servers, and a cluster's client asks for
# the slots.
RULES = (
    "-@all +@read +@write +@scripting +@connection +@transaction +@pubsub +@blocking -@dangerous"
    " +info +time +wait +select +cluster|slots"
)


def acl_line(address: Address) -> str:
    """The command that gives the address's user all that asyncmqd needs, in its own prefix."""
    user, prefix = address.login.get("username", "default"), address.prefix
    return f"ACL SETUSER {user} resetkeys ~{prefix}:* resetchannels &{prefix}:* {RULES}"
