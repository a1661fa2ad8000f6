"""A memory's earlier versions: list them, and have one as it was."""

from typing import TYPE_CHECKING, Any

import msgspec
import typer

from coffret.cli.desk import desk_of
from coffret.cli.options import Json, MemoryId
from coffret.cli.showing import version_rows
from coffret_vault.errors import InputError, NotFoundError
from coffret_vault.records.marks import WRITTEN_BY, import_marks, without_import_marks
from coffret_vault.records.memory import PENDING

if TYPE_CHECKING:
    from coffret.vault import Vault
    from coffret_vault.records.memory import Memory

_OWNER = "owner"


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

    That it showed is no wish of today: whether it does is left to the vault, as with any change.
    The marks of an import stay those of now, or the next one, which has nothing new, would take
    this for what it wrote then, and put its own in place again. An app's text stays an app's.

    Raises:
        InputError: it is not an earlier one, but what an app proposes.
    """
    if earlier.review.status == PENDING:
        message = "that version is what an app proposes"
        raise InputError(message, hint="Run coffret pending, then coffret accept or reject.")
    fields = msgspec.structs.asdict(earlier.fields())
    marks = import_marks(now.provenance) | _writer_of(earlier)
    return fields | {
        "sealed": True if earlier.sealed or now.sealed else None,
        "provenance": without_import_marks(earlier.provenance) | marks,
    }


def _writer_of(memory: "Memory") -> dict[str, str]:
    """The mark of the app that wrote a version, as the owner's device writes it again."""
    return {} if memory.author == _OWNER else {WRITTEN_BY: memory.author}
