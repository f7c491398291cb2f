"""Write the manual pages from docs/man/*.md; `--check` says whether they are up to date.

What people wrote stands in those files. The commands come from the command line itself, and the
keys from the configuration's models, so that neither can be told otherwise than it is.
"""  # noqa: INP001 - a script, not a package

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import make_configuration
import roff
import typer

from asyncmqd import __version__
from asyncmqd.cli import asyncmq, daemon
from asyncmqd.config.models import LIVE_KEYS, Settings
from asyncmqd.config.tables import Key, Table, keys_of
from asyncmqd.domain.queue_options import FIXED_KEYS

PAGES = Path(__file__).with_name("man")
MANUALS = {"1": "User commands", "5": "File formats", "8": "System administration"}
APPS = {"asyncmqd": daemon.app, "asyncmq": asyncmq.app}


def page(source: Path) -> str:
    """The manual page that is made of a source."""
    name, section = source.stem.rsplit(".", 1)
    parts: dict[str, Callable[[], str]] = {
        **{
            key: lambda table=table: keys(table) for key, table in make_configuration.TABLES.items()
        },
        "reload": reload,
        "synopsis": lambda: synopsis(name),
        "options": lambda: options(*_root(name)),
        "commands": lambda: commands(*_root(name)),
    }
    text = re.sub(r"<!-- (\w+) -->", lambda found: parts[found[1]](), source.read_text())
    heading = f'.TH {name.upper()} {section} "" "asyncmqd {__version__}" "{MANUALS[section]}"\n'
    notice = f'.\\" Made by docs/make_man.py from docs/man/{source.name}; do not edit.\n'
    return notice + heading + roff.render(text)


# ------------------------------------------------------------------ the command line


def _root(name: str) -> tuple[Any, Any]:
    command = typer.main.get_command(APPS[name])
    return command, typer.Context(command, info_name=name)


def _leaves(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """Every command that does something, with its context."""
    for name, child in command.commands.items():
        inner = typer.Context(child, parent=context, info_name=name)
        if hasattr(child, "commands"):
            yield from _leaves(child, inner)
        else:
            yield child, inner


def synopsis(name: str) -> str:
    """One line for each way to call the command."""
    command, _ = _root(name)
    usual = [f"**{name}** [*OPTIONS*] *COMMAND* [*ARGUMENTS*]"]
    if command.invoke_without_command:
        usual.insert(0, f"**{name}** [*OPTIONS*]")
    return "\n\n".join([*usual, f"**{name}** *COMMAND* **--help**"])


def commands(command: Any, context: Any) -> str:
    """A part for each command, with its arguments and options."""
    return "\n\n".join(_command(*leaf) for leaf in _leaves(command, context))


def _command(command: Any, context: Any) -> str:
    arguments = [
        f"{_metavar(each, context)}{' ...' if each.nargs != 1 else ''}"
        for each in _arguments(command)
    ]
    required = [each.required for each in _arguments(command)]
    shown = [
        word if needed else f"[{word}]" for word, needed in zip(arguments, required, strict=True)
    ]
    heading = " ".join([context.command_path, *shown])
    return f"## {heading}\n\n{command.help}\n\n{options(command, context)}"


def options(command: Any, context: Any) -> str:
    """A list of arguments and options."""
    visible = [each for each in command.params if not getattr(each, "hidden", False)]
    return "\n".join(_parameter(each, context) for each in visible)


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _parameter(parameter: Any, context: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    words = [] if is_argument else [", ".join(f"`{option}`" for option in parameter.opts)]
    if is_argument or not parameter.is_flag:
        words.append(f"*{_metavar(parameter, context)}*")
    if not parameter.help:
        sys.exit(f"{context.command_path}: {parameter.name}: expected a help text, got none")
    return f"- {' '.join(words)}: {parameter.help}{''.join(_remarks(parameter))}"


def _remarks(parameter: Any) -> Iterator[str]:
    """What the help text need not say."""
    if parameter.min is not None and parameter.max is not None:
        yield f" From {parameter.min:g} to {parameter.max:g}."
    elif parameter.min is not None:
        yield f" At least {parameter.min:g}."
    if parameter.param_type_name == "option" and parameter.required:
        yield " It has to be given."
    elif parameter.default not in (None, False):
        default = parameter.default
        yield (
            f" Default: `{default:g}`." if isinstance(default, float) else f" Default: `{default}`."
        )
    if parameter.envvar:
        yield f" Environment: `{parameter.envvar}`."


def _metavar(parameter: Any, context: Any) -> str:
    """What stands for the value; a choice is told by typer only in the text of `--help`."""
    if parameter.metavar:
        return str(parameter.metavar)
    choices = re.search(r"<(.*)>", parameter.get_help_record(context)[0])
    assert choices, f"{parameter.name}: expected a metavar"
    return choices[1]


# ------------------------------------------------------------------ the configuration


def keys(table: Table) -> str:
    """A list of the keys of a table."""
    return "\n".join(_key(name, key) for name, key in keys_of(table).items())


def _key(name: str, key: Key) -> str:
    unit = make_configuration.unit(key)
    term = f"`{name}` ({unit})" if unit else f"`{name}`"
    return f"- {term}: {' '.join([key.meaning, *_facts(name, key, unit)])}"


def _facts(name: str, key: Key, unit: str) -> Iterator[str]:
    """What stands beside the description: the values it takes, and the default."""
    if key.kind and unit != "seconds":  # these are explained once, for all of them
        yield f"Takes {key.kind.expected}."
    default = make_configuration.default(name, key)
    if default == "required":
        yield "It has to be there."
    else:
        yield f"Default: {default.replace('see below', 'see below the list')}."


def reload() -> str:
    """What a reload applies, and what it does not."""
    at_start = [
        name
        for name in Settings.__struct_fields__
        if name not in {*LIVE_KEYS, "queues", "defaults"}
    ]
    return (
        f"A reload applies {_listed(sorted(LIVE_KEYS))}, and all that is said of queues; only"
        f" {_listed(sorted(FIXED_KEYS))} make it start a queue's worker anew, after its running"
        f" jobs have ended. {_listed(at_start)} are read at start, and a reload that changes them"
        " says so."
    )


def _listed(names: list[str]) -> str:
    *most, last = [f"`{name}`" for name in names]
    return f"{', '.join(most)} and {last}" if most else last


# ------------------------------------------------------------------ all pages


def main() -> None:
    """Write the pages, or exit 1 if `--check` finds one outdated."""
    for source in sorted(PAGES.glob("*.md")):
        target, text = source.with_suffix(""), page(source)
        if "--check" not in sys.argv:
            target.write_text(text)
        elif not target.is_file() or target.read_text() != text:
            sys.exit(f"{target}: not what the code and {source.name} say: run make docs")


if __name__ == "__main__":
    main()
