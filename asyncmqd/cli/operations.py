"""`asyncmq operation`: what operators did and do to jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from asyncmqd.cli.options import AsJson, QueueOption, group
from asyncmqd.cli.output import say, show_fields, show_json, show_table
from asyncmqd.cli.store_choice import with_store

if TYPE_CHECKING:
    from asyncmqd.admin.operations import OperationView

app = group("Look at what operators do to many jobs, and cancel it.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The operation's id.")]


@app.command("list")
def list_operations(
    context: typer.Context, queue: QueueOption = None, as_json: AsJson = False
) -> None:
    """List operations, the newest first.

    Records of those that have ended are kept for a week.
    """
    from asyncmqd.admin import operations

    found = with_store(context, lambda store: operations.list_operations(store, queue), queue)
    if as_json:
        show_json(found)
        return
    headings = ("ID", "QUEUE", "VERB", "STATE", "MOVED", "BEGUN", "BY", "JOBS")
    show_table(headings, [_row(each) for each in found])


def _row(each: OperationView) -> tuple[object, ...]:
    told = ": ".join(filter(None, (each.jobs, each.reason)))
    return each.id, each.queue, each.verb, each.state, each.moved, each.begun, each.by, told


@app.command()
def show(context: typer.Context, id: Id, as_json: AsJson = False) -> None:
    """Show one operation, and how far it is."""
    from asyncmqd.admin import operations

    found = with_store(context, lambda store: operations.show(store, id))
    if as_json:
        show_json(found)
        return
    left_out = {"selection", "states", "reasons"}
    names = [name for name in found.__struct_fields__ if name not in left_out]
    fields = [(name, getattr(found, name)) for name in names]
    fields += [("left because", reason) for reason in found.reasons]
    show_fields([(name, value) for name, value in fields if value is not None])


@app.command()
def cancel(context: typer.Context, id: Id) -> None:
    """Stop an operation. What it has done stays."""
    from asyncmqd.admin import operations
    from asyncmqd.client.acting_user import system_user

    by = system_user()
    ended = with_store(context, lambda store: operations.cancel(store, id, by))
    say(f"{id} cancelled, {ended.moved} moved")
