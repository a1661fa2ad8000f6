"""Import drafts into a vault. Plaintext stays on the device."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.exporting import export_of, key_of
from coffret.flows.many import remember_many
from coffret.flows.memories import NewMemory, update
from coffret.flows.settled import sealed_by_default
from coffret.flows.sync import silent, sync
from coffret.flows.visibility import decided
from coffret.flows.waiting import settle
from coffret.listing import current_memories
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import IMPORTANCE_ONE
from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import Draft, ImportSkipped
from coffret_vault.ingest.export import ExportedMemory
from coffret_vault.ingest.plan import Action, plan_import
from coffret_vault.records.marks import (
    IMPORT_DIGEST,
    IMPORT_KEY,
    IMPORT_RUN,
    IMPORT_WRITTEN,
    WRITTEN_BY,
    import_marks,
    without_import_marks,
)
from coffret_vault.records.memory import (
    Fields,
    Memory,
    checked,
    maybe_micros,
    maybe_moment,
    to_micros,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress

    Consent = Callable[[Sequence[Memory]], bool]
    """Says whether an export may change these memories, which are here."""

_OLDER = "the vault has a later version of it"
_LEFT = "it stays as it is here, as you said"
_REPLACED = "a later item of this import has the same id and other words, and took its place"
_SAID = frozenset(Fields.__struct_fields__) - {"sealed", "provenance"}


class ImportedFolder(msgspec.Struct, frozen=True):
    """A folder from which something was imported.

    Attributes:
        place: where it is.
        name: what it is called.
        namespace: what its memories' sources are called by: its name, or that with a number where
            another folder of the name was imported before.
    """

    place: str
    name: str
    namespace: str


class Gone(Unshown, msgspec.Struct, frozen=True):
    """A memory that was imported from a folder which has nothing of it any more. It stays.

    Attributes:
        id: the memory's.
        title: its title.
        source: the file that it came from.
    """

    id: str
    title: str
    source: str


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did, memory by memory, and what it passed over and why.

    ``gone`` is what was imported before from the folders that were read, and is not there now.
    ``id`` is that of the import, by which what it created can be taken back; empty where it
    created nothing.
    """

    created: int
    updated: int
    unchanged: int
    skipped: tuple[ImportSkipped, ...]
    folders: tuple[ImportedFolder, ...] = ()
    gone: tuple[Gone, ...] = ()
    id: str = ""


class Known(msgspec.Struct, frozen=True):
    """What a vault holds, by the keys of its imports."""

    memories: dict[str, Memory]

    def __repr__(self) -> str:
        return f"<Known {len(self.memories)}>"

    def sources(self) -> dict[str, str]:
        """Where each memory came from, by its key."""
        return {key: memory.source for key, memory in self.memories.items()}

    def digests(self) -> dict[str, str]:
        """The digest of each memory as it was imported, by its key."""
        return {key: _digest_of(memory) for key, memory in self.memories.items()}


def imported_before(state: VaultState) -> Known:
    """What is in a vault that was synced."""
    return Known({key_of(state, memory): memory for memory in current_memories(state)})


def take_in(
    state: VaultState,
    items: Iterable[Draft | ImportSkipped],
    progress: Progress = silent,
    *,
    sealed: bool | None = None,
) -> Flow[ImportReport]:
    """Import what an importer yields. Run again, it goes on where it was interrupted.

    ``sealed`` holds for all of it. None is as the vault has it, except that nothing that is sealed,
    in the vault or in an export, is shown.

    What was imported before is recognised by its key, so a second run of the same source neither
    repeats nor loses anything: changed pieces become new versions.
    """
    everything = list(items)
    # An interrupted run may have stored more than this device was told of, or be about to.
    yield from settle(state)
    yield from sync(state)
    return (
        yield from carry_out(state, everything, imported_before(state), progress, sealed=sealed)
    )


