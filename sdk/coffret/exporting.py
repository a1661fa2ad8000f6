"""A vault's memories as an export has them. Plaintext stays on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.waiting import new_that_wait
from coffret.listing import current_memories
from coffret_vault.formats.layout import id_text
from coffret_vault.ingest.export import ExportedMemory, is_digest
from coffret_vault.records.marks import IMPORT_DIGEST, IMPORT_KEY, without_import_marks
from coffret_vault.records.memory import maybe_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.flows.state import VaultState
    from coffret_vault.records.memory import Memory


def key_of(state: VaultState, memory: Memory) -> str:
    """The key by which an import knows a memory: that of its source, or its own in an export.

    Its own names the vault as well: an app chooses the ids of what it makes, and may know one of a
    memory in another vault whose export is imported here.
    """
    own = f"coffret:{id_text(state.account_id)}/{memory.id}"
    return memory.provenance.get(IMPORT_KEY) or own


def exported(state: VaultState) -> Iterator[ExportedMemory]:
    """Every current memory as an export writes it, and the new ones that wait on this device.

    These may be nowhere else, where a server is gone for good or was restored from a backup.
    """
    waits = {memory.id: memory for memory in new_that_wait(state)}
    for memory in current_memories(state):
        waits.pop(memory.id, None)  # another process of this device has sent it meanwhile
        yield export_of(memory, key_of(state, memory))
    for memory in waits.values():
        yield export_of(memory, key_of(state, memory))


def export_of(memory: Memory, key: str) -> ExportedMemory:
    """A memory as an export writes it, under this key."""
    imported = memory.provenance.get(IMPORT_DIGEST)
    return ExportedMemory(
        key=key,
        source=memory.source,
        content=memory.content,
        title=memory.title,
        summary=memory.summary,
        type=memory.type,
        tags=memory.tags,
        importance=memory.importance,
        confidence=memory.confidence,
        labels=memory.labels,
        metadata=memory.metadata,
        created=to_micros(memory.created),
        updated=to_micros(memory.updated),
        id=memory.id,
        version=memory.version,
        status=memory.review.status,
        author=memory.author,
        reviewed_by=memory.review.by or None,
        reviewed_at=maybe_micros(memory.review.at),
        sealed=memory.sealed,
        valid_from=maybe_micros(memory.valid_from),
        valid_until=maybe_micros(memory.valid_until),
        provenance=without_import_marks(memory.provenance),
        imported=imported if imported is not None and is_digest(imported) else None,
    )
