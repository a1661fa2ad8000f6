"""Unlock, lock, and say where the vault stands."""

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.agent_client import check_possible
from coffret.cli.desk import desk_of, wire_keys
from coffret.cli.options import Json, span
from coffret.cli.showing import changes, used
from coffret.cli.writing import plain
from coffret_vault.errors import CoffretError

if TYPE_CHECKING:
    from coffret.local import VaultStatus

_LONGEST = timedelta(days=1)


def unlock(
    context: typer.Context,
    *,
    idle: Annotated[
        str, typer.Option("--for", help="Lock after so long without use: 90s, 15m, 2h; 1d at most.")
    ] = "15m",
    json: Json = False,
) -> None:
    """Keep the vault unlocked for a while, so that commands do not ask.

    A small process of yours holds the keys in memory and gives them to your commands over a
    private socket. Whoever runs programs as you can ask it too: lock when you go.
    """
    desk = desk_of(context, as_json=json)
    seconds = span(idle, most=_LONGEST).total_seconds()
    check_possible()
    vault = desk.locked()
    desk.unlock(vault)
    _, held = desk.let_go()
    if held is not None:  # its session would stay in the list, and nobody would use it again
        with suppress(CoffretError):
            held.log_out()
    desk.agent.start(wire_keys(vault), seconds)
    text = f"Unlocked. Locks after {timedelta(seconds=seconds)} without use, or with coffret lock."
    desk.out.done(text, {"unlocked": True, "seconds": seconds})


def lock(context: typer.Context, *, json: Json = False) -> None:
    """Forget the keys now, and end the session at the server if it answers."""
    desk = desk_of(context, as_json=json)
    was, held = desk.let_go()
    if held is not None:
        with suppress(CoffretError):  # nobody has its token any more, and it ends by itself
            held.log_out()
    text = "Locked." if was else "It was locked already."
    desk.out.done(text, {"unlocked": False, "was_unlocked": was})


def _first_state(found: "VaultStatus") -> str:
    if not found.confirmed:
        return "as the server showed it"
    if found.confirmed_entries == found.entries:
        return "confirmed"
    return f"confirmed up to entry {found.confirmed_entries}, then as the server showed it"


def status(
    context: typer.Context,
    *,
    usage: Annotated[
        bool, typer.Option("--usage", help="Ask the server how much it holds, and how much it may.")
    ] = False,
    json: Json = False,
) -> None:
    """Where the vault stands on this device; without --usage, asks nobody for anything."""
    desk = desk_of(context, as_json=json)
    vault = desk.vault() if usage else desk.locked()
    found, taken = vault.status(), vault.usage() if usage else None
    left = desk.agent.seconds_left()
    if desk.out.as_json:
        shape = {**plain(found), "locked": left is None, "seconds_left": left}
        shape |= {} if taken is None else {"usage": plain(taken)}
        desk.out.data({**shape, "vault": desk.name, "folder": str(desk.folder)})
        return
    state = "locked" if left is None else f"unlocked for {timedelta(seconds=round(left))} more"
    rows = (
        ("Vault", f"{desk.name}, {state}"),
        ("Owner", f"{found.username} at {found.origin}"),
        ("Account", f"{found.account_id}, deleted" if found.deleted else found.account_id),
        ("Fingerprint", found.fingerprint),
        ("Memories", str(found.memories)),
        ("Waiting for you", f"{found.pending} written by apps"),
        ("Log", f"{found.entries} entries verified"),
        *((("Unsent", f"{changes(found.unsent)}: coffret sync"),) if found.unsent else ()),
        *((("Given up", f"{changes(found.unkept)}: coffret unkept"),) if found.unkept else ()),
        *(() if taken is None else (("At the server", used(taken)),)),
        ("First state", _first_state(found)),
        ("Folder", str(desk.folder)),
    )
    for name, value in rows:
        desk.out.line(f"{name + ':':17}{value}")
