"""See or change what is settled for the whole vault."""

from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.desk import Desk, desk_of
from coffret.cli.options import Json
from coffret.cli.showing import memories as so_many
from coffret_vault.errors import InputError

if TYPE_CHECKING:
    from coffret.local import VaultSettings
    from coffret.vault import Vault

_WHAT = "title, importance and tags"
_UNCONFIRMED = (
    f"This device seals {_WHAT} all the same: what it was shown at first is not confirmed, or not "
    "all, so it cannot know that those are your newest settings. coffret confirm FILE tells it."
)


def settings(
    context: typer.Context,
    *,
    sealed: Annotated[
        bool | None,
        typer.Option(
            "--sealed/--plain",
            help="Whether new memories keep title, importance and tags from the server too.",
        ),
    ] = None,
    existing: Annotated[
        bool,
        typer.Option("--existing", help="Write the memories that are there again, sealed."),
    ] = False,
    json: Json = False,
) -> None:
    """Show or change what holds for all your devices: are titles and tags kept sealed?"""
    desk = desk_of(context, as_json=json)
    if sealed is None and not existing:
        vault = desk.locked()
        _show(desk, vault.settings(), vault.count_shown())
        return
    vault = desk.vault()
    if not (vault.settings().sealed if sealed is None else sealed) and existing:
        message = "--existing goes with --sealed"
        raise InputError(message)
    settled = vault.settings() if sealed is None else vault.set_settings(sealed=sealed)
    written = _seal_existing(desk, vault) if existing else 0
    _show(desk, settled, vault.count_shown(), written)
    if sealed is not None and not desk.out.as_json:
        desk.out.line(
            "Your other devices take that up when they next sync, or write after a while."
        )


def _seal_existing(desk: Desk, vault: "Vault") -> int:
    with desk.out.progress() as progress:
        written = vault.seal_existing(progress)
    if not desk.out.as_json:
        desk.out.line(
            f"Sealed {so_many(written)}. What the server has seen it may have kept; older versions "
            "stay with it as they were until you forget the memory."
        )
    return written


def _show(desk: Desk, settled: "VaultSettings", shown: int, written: int = 0) -> None:
    if desk.out.as_json:
        shape = {"sealed": settled.sealed, "sealed_here": settled.sealed_here}
        desk.out.data({**shape, "memories_shown": shown, "memories_sealed": written})
        return
    state = "sealed" if settled.sealed else "shown to the server"
    desk.out.line(f"New memories have {_WHAT} {state}, unless you say otherwise for one.")
    if settled.sealed_here and not settled.sealed:
        desk.out.line(_UNCONFIRMED)
    if settled.sealed and shown:
        rest = "coffret settings --existing writes them again."
        desk.out.line(f"{so_many(shown)} written before, or as an exception, show theirs: {rest}")
