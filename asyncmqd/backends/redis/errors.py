"""What an error of redis-py, or of the server behind it, means to whoever called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as LostConnection

from asyncmqd.backends.base import StoreError, StoreRefused, StoreUncertain
from asyncmqd.backends.redis import acl, scripts
from asyncmqd.backends.redis.address import Address

FAULTS = (RedisError, RedisClusterException, OSError)  # of which TimeoutError is one
_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)

# What a server says that is not, or not now, the one to write to. redis-py takes the code off some
# of them and makes a class of it; in a script of Redis 6.2 it stands in the middle, behind a dash.
_ELSEWHERE = re.compile(
    r"(^|-)(READONLY|MASTERDOWN|LOADING|MISCONF|CLUSTERDOWN|NOREPLICAS|UNBLOCKED) "
    r"|WAIT cannot be used with replica"
)
_ELSEWHERE_KINDS = (ReadOnlyError, BusyLoadingError, ClusterDownError)
_OF_WAIT = ("UNBLOCKED", "WAIT ")  # what came before it was carried out
# Scripts of Redis 6.2, then of later servers.
_FORBIDDEN = re.compile(r"user executing the script|ACL failure in script")


def says_elsewhere(error: object) -> bool:
    """Whether a reply says that another server may be the one to ask by now."""
    if not isinstance(error, RedisError):
        return False
    return isinstance(error, _ELSEWHERE_KINDS) or bool(_ELSEWHERE.search(str(error)))


def turns_away(error: object) -> bool:
    """Whether a server has refused a connection because it has as many as it may, and done nothing.

    redis-py takes that for a connection that broke. It says nothing of those that are there.
    """
    return isinstance(error, LostConnection) and "max number of clients" in str(error)


def is_forbidden(error: object) -> bool:
    """Whether the user lacks a permission."""
    if not isinstance(error, RedisError):
        return False
    return isinstance(error, NoPermissionError) or bool(_FORBIDDEN.search(str(error)))


def has_refused(error: object) -> bool:
    """Whether a server has said that it did nothing, and another, or another time, may do."""
    return says_elsewhere(error) or turns_away(error)


def to_store_error(
    address: Address, error: Exception, *, sent: bool = False, lost: bool = False
) -> StoreError:
    """What the contract calls an error of redis-py, with its cause; raise it `from` that.

    `sent`: the server may have got the call. `lost`: one may have done it at an earlier try,
    whatever is said of this one. Servers and proxies repeat what they do not
    understand, a login among it: no secret stands in the error, and a cause that has one is left
    out.
    """
    if str(error).startswith("LAYOUT "):
        return _other_layout(address.url, str(error).split()[1])
    kind = StoreUncertain if lost else _kind(address, error, sent)
    reason = address.hide(str(error)) or f"no answer within {address.timeout:g} s"
    found = kind(f"{address.url}: {reason}{_advice(address, error)}")
    if all(address.hide(str(each)) == str(each) for each in _chain(error)):
        found.__cause__ = error
    return found


def _kind(address: Address, error: Exception, sent: bool) -> type[StoreError]:
    # What goes wrong while it logs in comes wrapped in another error.
    refused = isinstance(error, _REFUSALS) or isinstance(error.__cause__, _REFUSALS)
    if refused or is_forbidden(error) or str(error).startswith("WRONGTYPE"):
        return StoreRefused
    if _is_other_topology(address, error):
        return StoreRefused
    unanswered = isinstance(error, LostConnection | OSError) and not has_refused(error)
    done = str(error).startswith(_OF_WAIT)
    return StoreUncertain if sent and (unanswered or done) else StoreError


def _is_other_topology(address: Address, error: Exception) -> bool:
    """Whether the URL names one server and it is a node of a Cluster, or the other way round."""
    if address.scheme == "redis+cluster":
        return "Cluster mode is not enabled" in str(error)
    # redis-py has the error of a master that is down, which any server says, as a kind of the last.
    return isinstance(error, AskError | ClusterCrossSlotError) or type(error) is ClusterDownError


def _advice(address: Address, error: Exception) -> str:
    if _is_other_topology(address, error):
        if address.scheme == "redis+cluster":
            return "; a server that is no Cluster is named redis:// or rediss://"
        return "; it is a node of a Cluster, which is named redis+cluster://HOST:PORT"
    if is_forbidden(error):
        return f"; the Redis user needs: {acl.acl_line(address)}"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _other_layout(url: str, found: str) -> StoreRefused:
    return StoreRefused(
        f"{url}: expected layout {scripts.LAYOUT}, got {found}: the store was migrated meanwhile"
        " by another release, which is to be used from now on"
    )
