"""`asyncmq store`: the store itself."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from asyncmqd.cli.options import AsJson, group
from asyncmqd.cli.output import say, show_fields, show_json
from asyncmqd.cli.store_choice import with_store

app = group("Look at the store, back it up, and bring it up to date.")


@app.command()
def info(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the store and what it holds.

    Also show what is wrong with its set-up.
    """
    from asyncmqd.admin import store

    view = with_store(context, store.show)
    if as_json:
        show_json(view)
        return
    fields = [(name, getattr(view, name)) for name in ("url", "now", "queues", "workers")]
    show_fields([*fields, *view.jobs.items(), *(("warning", text) for text in view.warnings)])


@app.command("backup")
def copy(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
) -> None:
    """Copy a SQLite store into a file.

    Daemons go on working meanwhile.
    """
    from asyncmqd.admin.store import backup

    with _term_is_an_interrupt():
        with_store(context, lambda store: backup(store, file))
    say(f"{file} written")


@contextlib.contextmanager
def _term_is_an_interrupt() -> Iterator[None]:
    """A unit or a timer that is stopped leaves no unfinished copy, which may be very large."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring a store of an older release to the layout of this one.

    Refused while a daemon of the older release lives. A SQLite store is copied beforehand.
    """
    done = with_store(context, lambda store: store.migrate())
    if done is None:
        print("the store has the layout of this release")
        return
    kept = f"; as it was: {done.backup}" if done.backup else ""
    say(f"migrated from layout {done.before} to {done.after}{kept}")
