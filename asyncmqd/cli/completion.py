"""Completion of both commands in bash, zsh and fish.

typer knows how, but brings it only together with two options that would stand in every `--help`.
"""

from __future__ import annotations

import os

from typer.completion import completion_init  # type: ignore[attr-defined]  # not declared


def answer_shells() -> None:
    """Let typer answer what a shell asks in `_ASYNCMQ_COMPLETE` or `_ASYNCMQD_COMPLETE`."""
    if os.environ.keys() & {"_ASYNCMQ_COMPLETE", "_ASYNCMQD_COMPLETE"}:
        completion_init()
