"""Import from paths: which folder is which, so that none is taken for an update of another."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from coffret.flows.state import PLACES
from coffret.flows.sync import silent, sync
from coffret.flows.waiting import settle
from coffret.importing import Gone, ImportedFolder, carry_out, imported_before
from coffret_vault.errors import InputError, StoreAlteredError
from coffret_vault.ingest.draft import Draft
from coffret_vault.ingest.names import printable_path
from coffret_vault.ingest.spaces import PREFIX, free_namespace, gone, likeness, namespaces, renamed
from coffret_vault.store import decoded, open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret.importing import Consent, ImportReport
    from coffret_vault.ingest.draft import Imported
    from coffret_vault.ingest.spaces import Likeness
    from coffret_vault.records.memory import Memory

    Judge = Callable[["Path", "Likeness"], bool]
    """Says whether the folder at a path is the one that it is somewhat like."""
    Digests = dict[str, str]

_decode_places = msgspec.msgpack.Decoder(dict[str, str]).decode


class _Folder:
    """A folder that is imported, or some of its files: where it is, and what was read there."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.name = printable_path([place.name])
        self.items: list[Imported] = []
        self.is_whole = False

    def drafts(self) -> list[Draft]:
        return [item for item in self.items if isinstance(item, Draft)]


class Sources(NamedTuple):
    """What was read at some paths: folders, each with all that was named of it, and the rest."""

    folders: list[_Folder]
    others: list[Imported]


def read_paths(paths: Iterable[Path]) -> Sources:
    """Read what is at these paths.

    Raises:
        IngestError: one of its subclasses, if a source as a whole cannot be imported.
    """
    from coffret_vault.ingest.detection import SourceKind, detect, read_source  # noqa: PLC0415 - all formats: when used
    from coffret_vault.ingest.markdown import read_file, read_folder  # noqa: PLC0415 - the same

    folders: dict[Path, _Folder] = {}
    others: list[Imported] = []
    for path in paths:
        kind = detect(path)
        if kind not in {SourceKind.FOLDER, SourceKind.TEXT}:
            others += read_source(path)
            continue
        whole, is_whole = path.resolve(), kind is SourceKind.FOLDER
        place = whole if is_whole else whole.parent
        folder = folders.setdefault(place, _Folder(place))
        read = read_folder if is_whole else read_file
        folder.items += read(path, namespace=place.name)
        folder.is_whole |= is_whole
    return Sources(list(folders.values()), others)


def take_in_sources(
    state: VaultState,
    sources: Sources,
    progress: Progress = silent,
    *,
    namespace: str | None = None,
    sealed: bool | None = None,
    judge: Judge | None = None,
    consent: Consent | None = None,
) -> Flow[ImportReport]:
    """Import what was read; a folder, or files of it, under a namespace of its own.

    That is the one which this device has used for that place before; or else the one with which it
    has most in common, if that is enough or ``judge`` says so; or else a new one.

    Raises:
        InputError: a namespace is given for what is neither a folder nor a text file, or is a path.
    """
    folders, others = sources
    wanted = printable_path([namespace]) if namespace else ""
    if "/" in wanted:
        message = "a namespace is a name, not a path"
        raise InputError(message)
    if wanted and (others or len(folders) != 1):
        message = "a namespace is for one folder, or files of one folder"
        raise InputError(message)
    yield from settle(state)
    yield from sync(state)
    known = imported_before(state)
    digests, origins, places = known.digests(), known.sources(), known_places(state)
    items, told = others, []
    missed: set[str] = set()
    for folder in folders:
        space = wanted or _namespace(folder, digests, places, judge)
        told.append(ImportedFolder(str(folder.place), folder.name, space))
        places[str(folder.place)] = space
        found = list(renamed(folder.items, folder.name, space))
        digests |= {item.key: item.digest for item in found if isinstance(item, Draft)}
        items += found
        missed |= gone(found, space, origins, whole=folder.is_whole)
    _keep_places(state, places)  # before anything is written: an interrupted import goes on there
    report = yield from carry_out(state, items, known, progress, sealed=sealed, consent=consent)
    left = tuple(_gone(known.memories[key]) for key in sorted(missed))
    return msgspec.structs.replace(report, folders=tuple(told), gone=left)


def _gone(memory: Memory) -> Gone:
    return Gone(memory.id, memory.title, memory.source.removeprefix(PREFIX))


def _namespace(
    folder: _Folder, digests: Digests, places: dict[str, str], judge: Judge | None
) -> str:
    before = places.get(str(folder.place))
    if before is not None:
        return before
    like = likeness(folder.drafts(), folder.name, digests)
    if like is not None and (like.is_it or (judge is not None and judge(folder.place, like))):
        return like.namespace
    taken = namespaces(folder.name, digests) | set(places.values())
    return free_namespace(folder.name, taken)


def known_places(state: VaultState) -> dict[str, str]:
    """The namespace of each place that this device imported from, under its present keys.

    A note that somebody else put there is none: folders are known by what they hold, as without it.
    """
    sealed = state.store.meta(PLACES)
    note = None
    with suppress(StoreAlteredError):
        note = open_note(state.keys.keyring, PLACES, sealed) if sealed else None
    return decoded(_decode_places, note) if note else {}


def _keep_places(state: VaultState, places: dict[str, str]) -> None:
    note = msgspec.msgpack.encode(places)
    sealed = seal_note(state.keys.keyring, PLACES, note, random=state.ambient.random)
    state.store.set_meta(PLACES, sealed)
