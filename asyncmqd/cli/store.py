"""`asyncmq store`: the store itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from asyncmqd.backends.base import BaseBackend, Migration
from asyncmqd.cli.errors import CommandError
from asyncmqd.cli.options import AsJson, group
from asyncmqd.cli.output import rfc3339, say, show_fields, show_json
from asyncmqd.cli.target import with_store
from asyncmqd.domain.states import State

app = group("Look at the store, back it up, and bring it up to date.")


@app.command()
def info(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what the store is and holds.

    And what is wrong with its set-up.
    """
    view = with_store(context, _info)
    if as_json:
        show_json(view)
        return
    warnings = view.pop("warnings")
    jobs = view.pop("jobs")
    show_fields([*view.items(), *jobs.items(), *(("warning", text) for text in warnings)])


async def _info(store: BaseBackend) -> dict[str, Any]:
    warnings = await store.warnings()
    queues = await store.queues()
    counts = (await store.counts(queues)).values()
    return {
        "url": store.url,
        "now": rfc3339(await store.now()),
        "queues": len(queues),
        "workers": len(await store.workers()),
        "jobs": {str(state): sum(getattr(each, state) for each in counts) for state in State},
        "warnings": warnings,
    }


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")],
) -> None:
    """Copy a SQLite store into a file.

    Daemons go on working meanwhile.
    """
    if file.exists():
        raise CommandError(f"{file}: expected a file that is not there yet")
    with_store(context, lambda store: _backup(store, file))
    say(f"{file} written")


async def _backup(store: BaseBackend, file: Path) -> None:
    copy: Callable[[Path], Awaitable[None]] | None = getattr(store, "backup", None)
    if copy is None:
        raise CommandError(
            f"backup: expected a store on sqlite:///path, got {store.url}:"
            " a server has tools of its own for it"
        )
    await copy(file)


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring a store of an older release to the layout of this one.

    Stop the daemons of the older release first. A SQLite store is copied beforehand.
    """
    done = with_store(context, _migrate)
    if done is None:
        print("the store has the layout of this release")
        return
    kept = f"; as it was: {done.backup}" if done.backup else ""
    say(f"migrated from layout {done.before} to {done.after}{kept}")


async def _migrate(store: BaseBackend) -> Migration | None:
    return await store.migrate()
