"""What an owner can do without the server: the part that ``Vault`` and ``AsyncVault`` share."""

from __future__ import annotations

from collections import Counter
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import msgspec

from coffret import opening
from coffret.arguments import asked
from coffret.confirming import confirm
from coffret.exporting import exported
from coffret.finding import Finder
from coffret.flows import gone, proposals
from coffret.flows import grants as grant_flows
from coffret.flows import memories as memory_flows
from coffret.flows.audit import audit_log
from coffret.flows.evidence import FOLDER, list_evidence
from coffret.flows.settings import shown
from coffret.flows.settled import sealed_by_default, settings
from coffret.flows.state import confirmed_entries
from coffret.flows.unkept import count_unkept, forget_unkept, unkept
from coffret.flows.waiting import all_waiting, count_waiting, take_back
from coffret.keptindex import default_embedder
from coffret.listing import (
    current_memories,
    list_memories,
    search_waiting,
    waiting_memories,
)
from coffret.undoing import imports
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.layout import id_text
from coffret_vault.grants.words import fingerprint
from coffret_vault.ingest import write_export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Unpack

    from coffret.arguments import Listing, Wanted
    from coffret.finding import Found
    from coffret.flows.audit import AuditLog
    from coffret.flows.proposals import Pending
    from coffret.flows.state import VaultState
    from coffret.flows.unkept import Unkept
    from coffret.opening import HeldKeys
    from coffret.sharing import GrantInfo
    from coffret.undoing import ImportInfo
    from coffret_vault.records.memory import Memory
    from coffret_vault.search import Embedder


P = ParamSpec("P")
T = TypeVar("T")


class VaultStatus(msgspec.Struct, frozen=True):
    """Where a vault stands on this device.

    Attributes:
        origin: the server's address.
        username: the owner's.
        account_id: a hyphenated UUID.
        fingerprint: eight words for the owner's keys.
        memories: how many are current here.
        pending: how many versions by apps wait for a decision.
        entries: how many log entries are verified.
        head: the newest signed head; empty before the first sync.
        confirmed: whether this device knows, from its own past or from a head seen elsewhere, that
            what the server showed it is the owner's log, up to ``confirmed_entries``.
        confirmed_entries: up to which entry; what came behind it when this device entered the vault
            is by the server's word.
        locked: whether the keys are out of memory.
        deleted: whether the account was deleted at the server, by its own keys.
        unsent: how many changes wait on this device, since the server was away: what asks it next
            sends them. ``unkept()`` shows them too.
        unkept: how many changes waited on this device and were given up: see ``unkept()``.
    """

    origin: str
    username: str
    account_id: str
    fingerprint: str
    memories: int
    pending: int
    entries: int
    head: str
    confirmed: bool
    confirmed_entries: int
    locked: bool
    deleted: bool
    unsent: int
    unkept: int


class VaultSettings(msgspec.Struct, frozen=True):
    """What is settled for a whole vault.

    Attributes:
        sealed: new memories keep title, importance and tags from the server, on every device.
        sealed_here: this device does so, where nobody says otherwise; also while no head confirms
            all that it was shown when it entered: it cannot know the newest settings.
    """

    sealed: bool
    sealed_here: bool


def _at_once(
    method: Callable[Concatenate[LocalVault, P], T],
) -> Callable[Concatenate[LocalVault, P], T]:
    """A method that sees one state of the store, whatever other threads write meanwhile."""

    @wraps(method)
    def alone(vault: LocalVault, /, *given: P.args, **named: P.kwargs) -> T:
        with vault._state.store.alone():  # noqa: SLF001 - a method of it
            return method(vault, *given, **named)

    return alone


