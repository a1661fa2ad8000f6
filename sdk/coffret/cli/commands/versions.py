"""A memory's earlier versions: list them, and have one as it was."""

from typing import TYPE_CHECKING, Any

import msgspec
import typer

from coffret.cli.desk import desk_of
from coffret.cli.options import Json, MemoryId
from coffret.cli.showing import version_rows
from coffret_vault.errors import InputError, NotFoundError
from coffret_vault.records.memory import PENDING

if TYPE_CHECKING:
    from coffret.vault import Vault
    from coffret_vault.records.memory import Memory


def history(context: typer.Context, memory: MemoryId, *, json: Json = False) -> None:
    """Show every version of a memory, compared with the signed log."""
    desk = desk_of(context, as_json=json)
    vault = desk.synced()
    versions = vault.history(desk.memory_id(vault, memory))
    if desk.out.as_json:
        desk.out.data(versions)
        return
    desk.out.table(("VERSION", "WHEN", "BY", "WHAT", "TITLE"), version_rows(versions))


def as_it_was(vault: "Vault", memory_id: str, version: int) -> "Memory":
    """A memory in one of its versions, compared with the signed log.

    Raises:
        NotFoundError: there is no such version, or it has no text.
    """
    for item in vault.history(memory_id):
        if item.version == version and item.memory is not None:
            return item.memory
    message = f"there is no version {version} of this memory that could be shown"
    raise NotFoundError(message, hint="Run coffret history to see which there are.")


def fields_again(earlier: "Memory", now: "Memory") -> dict[str, Any]:
    """All that an earlier version says. What was sealed since shows nothing again by this.

    Raises:
        InputError: it is not an earlier one, but what an app proposes.
    """
    if earlier.review.status == PENDING:
        message = "that version is what an app proposes"
        raise InputError(message, hint="Run coffret pending, then coffret accept or reject.")
    fields = msgspec.structs.asdict(earlier.fields())
    return fields | {"sealed": bool(earlier.sealed or now.sealed)}
