"""What an error of a server, or on the way to it, means to whoever called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asyncmqd.backends.base import StoreError, StoreRefused, StoreUncertain
from asyncmqd.backends.redis import acl, scripts
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.replies import Refused, has_code, of_redis_py

_NO_RIGHT = frozenset({"NOPERM"})
_REFUSALS = _NO_RIGHT | {"WRONGPASS", "NOAUTH"}
_OF_OTHER_TOPOLOGY = frozenset({"ASK", "MOVED", "CROSSSLOT", "CLUSTERDOWN"})
_NO_LOGIN = ("invalid password", "AUTH <password> called without", "Client sent AUTH")

# What a server says that is not, or not now, the one to write to. redis-py takes the code off some
# of them and makes a class of it; in a script of Redis 6.2 it stands in the middle, behind a dash.
_ELSEWHERE = re.compile(
    r"(^|-)(READONLY|MASTERDOWN|LOADING|MISCONF|CLUSTERDOWN|NOREPLICAS|UNBLOCKED) "
    r"|WAIT cannot be used with replica"
)
_ELSEWHERE_KINDS = ("ReadOnlyError", "BusyLoadingError", "ClusterDownError")
_OF_WAIT = ("UNBLOCKED", "WAIT ")  # what came before it was carried out
# Scripts of Redis 6.2, then of later servers.
_FORBIDDEN = re.compile(r"user executing the script|ACL failure in script")


def faults() -> tuple[type[Exception], ...]:
    """What a call may raise that is a store's fault; TimeoutError is one of the first."""
    return OSError, Refused, *of_redis_py("RedisError", "RedisClusterException")


def broken() -> tuple[type[Exception], ...]:
    """What it raises when a connection breaks, or cannot be made."""
    return OSError, *of_redis_py("ConnectionError", "RedisClusterException")


def is_lost(error: object) -> bool:
    """Whether a connection broke, or could not be made."""
    return isinstance(error, (OSError, *of_redis_py("ConnectionError")))


def _is_answer(error: object) -> bool:
    return isinstance(error, (Refused, *of_redis_py("RedisError")))


def says_elsewhere(error: object) -> bool:
    """Whether a reply says that another server may be the one to ask by now."""
    if not _is_answer(error):
        return False
    return isinstance(error, of_redis_py(*_ELSEWHERE_KINDS)) or bool(_ELSEWHERE.search(str(error)))


def turns_away(error: object) -> bool:
    """Whether a server has refused a connection because it has as many as it may, and done nothing.

    It says nothing of the connections that are there.
    """
    return is_lost(error) and "max number of clients" in str(error)


def is_forbidden(error: object) -> bool:
    """Whether the user lacks a permission."""
    if not _is_answer(error):
        return False
    return has_code(error, _NO_RIGHT, "NoPermissionError") or bool(_FORBIDDEN.search(str(error)))


def has_refused(error: object) -> bool:
    """Whether a server has said that it did nothing, and another, or another time, may do."""
    return says_elsewhere(error) or turns_away(error)


def to_store_error(
    address: Address, error: Exception, *, sent: bool = False, lost: bool = False
) -> StoreError:
    """What the contract calls such an error, with its cause; raise it `from` that.

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
    # What goes wrong while redis-py logs in comes wrapped in another error.
    if _lets_nobody_in(error) or _lets_nobody_in(error.__cause__) or is_forbidden(error):
        return StoreRefused
    if str(error).startswith("WRONGTYPE") or _is_other_topology(address, error):
        return StoreRefused
    unanswered = is_lost(error) and not has_refused(error)
    done = str(error).startswith(_OF_WAIT)
    return StoreUncertain if sent and (unanswered or done) else StoreError


def _lets_nobody_in(error: object) -> bool:
    if has_code(error, _REFUSALS, "AuthenticationError", "AuthorizationError", "NoPermissionError"):
        return True
    return isinstance(error, Refused) and str(error).startswith(_NO_LOGIN)


def _is_other_topology(address: Address, error: Exception) -> bool:
    """Whether the URL names one server and it is a node of a Cluster, or the other way round."""
    if address.scheme == "redis+cluster":
        return "Cluster mode is not enabled" in str(error)
    if has_code(error, _OF_OTHER_TOPOLOGY, "AskError", "ClusterCrossSlotError"):
        return True
    # redis-py has the error of a master that is down, which any server says, as a kind of this.
    return type(error) in of_redis_py("ClusterDownError")


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
