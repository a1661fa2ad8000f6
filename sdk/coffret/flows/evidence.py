"""Write down what shows that a log contradicts itself. docs/spec/5-log.md, Evidence.

What was shown is weighed as it is, whatever error it led to: evidence is about signed heads and the
entries below them, not about how this device came upon them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.files import write_whole
from coffret.flows.http import decode_msgpack
from coffret.flows.session import get_packed
from coffret_vault.envelope.signature import verify_head
from coffret_vault.errors import CoffretError, FormatError, TooLargeError, TrustError
from coffret_vault.formats.checkpoint import SignedHead, parse_head
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log import evidence
from coffret_vault.log.evidence import Subject
from coffret_vault.log.judging import verify_evidence
from coffret_vault.log.tree import leaf_hash, prefix_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from coffret.flows.http import Flow
    from coffret.flows.state import AccountFile, VaultState
    from coffret_vault.log.verify import Position

FOLDER = "evidence"
_MOST_FILES = 100
"""In a folder; a server that shows something else each time does not fill the disk."""


class Shown:
    """What a server says that a log is, as it comes in."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.size = 0
        self.note = ""
        self.leaves: list[bytes] = []

    def take(self, size: int, note: str, leaves: Iterable[bytes]) -> None:
        """One page more: the log's size and head, and the leaves behind those before."""
        self.size, self.note = size, note
        self.leaves.extend(leaves)


class _Leaves(msgspec.Struct, frozen=True):
    leaves: list[bytes]


class _Proof(msgspec.Struct, frozen=True):
    proof: list[bytes]


def subject(account: AccountFile) -> Subject:
    """Whose log a device's evidence is about."""
    return Subject(account.origin, account.card, account.card_signature)


def folder_of(store: Path) -> Path:
    """Where the evidence of a device stands: beside its store."""
    return store.with_name(FOLDER)


def testify(state: VaultState, error: CoffretError, shown: Shown) -> Flow[None]:
    """Keep evidence if what was shown contradicts what this device holds; ``error`` names it."""
    position, signed = state.position(), _signed(state, shown.note)
    if position.head is None or signed is None:
        return
    about = subject(state.account)
    made = weigh(about, position, signed, shown.size, shown.leaves)
    if made is not None and signed.head.size > position.head.head.size:
        made = (yield from _proven_fork(state, about, position.head, signed)) or made
    if made is not None:
        keep_evidence(folder_of(state.store.path), made, error)


def _signed(state: VaultState, note: str) -> SignedHead | None:
    """The head, if the owner's key signed it: anybody can make up another."""
    try:
        signed = parse_head(note)
        head = verify_head(state.card.signing_public, signed)
    except (FormatError, TrustError):
        return None
    return signed if head.account_id == state.account_id else None


def weigh(
    about: Subject, position: Position, shown: SignedHead, size: int, leaves: Sequence[bytes]
) -> bytes | None:
    """Evidence out of what a device holds and what it was shown; None if they go together.

    Args:
        about: whose log.
        position: what the device had verified; it has a head.
        shown: a head that the owner's key signed.
        size: how long the log is said to be.
        leaves: those behind the position, as far as they came.
    """
    held = position.head
    if held is None:
        return None
    if shown.head.size == held.head.size and shown.text != held.text:
        return conflict(about, held, shown)
    if shown.head.size < held.head.size or size < position.size:
        return evidence.rolled_back(about, held, position.size, shown, max(size, shown.head.size))
    return _misfit(about, position, shown, (*position.tail, *leaves))


def conflict(about: Subject, held: SignedHead, shown: SignedHead) -> bytes:
    """Evidence out of two different heads of one size."""
    if held.head.root == shown.head.root:
        return evidence.two_heads(about, held, shown)
    return evidence.fork(about, held, shown)


def _misfit(
    about: Subject, position: Position, shown: SignedHead, leaves: Sequence[bytes]
) -> bytes | None:
    frontier = position.frontier.copy()
    covered = shown.head.size - frontier.size
    if position.head is None or covered > len(leaves):
        return None
    for leaf in leaves[:covered]:
        frontier.append(leaf)
    if frontier.root() == shown.head.root and not any(map(_unsigned, leaves[covered:])):
        return None
    try:
        return evidence.altered(about, position.head, position.frontier, shown, leaves)
    except TooLargeError:
        return None


def _unsigned(leaf: bytes) -> bool:
    """Whether a leaf is none by an app, and so has no place beyond the head."""
    try:
        return not parse_leaf(leaf).signature
    except FormatError:
        return True


def _proven_fork(
    state: VaultState, about: Subject, held: SignedHead, shown: SignedHead
) -> Flow[bytes | None]:
    """Ask for what makes two heads a proof: a server that lost our entries may well give it."""
    index, size = held.head.size, shown.head.size
    place = ("from", str(index)), ("limit", "1")
    try:
        page = decode_msgpack((yield from get_packed(state, "/log", *place)), _Leaves)
        asked = ("index", str(index)), ("size", str(size))
        answer = decode_msgpack((yield from get_packed(state, "/log/proof", *asked)), _Proof)
        leaf = leaf_hash(page.leaves[0]) if page.leaves else b""
        before = prefix_root(leaf, index, size, answer.proof, shown.head.root)
    except CoffretError:
        return None
    if before == held.head.root:
        return None
    return evidence.fork(about, held, shown, leaf, answer.proof)


def keep_evidence(folder: Path, data: bytes, error: CoffretError) -> None:
    """Write evidence into a folder, once, and name the file in an error.

    What nobody could verify is not written: a head that is signed by another of the owner's keys.
    """
    try:
        verify_evidence(data)
    except CoffretError:
        return
    path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}.json"
    try:
        if not path.exists():
            if sum(1 for _ in folder.glob("*.json")) >= _MOST_FILES:
                error.hint = f"There is much evidence already in {folder}; this was not added."
                return
            write_whole(path, data)
    except OSError:
        error.hint = "The evidence could not be written."
        return
    error.evidence = str(path)
    error.hint = f"The evidence is in {path}; check it with: coffret verify-evidence {path}"


def list_evidence(folder: Path) -> list[Path]:
    """The files of evidence in a folder, oldest first."""
    return sorted(folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
