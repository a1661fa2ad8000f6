"""Verify what a server says was appended. docs/spec/5-log.md, "Rules a device keeps".

A :class:`Verifier` takes leaves one after another and, when the head is known, says whether they
are what the owner signed. Nothing it gathered is to be stored before :meth:`Verifier.finish`
returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec

from coffret_vault.envelope.signature import verify_head
from coffret_vault.errors import TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.checkpoint import SignedHead
from coffret_vault.formats.entry import Leaf, parse_leaf
from coffret_vault.log.replay import NEW, MemoryState, advance
from coffret_vault.log.tree import Frontier, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable


MEMORY_KINDS = frozenset((kinds.PUT, kinds.DELETE, kinds.ACCEPT, kinds.REJECT))


class Position(msgspec.Struct, frozen=True):
    """How far a device has verified a log.

    Attributes:
        account_id: whose log.
        owner_public: the Ed25519 key under which heads verify.
        head: the newest head it verified, None before the first.
        frontier: the tree at ``head``'s size.
        tail: the app leaves it verified beyond that head, in order.
    """

    account_id: bytes
    owner_public: bytes
    head: SignedHead | None
    frontier: Frontier
    tail: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """How many leaves it has, with the tail."""
        return self.frontier.size + len(self.tail)


class Verified(msgspec.Struct, frozen=True):
    """What new leaves amount to: the position after them, and what they did."""

    position: Position
    leaves: tuple[bytes, ...]
    entries: tuple[Leaf, ...]
    first: int
    states: dict[bytes, MemoryState]


class Verifier:
    """Takes the leaves that follow a position."""

    def __init__(
        self,
        position: Position,
        load: Callable[[bytes], MemoryState | None],
        check_app_leaf: Callable[[Leaf], None],
    ) -> None:
        """Begin at ``position``.

        Args:
            position: what was verified before.
            load: the stored state of a memory, by its id.
            check_app_leaf: raises TrustError unless an app with a grant for it made that leaf;
                called for each leaf that no head of the owner covers.
        """
        self._position = position
        self._first = position.size
        self._load = load
        self._check_app_leaf = check_app_leaf
        self._leaves: list[bytes] = []
        self._parsed: list[Leaf] = []
        self._states: dict[bytes, MemoryState] = {}

    @property
    def size(self) -> int:
        """How many leaves there are with those taken so far."""
        return self._first + len(self._leaves)

    def take(self, data: bytes) -> Leaf:
        """Take the next leaf.

        Raises:
            FormatError: it is not a leaf.
            TrustError: it is of another account, or does not follow from what is before it.
        """
        leaf = parse_leaf(data)
        entry = leaf.entry
        if entry.account_id != self._position.account_id:
            _refuse("a log entry is of another account")
        if entry.kind in MEMORY_KINDS:
            state = self._states.get(entry.subject) or self._load(entry.subject) or NEW
            self._states[entry.subject] = advance(state, entry, self.size)
        self._leaves.append(data)
        self._parsed.append(leaf)
        return leaf

    def finish(self, signed: SignedHead) -> Verified:
        """Verify all that was taken against the newest head.

        Raises:
            TrustError: the head is older than the one we hold, or of another log, or not signed by
                the owner; the leaves are not those under it; or a leaf behind it is not by an app
                that may write.
        """
        position = self._position
        head = verify_head(position.owner_public, signed)
        if head.account_id != position.account_id:
            _refuse("a head is of another account")
        if not position.frontier.size <= head.size <= self.size:
            _refuse("the log is shorter than one that this device has seen")
        known = position.head
        if known is not None and head.size == known.head.size and signed.text != known.text:
            _refuse("two different heads are signed for one log")
        return self._fold(signed)

    def _fold(self, signed: SignedHead) -> Verified:
        position = self._position
        frontier = position.frontier.copy()
        every = (*position.tail, *self._leaves)
        covered = signed.head.size - frontier.size
        append = frontier.append_hash
        for data in every[:covered]:
            append(leaf_hash(data))
        if frontier.root() != signed.head.root:
            _refuse("the log's entries are not those that the owner signed")
        first_new = len(position.tail)
        for leaf in self._parsed[max(0, covered - first_new) :]:
            if leaf.entry.author.is_owner:
                _refuse("an entry in the owner's name is not under the owner's signature")
            self._check_app_leaf(leaf)
        moved = msgspec.structs.replace(
            position, head=signed, frontier=frontier, tail=every[covered:]
        )
        leaves, parsed = tuple(self._leaves), tuple(self._parsed)
        return Verified(moved, leaves, parsed, self._first, self._states)


def _refuse(message: str) -> NoReturn:
    raise TrustError(message)