class LocalVault:
    """A vault on this device. Nothing here makes a request."""

    def __init__(
        self, state: VaultState, folder: Path, embedder: Callable[[], Embedder] | None
    ) -> None:
        """Wrap a vault's state; ``embedder`` makes the model when search first needs it."""
        self._state = state
        self.folder = folder
        make = embedder or default_embedder
        self._finder = Finder(state, folder / opening.INDEX_FILE, make)
        state.locked = self._finder.drop
        state.outdated = self._finder.forget_saved

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state.account.username}>"

    @property
    def is_locked(self) -> bool:
        """Whether the keys are out of memory."""
        return self._state.is_locked

    @property
    def search_notice(self) -> str | None:
        """A sentence to show once, when search is slower than it could be on this machine."""
        return self._finder.notice

    @property
    def words(self) -> str:
        """Eight words for the owner's keys: tell them to apps, which can compare them."""
        card = self._state.card
        return fingerprint(keys_hash(card.signing_public, card.sealing_public))

    def unlock_held(self, held: HeldKeys) -> None:
        """Bring back the keys that :meth:`held_keys` gave.

        Raises:
            CredentialsError: they are another vault's, or were replaced since.
        """
        opening.unlock_held(self._state, held)

    def held_keys(self) -> HeldKeys:
        """The keys, for a process that keeps them in memory; whoever has them has the vault.

        Raises:
            LockedError: the vault is locked.
        """
        return opening.held_keys(self._state)

    def lock(self) -> None:
        """Forget the keys, the session and everything that was opened.

        What other threads or tasks have under way ends with ``LockedError``. A change that was sent
        by then is kept, and is settled by the next call after unlocking.
        """
        self._state.lock()

    @_at_once
    def status(self) -> VaultStatus:
        """Where the vault stands on this device."""
        state = self._state
        position, account, card = state.position(), state.account, state.card
        waiting = sum(len(memory.pending) for _, memory in state.store.states(pending=True))
        return VaultStatus(
            origin=account.origin,
            username=account.username,
            account_id=id_text(account.account_id),
            fingerprint=fingerprint(keys_hash(card.signing_public, card.sealing_public)),
            memories=state.store.count(),
            pending=waiting,
            entries=position.size,
            head="" if position.head is None else position.head.note,
            confirmed=account.confirmed,
            confirmed_entries=confirmed_entries(state) if account.confirmed else 0,
            locked=state.is_locked,
            deleted=gone.kept(state) is not None,
            unsent=count_waiting(state),
            unkept=count_unkept(state),
        )

    @_at_once
    def settings(self) -> VaultSettings:
        """What is settled for the vault, as this device has it from the log; needs no keys.

        Raises:
            UnknownSettingError: a newer Coffret has settled what this one does not know.
        """
        return VaultSettings(settings(self._state).sealed, sealed_by_default(self._state))

    @_at_once
    def count_shown(self) -> int:
        """How many current memories show title, importance and tags to the server."""
        return len(shown(self._state))

    @_at_once
    def confirm(self, head: str) -> int:
        """Compare this device's log with a head seen elsewhere.

        Args:
            head: from the recovery kit, from ``status().head`` of another device, or from an app's
                ``receipt()``.

        After it, ``status().confirmed`` holds: the server did not show this device a state older
        than that head. The newer the head, the more that says.

        Returns:
            The size of the log that is confirmed.

        Raises:
            InputError: that is not a head's text.
            NotFoundError: it is of a longer log than this device has read: sync, and compare again.
            TrustError: this device was shown another log than the one the head was signed for, also
                by a sync since then; ``error.evidence`` names the file that shows it.
            LockedError: it may have been: unlock, and compare again. A locked vault accuses nobody.
        """
        return confirm(self._state, head)

    def evidence(self) -> Sequence[Path]:
        """The files that show where the log contradicted itself, oldest first.

        Each is public and stands for itself: ``coffret verify-evidence FILE`` judges it.
        """
        return list_evidence(self.folder / FOLDER)

    @_at_once
    def audit_log(self) -> AuditLog:
        """The log as far as it is signed, for an auditor: ``coffret verify-audit`` verifies it.

        Raises:
            NotFoundError: nothing is signed here yet, or what led to the keys of now is not here.
            StoreAlteredError: what is here is not what this device verified.
        """
        return audit_log(self._state)

    @_at_once
    def check(self) -> int:
        """Look through the local store, and give how many memories it lacks; sync brings those.

        Raises:
            StoreDamagedError: it is damaged.
        """
        self._state.store.check()
        return len(self._state.store.wanted()[1])

    def count_unkept(self) -> int:
        """How many changes ``unkept()`` has; needs no keys."""
        return count_unkept(self._state)

    @_at_once
    def unkept(self) -> Sequence[Unkept]:
        """The changes that waited on this device and were given up, oldest first.

        At the end those that wait still: a change whose answer was lost, and memories that were
        said behind it, go out later. Where another device has written by then, so that the change
        can be accepted no more, or the server refuses one, it is given up and noted here, sealed,
        with what its memories would have said. What was written again since is left out and
        forgotten.

        Raises:
            StoreAlteredError: one was not noted by this vault; it is dropped.
        """
        given_up = unkept(self._state, current_memories(self._state))
        return given_up + all_waiting(self._state)

    @_at_once
    def forget_unkept(self, unkept_id: str | None = None) -> int:
        """Let go of such a change, or of all that were given up, and give how many that were.

        A memory that was not sent yet is taken back by its own id. What was sent and not answered
        cannot be: the server may have it.

        Raises:
            NotFoundError: there is none with that id.
        """
        taken = 0 if unkept_id is None else take_back(self._state, unkept_id)
        return taken or forget_unkept(self._state, unkept_id)

    @_at_once
    def memory_ids(self) -> Sequence[str]:
        """The ids of every memory that is not deleted, unreviewed ones included; needs no keys."""
        store = self._state.store
        found = dict(store.states()) | dict(store.states(pending=True))
        return tuple(map(id_text, sorted(found)))

    @_at_once
    def get(self, memory_id: str) -> Memory:
        """A memory by its id.

        Raises:
            NotFoundError: there is no such memory on this device.
        """
        return memory_flows.current(self._state, memory_id)

    @_at_once
    def list(self, **wanted: Unpack[Listing]) -> Sequence[Memory]:
        """The current memories, most lately changed first.

        Args:
            wanted: see ``Listing``: with all of ``tags``, of one of ``types``, and so on.

        Raises:
            TypeError: that is nothing to narrow a list by.
            InputError: one of them is of another kind, out of its bounds, or blank.
        """
        return list_memories(self._state, wanted)

    @_at_once
    def waiting(self, **wanted: Unpack[Listing]) -> Sequence[Memory]:
        """The new memories that wait on this device for the server, most lately said first.

        They are in no list or search before they are in the log, and only ``unkept()`` has what
        else waits. Arguments as for :meth:`list`.

        Raises:
            StoreAlteredError: one was not noted by this vault; it is dropped.
            TypeError: as for :meth:`list`, and so is ``InputError``.
        """
        return waiting_memories(self._state, wanted)

    def search_waiting(self, question: str, **wanted: Unpack[Wanted]) -> Sequence[Found]:
        """Those of :meth:`waiting` that have words of a question; their scores rank them alone.

        Nothing is embedded for them: by meaning they are found once they are in the log.

        Raises:
            InputError: as for ``search``; and the others as for :meth:`waiting`.
        """
        return search_waiting(self._state, question, asked(question, wanted))

    @_at_once
    def imports(self) -> Sequence[ImportInfo]:
        """The imports of which something is here, oldest first; ``undo_import`` takes one back."""
        return imports(self._state)

    @_at_once
    def tags(self) -> dict[str, int]:
        """How many current memories each tag has, most used first."""
        counted: Counter[str] = Counter()
        for memory in current_memories(self._state):
            counted.update(memory.tags)
        return dict(counted.most_common())

    @_at_once
    def pending(self) -> Sequence[Pending]:
        """What apps wrote and nobody has decided, oldest first."""
        return proposals.pending(self._state)

    @_at_once
    def grants(self) -> Sequence[GrantInfo]:
        """Every grant there ever was, oldest first."""
        return grant_flows.grants(self._state)

    @_at_once
    def grant(self, grant_id: str) -> GrantInfo:
        """A grant by its id.

        Raises:
            NotFoundError: there is no such grant.
        """
        return grant_flows.grant(self._state, grant_id)

    def export(self) -> Iterator[bytes]:
        """The memories as the lines of an export: plaintext, for the owner alone.

        Those that are current, and new ones that wait on this device for the server.
        """
        return write_export(exported(self._state))

    def _close_store(self) -> None:
        self.lock()
        self._state.store.close()
