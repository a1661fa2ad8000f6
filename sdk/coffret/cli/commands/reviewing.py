"""Decide on what apps wrote."""

from typing import Annotated

import typer

from coffret.cli.desk import desk_of
from coffret.cli.options import Json, MemoryId, Offline
from coffret.cli.proposed import proposal_lines
from coffret.cli.showing import pending_rows

Version = Annotated[
    int | None, typer.Option("--version", help="Which version: to be said when several wait.")
]


def pending(
    context: typer.Context,
    memory: Annotated[
        str | None, typer.Argument(metavar="[MEMORY]", help="Show what waits of this one, whole.")
    ] = None,
    *,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """List what apps wrote and you have not decided."""
    desk = desk_of(context, as_json=json)
    vault = desk.vault() if offline else desk.synced()
    found = vault.pending()
    if memory is not None:
        identifier = desk.memory_id(vault, memory)
        found = [item for item in found if item.memory_id == identifier]
    if desk.out.as_json:
        desk.out.data(found)
        return
    apps = {grant.app.app_id: grant.app.name for grant in vault.grants()}
    if memory is not None:
        for item in found:
            for line in proposal_lines(item, apps.get(item.app_id, item.app_id)):
                desk.out.line(line)
        if not found:
            desk.out.note("Nothing of this memory waits for you.")
        return
    titles = ("ID", "VERSION", "APP", "WANTS TO", "WHAT")
    desk.out.table(titles, pending_rows(found, apps))
    if not found:
        desk.out.note("Nothing waits for you.")


def accept(
    context: typer.Context, memory: MemoryId, *, version: Version = None, json: Json = False
) -> None:
    """Make what an app wrote current."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = desk.memory_id(vault, memory)
    accepted = vault.accept(identifier, version)
    text = "Accepted." if accepted else "Accepted: it is deleted."
    desk.out.done(text, {"memory_id": identifier, "memory": accepted})


def reject(
    context: typer.Context, memory: MemoryId, *, version: Version = None, json: Json = False
) -> None:
    """Turn down what an app wrote."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = desk.memory_id(vault, memory)
    new = any(item.memory_id == identifier and not item.current for item in vault.pending())
    vault.reject(identifier, version)
    text = "Rejected: it was not taken in." if new else "Rejected; the memory is as it was."
    desk.out.done(text, {"memory_id": identifier})