def carry_out(
    state: VaultState,
    items: Iterable[Draft | ImportSkipped],
    before: Known,
    progress: Progress,
    *,
    sealed: bool | None,
    consent: Consent | None = None,
) -> Flow[ImportReport]:
    """As :func:`take_in`, into a vault that was synced and holds what was ``before``.

    ``consent`` is asked before anything is written, if an export would change what is there.
    """
    drafts, skipped = _sorted(items)
    known = before.memories
    drafts, older = _without_older(drafts, known)
    drafts, replaced = _last_of_each(drafts)
    skipped += older + replaced
    others = [draft for draft in drafts if not _is_known(draft, known.get(draft.key))]
    plan = list(plan_import(others, before.digests()))
    fresh = {
        draft.key: draft
        for action, draft in plan
        if action is not Action.KEEP or _says_more(draft, known.get(draft.key))
    }
    left = _refused(fresh.values(), known, consent)
    new = [draft for key, draft in fresh.items() if key not in known]
    changed = [draft for key, draft in fresh.items() if key in known and key not in left]
    run = id_text(state.ambient.new_id()) if new else ""
    yield from remember_many(state, [_new(draft, sealed, run) for draft in new], progress)
    default = sealed_by_default(state)
    for done, draft in enumerate(changed, 1):
        memory = known[draft.key]
        instead = _brought_back if _is_own(draft, memory) else _instead
        change = partial(instead, _fields(draft, sealed), default)
        yield from update(state, memory.id, change)
        progress("changes", done, len(changed))
    unchanged = len(drafts) - len(new) - len(changed) - len(left)
    skipped += [ImportSkipped(memory.id, _LEFT) for memory in left.values()]
    return ImportReport(len(new), len(changed), unchanged, tuple(skipped), id=run)


def _refused(
    drafts: Iterable[Draft], known: Mapping[str, Memory], consent: Consent | None
) -> Mapping[str, Memory]:
    """What exports would change and are not to, by its keys: a file names any memory as its own."""
    exported = [draft.key for draft in drafts if isinstance(draft, ExportedMemory)]
    there = {key: known[key] for key in exported if key in known}
    if consent is None or not there or consent(tuple(there.values())):
        return {}
    return there


def _digest_of(memory: Memory) -> str:
    return memory.provenance.get(IMPORT_DIGEST) or export_of(memory, "").digest


def _instead(fields: Fields, default: bool, before: Fields) -> Fields:  # noqa: FBT001 - for partial
    """The fields in the place of those before, never more in the clear than they unless said.

    Which import created the memory, if one did, stays as it was.
    """
    run = before.provenance.get(IMPORT_RUN)
    if run is not None:
        provenance = {**fields.provenance, IMPORT_RUN: run}
        fields = msgspec.structs.replace(fields, provenance=provenance)
    return decided(fields, sealed=default or before.sealed is not False)


def _brought_back(fields: Fields, default: bool, before: Fields) -> Fields:  # noqa: FBT001 - the same
    """As `_instead`, of what this very vault said: no mark of an import is another by that.

    An export brings no marks. With others in their place, what was changed by hand since an import
    would pass for what that import wrote, and be lost to its file or with it.
    """
    marks = import_marks(before.provenance)
    if IMPORT_KEY in marks:
        provenance = without_import_marks(fields.provenance) | marks
        fields = msgspec.structs.replace(fields, provenance=provenance)
    return _instead(fields, default, before)


def _is_own(draft: Draft, memory: Memory) -> bool:
    """Whether an export says it of this very memory, and not of one that was made of it."""
    return isinstance(draft, ExportedMemory) and draft.id == memory.id


def _sorted(items: Iterable[Draft | ImportSkipped]) -> tuple[list[Draft], list[ImportSkipped]]:
    drafts: list[Draft] = []
    skipped: list[ImportSkipped] = []
    for item in items:
        if isinstance(item, Draft):
            drafts.append(item)
        else:
            skipped.append(item)
    return drafts, skipped


def _without_older(
    drafts: Iterable[Draft], known: Mapping[str, Memory]
) -> tuple[list[Draft], list[ImportSkipped]]:
    """Leave out what an export of this very vault says of memories that have moved on since."""
    kept: list[Draft] = []
    older: list[ImportSkipped] = []
    for draft in drafts:
        memory = known.get(draft.key)
        if (
            memory is not None
            and _is_own(draft, memory)
            and draft.updated is not None
            and draft.updated < to_micros(memory.updated)
            and draft.digest != _digest_of(memory)
            and not _is_there(draft, memory)
        ):
            older.append(ImportSkipped(memory.id, _OLDER))
        else:
            kept.append(draft)
    return kept, older


def _is_there(draft: Draft, memory: Memory | None) -> bool:
    """Whether an export says what the vault holds: nothing is written then, and the marks stay."""
    if memory is None or not isinstance(draft, ExportedMemory):
        return False
    said, there = _stated(draft, None), export_of(memory, "")
    own = without_import_marks(said.provenance)
    same = (draft.digest, said.source, own) == (there.digest, there.source, there.provenance)
    return same and there.sealed >= draft.sealed


