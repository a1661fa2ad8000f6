"""What the log's entries make of each memory. docs/spec/5-log.md.

Pure: a state and an entry give the next state, or a :class:`TrustError` where no honest server and
no honest app could have put that entry there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec

from coffret_vault.errors import TrustError
from coffret_vault.formats import entry as kinds

if TYPE_CHECKING:
    from coffret_vault.formats.entry import Entry


class Proposal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version by an app that waits for the owner, or that the owner turned down.

    ``leaf`` is its index in the log; ``deletion`` says that it proposes to delete the memory.
    """

    version: int
    app_id: bytes
    digest: bytes
    leaf: int
    deletion: bool
    rejected: bool = False


class MemoryState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a memory stands after the entries so far.

    Attributes:
        newest: the highest version of any kind.
        newest_digest: the digest that version's entry names.
        current: the version that counts, 0 for none.
        digest: the record digest of the current version.
        leaf: index of the entry that made it current.
        begun: index of the newest put by the owner, or of the first put: a key that was in use
            then is stale if a grant was revoked later (docs/spec/6-grants.md).
        reviewed: time of the owner's acceptance of the current version, 0 if the owner wrote it.
        deleted: nothing may follow.
        proposals: what apps wrote and the owner has not accepted.
        author: the app that wrote the current version; empty for the owner.
    """

    newest: int = 0
    newest_digest: bytes = b""
    current: int = 0
    digest: bytes = b""
    leaf: int = 0
    begun: int = 0
    reviewed: int = 0
    deleted: bool = False
    proposals: tuple[Proposal, ...] = ()
    author: bytes = b""

    @property
    def pending(self) -> tuple[Proposal, ...]:
        """What waits for the owner."""
        if not self.proposals:
            return ()
        return tuple(proposal for proposal in self.proposals if not proposal.rejected)


NEW = MemoryState()
_replace = msgspec.structs.replace


def advance(state: MemoryState, entry: Entry, index: int) -> MemoryState:
    """The state after an entry about this memory (put, delete, accept, reject).

    Raises:
        TrustError: the entry does not follow from the state.
    """
    if state.deleted:
        _refuse("an entry follows the deletion of its memory")
    if entry.kind in {kinds.ACCEPT, kinds.REJECT}:
        return _decide(state, entry, index)
    if entry.version != state.newest + 1:
        _refuse("a memory's versions do not follow each other")
    if entry.kind == kinds.DELETE and entry.digest != state.newest_digest:
        _refuse("a deletion names another version than the newest")
    if entry.author.app_id is not None:
        moved = _replace(state, newest=entry.version, newest_digest=entry.digest)
        return _propose(moved, entry, entry.author.app_id, index)
    if entry.kind == kinds.DELETE:
        moved = _replace(state, newest=entry.version, newest_digest=entry.digest)
        return _replace(moved, current=0, deleted=True, leaf=index, proposals=())
    return MemoryState(
        newest=entry.version,
        newest_digest=entry.digest,
        current=entry.version,
        digest=entry.digest,
        leaf=index,
        begun=index,
        proposals=state.proposals,
    )


def _propose(state: MemoryState, entry: Entry, app_id: bytes, index: int) -> MemoryState:
    deletion = entry.kind == kinds.DELETE
    proposal = Proposal(entry.version, app_id, entry.digest, index, deletion)
    begun = index if entry.version == 1 else state.begun
    return _replace(state, proposals=(*state.proposals, proposal), begun=begun)


def _decide(state: MemoryState, entry: Entry, index: int) -> MemoryState:
    found = [item for item in state.pending if item.version == entry.version]
    if not found or found[0].digest != entry.digest:
        _refuse("the owner decided about a version that is not pending")
    chosen = found[0]
    rest = tuple(item for item in state.proposals if item.version != entry.version)
    if entry.kind == kinds.REJECT:
        return _replace(state, proposals=(*rest, _replace(chosen, rejected=True)))
    if chosen.deletion:
        return _replace(state, current=0, deleted=True, leaf=index, proposals=())
    if chosen.version < state.current:
        _refuse("a version that was overtaken was made current again")
    return _replace(
        state,
        current=chosen.version,
        digest=chosen.digest,
        leaf=index,
        reviewed=entry.time,
        proposals=rest,
        author=chosen.app_id,
    )


def _refuse(message: str) -> NoReturn:
    raise TrustError(message)
