"""What typer makes of the words of a command line, without what that takes to import.

typer builds a validator of pydantic for each option, also for one that nobody names: that was half
of what `asyncmq` does until its command begins. Most values are words that our own functions read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args, get_origin


class _NotSimple(Exception):
    """Only typer knows what becomes of the value, or how to say what is wrong with it."""


def read_simply(command: Any) -> Any:
    """The command, whose options are read by us where typer would come to the same."""
    for param in command.params:
        _simplify(param)
    get_help_option = command.get_help_option
    command.get_help_option = lambda context: _simplify(get_help_option(context))
    return command


def _simplify(param: Any) -> Any:
    # A typer whose parameters have no descriptor does not use pydantic.
    if hasattr(param, "type_descriptor") and not isinstance(param.process_value, partial):
        param.process_value = partial(_process, param, param.process_value)
    return param


def _process(param: Any, by_typer: Callable[..., Any], context: Any, value: Any) -> Any:
    """As `process_value` of a parameter does it."""
    try:
        read = _read(param, value)
    except _NotSimple:
        return by_typer(context, value)
    return read if param.callback is None else param.callback(context, param, read)


def _read(param: Any, value: Any) -> Any:
    annotation, parse = (
        param.type_descriptor.annotation,
        param.type_descriptor.parameter_info.parser,
    )
    several = param.multiple or param.nargs != 1
    if value is None and not param.required:
        return () if several else None
    if several and value and get_origin(annotation) is list and isinstance(value, tuple | list):
        (element,) = get_args(annotation)
        return [_read_one(element, parse, each) for each in value]
    if several or value is None:
        raise _NotSimple
    return _read_one(annotation, parse, value)


def _read_one(annotation: Any, parse: Callable[[Any], Any] | None, value: Any) -> Any:
    if parse is not None and get_origin(annotation) is None:
        try:
            return parse(value)
        except ValueError:
            raise _NotSimple from None
    if annotation is str and type(value) is str:
        return value
    raise _NotSimple
