"""See which devices are logged in, and log them out."""

from typing import Annotated

import typer

from coffret.cli.desk import desk_of
from coffret.cli.naming import full_id, short
from coffret.cli.options import Json
from coffret.cli.showing import local_minute


def list_sessions(context: typer.Context, *, json: Json = False) -> None:
    """List the devices that are logged in."""
    if context.invoked_subcommand is not None:
        return
    desk = desk_of(context, as_json=json)
    found = desk.vault().sessions()
    if desk.out.as_json:
        desk.out.data(found)
        return
    rows = [
        (
            short(item.session_id),
            item.name,
            local_minute(item.created),
            local_minute(item.last_seen),
            item.address,
            "this device" if item.current else "",
        )
        for item in found
    ]
    desk.out.table(("ID", "DEVICE", "SINCE", "LAST SEEN", "FROM", ""), rows)


def end(
    context: typer.Context,
    session: Annotated[str, typer.Argument(help="Its id, or the end of it.")],
    *,
    json: Json = False,
) -> None:
    """Log a device out; it locks itself when it next asks the server for something."""
    desk = desk_of(context, as_json=json)
    vault = desk.vault()
    found = vault.sessions()
    identifier = full_id(session, (item.session_id for item in found), "session")
    if any(item.current and item.session_id == identifier for item in found):
        vault.log_out()
    else:
        vault.end_session(identifier)
    desk.out.done(
        "Ended. If that device is not yours any more: coffret change-keys.", {"ended": identifier}
    )


def logout(context: typer.Context, *, json: Json = False) -> None:
    """End this device's session at the server, and lock."""
    desk = desk_of(context, as_json=json)
    _, held = desk.let_go()
    if held is None:
        desk.out.done("This device is in no session, and locked.", {"unlocked": False})
        return
    held.log_out()
    desk.out.done("Logged out, and locked.", {"unlocked": False})