def _was_written(draft: Draft, memory: Memory | None) -> bool | None:
    """Whether another vault's export says what an import last wrote; None where that is not told.

    Of its piece the memory may have the digest that it had there, which is not that of the export.
    """
    if memory is None or not isinstance(draft, ExportedMemory) or draft.id == memory.id:
        return None
    last = memory.provenance.get(IMPORT_WRITTEN)
    return None if last is None else last == written_digest(checked(_stated(draft, None)))


def _is_known(draft: Draft, memory: Memory | None) -> bool:
    """Whether an export says what is there, or what was last brought by one."""
    return _is_there(draft, memory) or _was_written(draft, memory) is True


def _says_more(draft: Draft, memory: Memory | None) -> bool:
    """Whether an export has a later version, though of a digest that its memory has.

    Of this very memory one with another source, over which no digest is.
    """
    if memory is None or not _is_own(draft, memory):
        return _was_written(draft, memory) is False
    return draft.source != memory.source and (draft.updated or 0) > to_micros(memory.updated)


def _last_of_each(drafts: Sequence[Draft]) -> tuple[list[Draft], list[ImportSkipped]]:
    """Of items of one key the last, as a later export has it; who says something else is named."""
    last = {draft.key: draft.digest for draft in drafts}
    kept = [draft for draft in drafts if draft.digest == last[draft.key]]
    others = [draft for draft in drafts if draft.digest != last[draft.key]]
    return kept, [ImportSkipped(draft.source, _REPLACED) for draft in others]


def _new(draft: Draft, sealed: bool | None, run: str) -> NewMemory:  # noqa: FBT001 - as take_in
    moment = draft.created if draft.created is not None else draft.updated
    fields = _fields(draft, sealed)
    provenance = {**fields.provenance, **_as_it_was(draft), IMPORT_RUN: run}
    fields = msgspec.structs.replace(fields, provenance=provenance)
    return NewMemory(fields, created=maybe_moment(moment))


def _as_it_was(draft: Draft) -> dict[str, str]:
    """What an export says its piece of a source was, where an import last wrote that.

    So a change by hand since is one in the vault that it brings the memory to as well. It is a
    file's word, so it counts for what is nowhere else: it keeps no source from what is there.
    """
    imported = draft.imported if isinstance(draft, ExportedMemory) else None
    return {} if imported is None else {IMPORT_DIGEST: imported}


def _fields(draft: Draft, sealed: bool | None) -> Fields:  # noqa: FBT001 - as take_in has it
    fields = _stated(draft, sealed)
    provenance = {**fields.provenance, IMPORT_WRITTEN: written_digest(checked(fields))}
    return msgspec.structs.replace(fields, provenance=provenance)


def written_digest(fields: Fields) -> str:
    """A digest (32 hex digits) of all that a writer says, but for who may see it and the marks.

    Args:
        fields: checked, or as they were read back, which gives the same.
    """
    said = {name: getattr(fields, name) for name in _SAID}
    said["tags"] = sorted(set(fields.tags))
    if fields.importance is not None:
        said["importance"] = round(fields.importance * IMPORTANCE_ONE)
    for name in ("valid_from", "valid_until"):
        said[name] = maybe_micros(said[name])
    stated = msgspec.json.encode(said, order="deterministic")
    return hashlib.sha256(stated).hexdigest()[:32]


def _stated(draft: Draft, sealed: bool | None) -> Fields:  # noqa: FBT001 - as take_in has it
    fields = Fields(
        content=draft.content,
        title=draft.title,
        summary=draft.summary,
        type=draft.type,
        tags=draft.tags,
        importance=draft.importance,
        confidence=draft.confidence,
        source=draft.source,
        labels=dict(draft.labels),
        metadata=dict(draft.metadata),
        sealed=sealed,
        provenance={IMPORT_KEY: draft.key, IMPORT_DIGEST: draft.digest},
    )
    if not isinstance(draft, ExportedMemory):
        return fields
    return msgspec.structs.replace(
        fields,
        sealed=(draft.sealed or None) if sealed is None else sealed,
        valid_from=maybe_moment(draft.valid_from),
        valid_until=maybe_moment(draft.valid_until),
        # The marks of a file are nobody's: ours alone count here.
        provenance={
            **without_import_marks(draft.provenance),
            **_author(draft),
            **fields.provenance,
        },
    )


def _author(draft: ExportedMemory) -> dict[str, str]:
    """The app that wrote what was exported, as the vault that takes it in keeps it."""
    if draft.author is None or draft.author == "owner":
        return {}
    return {WRITTEN_BY: draft.author}
