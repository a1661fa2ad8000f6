"""See what was granted, and take it back."""

from typing import Annotated

import typer

from coffret.cli.desk import Desk, desk_of
from coffret.cli.options import GrantId, Json, Offline, Yes
from coffret.cli.showing import grant_rows
from coffret.cli.showing import memories as so_many
from coffret_vault.errors import InputError

_CANNOT_UNREAD = "What the app has read cannot be unread."


def grants(context: typer.Context, *, offline: Offline = False, json: Json = False) -> None:
    """List every grant there ever was."""
    desk = desk_of(context, as_json=json)
    found = (desk.vault() if offline else desk.synced()).grants()
    if desk.out.as_json:
        desk.out.data(found)
        return
    titles = ("ID", "STATE", "APP", "MAY", "WHICH", "MEMORIES", "UNTIL")
    desk.out.table(titles, grant_rows(found))


def pause(context: typer.Context, grant: GrantId, *, json: Json = False) -> None:
    """Shut an app out for a while."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = desk.grant_id(vault, grant)
    vault.pause(identifier)
    desk.out.done("Paused: the app is shut out until you resume.", vault.grant(identifier))


def resume(context: typer.Context, grant: GrantId, *, json: Json = False) -> None:
    """Let a paused app in again. What was written meanwhile joins with its next change only."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = desk.grant_id(vault, grant)
    vault.resume(identifier)
    desk.out.done("Resumed.", vault.grant(identifier))


def narrow(
    context: typer.Context,
    grant: GrantId,
    memories: Annotated[
        list[str], typer.Argument(metavar="MEMORY…", help="What the app is to lose.")
    ],
    *,
    json: Json = False,
) -> None:
    """Take memories out of a grant; they get fresh keys."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = desk.grant_id(vault, grant)
    removed = vault.narrow(identifier, [desk.memory_id(vault, text) for text in memories])
    left = vault.grant(identifier).memories
    desk.out.done(
        f"The app lost {so_many(removed)} and has {left}. {_CANNOT_UNREAD}",
        {"grant_id": identifier, "removed": removed, "memories": left},
    )


def revoke(
    context: typer.Context,
    grant: GrantId,
    *,
    rotate_now: Annotated[
        bool | None,
        typer.Option(
            "--rotate-now/--rotate-later",
            help="Give fresh keys to what the app had, now or as each memory is next written.",
        ),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End a grant for good."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = desk.grant_id(vault, grant)
    info = vault.grant(identifier)
    desk.out.note(f"{info.app.name} holds keys of {so_many(info.memories)}. {_CANNOT_UNREAD}")
    if not yes and not desk.asker.confirm("Revoke for good?"):
        message = "nothing was revoked"
        raise InputError(message)
    vault.revoke(identifier)
    rotated = None
    if _wants_rotation(desk, rotate_now, yes=yes):
        with desk.out.progress() as progress:
            rotated = vault.rotate(identifier, progress)
    text = "Revoked: the server serves the app nothing any more."
    keys = f" Fresh keys for {so_many(rotated)}." if rotated is not None else _LATER
    desk.out.done(text + keys, {"grant_id": identifier, "state": "revoked", "rotated": rotated})


_LATER = " Memories get fresh keys when they are next written; coffret rotate does it now."


def _wants_rotation(desk: Desk, said: bool | None, *, yes: bool) -> bool:  # noqa: FBT001 - as said
    if said is not None or yes:
        return bool(said)
    return desk.asker.confirm("Give fresh keys now to what it had?")


def rotate(
    context: typer.Context,
    grant: Annotated[
        str | None, typer.Argument(metavar="[GRANT]", help="Only what this grant had.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Give fresh keys, now, to what revoked and ended grants may still have keys of."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    identifier = None if grant is None else desk.grant_id(vault, grant)
    with desk.out.progress() as progress:
        count = vault.rotate(identifier, progress)
    desk.out.done(f"Fresh keys for {so_many(count)}.", {"rotated": count})
