"""The Lua scripts of this directory, and commands that call them."""

from __future__ import annotations

import functools
import hashlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Sequence

from asyncmqd.domain import attempts
from asyncmqd.domain.states import State

Argument = str | bytes | int | float
Command = tuple[Argument, ...]
Late = Callable[[], Command]
"""A command that is made when those before it have been sent, so that the server does not wait."""

WAIT = "WAIT"  # for replicas

_NEEDS = re.compile(r"^-- needs:(.*)$", re.MULTILINE)
# A part that stands inside of a function: each script makes all others anew at each call.
_WITH = re.compile(r"^ *-- with: (.*)$", re.MULTILINE)


# A comment to all others. Claims learn the keys of jobs in the script, which Dragonfly refuses.
_FOR_DRAGONFLY = "--!df flags=allow-undeclared-keys"
LAYOUT = 1  # of the keys, see _queue.lua and migration.py

_texts: dict[str, str] = {}  # of the scripts in use, by hash


@functools.cache
def _sha(name: str) -> str:
    """The hash by which a server knows `<name>.lua` with all the parts that it needs."""
    text = _read(name)
    needs = _NEEDS.search(text)
    assert needs is not None, f"{name}.lua has no line `-- needs:`"
    parts = needs[1].split()
    if not {"_base", "_clock"} & {*parts}:  # one of several queues looks at each of them itself
        parts.insert(0, "_queue")
    text = "\n".join([_FOR_DRAGONFLY, _constants(), *map(_read, parts), text])
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    _texts[sha] = text
    return sha


def _constants() -> str:
    """What every script knows."""
    states = State.WAITING, State.DELAYED, State.BLOCKED, State.ACTIVE, State.FAILED
    names = ", ".join(("LAYOUT", *(each.name for each in states)))
    values = ", ".join(f"'{each}'" for each in (LAYOUT, *states))
    kept = f"local MOST_ATTEMPTS, MOST_BYTES_OF_ATTEMPTS = {attempts.MOST}, {attempts.MOST_BYTES}"
    without = ", ".join(f"'{each.decode()}'" for each in attempts.WITHOUT_ERROR)
    read = f"local HEAD_OF_ATTEMPT, ATTEMPTS_WITHOUT_ERROR = {attempts.HEAD}, {{{without}}}"
    return f"local {names} = {values}\n{kept}\n{read}"


def read_those_that_add() -> None:
    """Read now what a producer needs: one that has no descriptor left goes on with its work."""
    for name in ("add_one", "add", "add_named"):
        _sha(name)


def read_all() -> None:
    """The same of all scripts, for daemons."""
    from importlib import resources  # most producers import nothing of what it needs

    for file in resources.files(__package__).iterdir():
        name = file.name.removesuffix(".lua")
        if name != file.name and not name.startswith("_"):
            _sha(name)
    _read.cache_clear()


@functools.cache  # many scripts have the same parts
def _read(name: str) -> str:
    data = pkgutil.get_data(__package__, f"{name}.lua")
    assert data is not None, f"{__package__} is not a folder, or a file of its own"
    return _WITH.sub(lambda found: "\n".join(map(_read, found[1].split())), data.decode())


def call(name: str, keys: Iterable[str], args: Iterable[Argument] = ()) -> Command:
    """The command that runs a script, if the server has it.

    The last key of a queue's script does not exist. While a slot moves from one node of a cluster
    to another, a script that names one key alone would run where half of the queue's keys are
    missing: jobs would be lost. One with two keys is refused there until the move is over.
    """
    keys = tuple(keys)
    if keys[0].endswith(":"):
        keys = (*keys, f"{keys[0]}guard")
    return ("EVALSHA", _sha(name), len(keys), *keys, *args)


def made(command: Command | Late) -> Command:
    """The command itself."""
    return command() if callable(command) else command


def teach(command: Command) -> Command:
    """The same call with the script's text, for a server that does not have it yet.

    WAIT has none, and is the same.

    EVAL needs no further round trip, as SCRIPT LOAD would, and finds its node in a cluster.
    """
    if command[0] == WAIT:
        return command
    return ("EVAL", _texts[str(command[1])], *command[2:])


def _once(commands: Sequence[Command]) -> list[Command]:
    first = {command[1]: at for at, command in reversed([*enumerate(commands)])}
    return [
        teach(command) if first[command[1]] == at else command
        for at, command in enumerate(commands)
    ]


def _each(commands: Sequence[Command]) -> list[Command]:
    return [teach(command) for command in commands]


IN_FULL = (_once, _each)
"""How calls are sent whose scripts a server does not have: each script once, since the calls behind
it find it there. Behind a proxy other keys may be another server's: then with each call.
"""
