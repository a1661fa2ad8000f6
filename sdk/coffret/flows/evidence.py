"""Write down what shows that a log contradicts itself. docs/spec/5-log.md, Evidence.

What was shown is weighed as it is, whatever error it led to: evidence is about signed heads and the
entries below them, not about how this device came upon them.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.files import write_whole
from coffret.flows.http import decode_msgpack
from coffret.flows.lineage import fetch_steps
from coffret.flows.session import get_packed
from coffret_vault.errors import CoffretError, FormatError, TooLargeError, TrustError
from coffret_vault.formats.checkpoint import SignedHead, parse_head
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log import evidence
from coffret_vault.log.evidence import Subject
from coffret_vault.log.judging import signer_of, verify_evidence
from coffret_vault.log.lineage import Step, verify_successions
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


def known_steps(account: AccountFile) -> list[Step]:
    """The key changes that led to the account's card, as far back as they are kept here whole."""
    steps = [Step(reign.succession, reign.signature, reign.card) for reign in account.earlier]
    lacking = [at for at, step in enumerate(steps, 1) if not step.succession]
    return steps[max(lacking, default=0) :]


def subject(account: AccountFile, steps: Sequence[Step], *heads: SignedHead) -> Subject | None:
    """Whose log evidence with these heads is about; None if one is not of the owner's keys.

    Args:
        account: the owner's, with the newest card.
        steps: the key changes that led to it.
        heads: what the owner's keys of some time signed.
    """
    try:
        cards = verify_successions(steps, account.card)
        first = min(signer_of(cards, signed) for signed in heads)
    except (FormatError, TrustError):
        return None
    if any(signed.head.account_id != account.account_id for signed in heads):
        return None
    return Subject(account.origin, account.card, account.card_signature, tuple(steps[first:]))


def folder_of(store: Path) -> Path:
    """Where the evidence of a device stands: beside its store."""
    return store.with_name(FOLDER)


def testify(
    state: VaultState, error: CoffretError, shown: Shown, *, proofs_only: bool
) -> Flow[None]:
    """Keep evidence if what was shown contradicts what this device holds; ``error`` names it.

    Args:
        state: the vault.
        error: what the contradiction led to.
        shown: what the server said.
        proofs_only: keep nothing that is this device's own record.
    """
    position, signed = state.position(), _parsed(shown.note)
    if position.head is None or signed is None:
        return
    about = yield from _about(state, position.head, signed)
    if about is None:
        return
    made = weigh(about, position, signed, shown.size, shown.leaves)
    if made is not None and signed.head.size > position.head.head.size:
        made = (yield from _proven_fork(state, about, position.head, signed)) or made
    if made is not None:
        keep_evidence(folder_of(state.store.path), made, error, proofs_only=proofs_only)


def _parsed(note: str) -> SignedHead | None:
    try:
        return parse_head(note)
    except FormatError:
        return None


def _about(state: VaultState, held: SignedHead, shown: SignedHead) -> Flow[Subject | None]:
    """Whose log it is, if the owner's keys signed both heads: anybody can make up another.

    A device that has just entered with changed keys does not have the step to them yet: it is asked
    for. Where the server gives none, nothing says to others that both keys are the owner's.
    """
    account, steps = state.account, known_steps(state.account)
    if len(steps) + 1 < account.generation:
        try:
            steps = yield from fetch_steps(state)
        except CoffretError:
            return None
    return subject(account, steps, held, shown)


def weigh(
    about: Subject, position: Position, shown: SignedHead, size: int, leaves: Sequence[bytes]
) -> bytes | None:
    """Evidence out of what a device holds and what it was shown; None if they go together.

    Args:
        about: whose log.
        position: what the device had verified; it has a head.
        shown: a head that a key of the owner's signed.
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


def keep_evidence(
    folder: Path, data: bytes, error: CoffretError, *, proofs_only: bool = False
) -> None:
    """Write evidence into a folder, once, and name the file in an error.

    What nobody could verify is not written. In a full folder a proof takes the place of a record
    that is none: of these a server can make as many as it likes, to keep the proof out.
    """
    try:
        is_proof = verify_evidence(data).verdict.proven
    except CoffretError:
        return
    if proofs_only and not is_proof:
        return
    path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}.json"
    try:
        if not path.exists():
            kept = list_evidence(folder)
            if len(kept) >= _MOST_FILES and not (is_proof and _has_removed_a_record(kept)):
                error.hint = f"There is much evidence already in {folder}; this was not added."
                return
            write_whole(path, data)
    except OSError:
        error.hint = "The evidence could not be written."
        return
    error.evidence = str(path)
    error.hint = f"The evidence is in {path}; check it with: coffret verify-evidence {path}"


def _has_removed_a_record(kept: Sequence[Path]) -> bool:
    """Take away the newest file that is a device's own record only, if there is one.

    The older ones tell when it began. What is no evidence is not ours to take away.
    """
    for path in reversed(kept):
        with suppress(CoffretError):
            if not verify_evidence(path.read_bytes()).verdict.proven:
                path.unlink()
                return True
    return False


def list_evidence(folder: Path) -> list[Path]:
    """The files of evidence in a folder, oldest first."""
    return sorted(folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
