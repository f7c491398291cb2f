"""The commands of a command line, each built when it is named.

typer builds all of them at each start, which takes longer than most commands run. Help and
completion name what they list, and so build that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import typer

from asyncmqd.cli.values import read_simply

Build = Callable[[], Any]


class OnDemand(Mapping[str, Any]):
    """Commands and groups by name, in the order in which help lists them."""

    def __init__(self, builders: dict[str, Build]) -> None:
        self._builders = builders
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = self._builders[name]()
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in self._builders

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)


def command_line(app: typer.Typer) -> Any:
    """What `typer.main.get_command` makes of it, without the commands that nobody names."""
    group = read_simply(typer.main.get_group(_with_commands(app, [])))
    builders: dict[str, Build] = {}
    for info in app.registered_commands:
        assert info.callback is not None
        name = info.name or typer.main.get_command_name(info.callback.__name__)
        builders[name] = partial(_one, app, info)
    for each in app.registered_groups:
        assert each.typer_instance is not None
        builders[f"{each.name}"] = partial(_named, each.typer_instance, f"{each.name}")
    group.commands = OnDemand(builders)  # nothing is put into it
    return group


def _named(app: typer.Typer, name: str) -> Any:
    group = command_line(app)
    group.name = name
    return group


def _one(app: typer.Typer, info: Any) -> Any:
    """One command of an app, as if that had no other and no options of its own."""
    alone = _with_commands(app, [info])
    alone.registered_callback = None
    return read_simply(typer.main.get_command(alone))


def _with_commands(app: typer.Typer, infos: list[Any]) -> typer.Typer:
    part = copy.copy(app)
    part.registered_commands, part.registered_groups = infos, []
    return part
