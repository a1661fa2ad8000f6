"""What an app verifies of what it reads: it is in the owner's log. docs/spec/6-grants.md, Reading.

An app has no log of its own. It remembers the newest head it saw, demands that each head continues
that one, and that each record is named by an entry of the owner's below the head, or by an entry
that this app itself signed. So nobody else can make up a version; that it is the *newest* one is
not shown, except that what this process has read does not go back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from coffret.flows.evidence import FOLDER, conflict, keep_evidence
from coffret_vault.envelope.signature import verify_head, verify_statement
from coffret_vault.errors import FormatError, StoreMovedError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log import evidence
from coffret_vault.log.evidence import Subject
from coffret_vault.log.tree import leaf_hash, verify_batch, verify_consistency

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow
    from coffret_vault.formats.checkpoint import SignedHead
    from coffret_vault.formats.entry import Leaf
    from coffret_vault.formats.memory import Header


_TRIES = 16
_OTHERS = "other programs read with this app's keys all the time; try again"


def last_head(state: AppState, held: Held) -> SignedHead | None:
    """The newest head of the owner's log that this app has seen."""
    return state.owners.last_head(held.username, held.grant.account_id)


class Headed(Protocol):
    """An answer that shows the owner's head, and that the log under the last one begins its log."""

    @property
    def head(self) -> str:
        """The head."""

    @property
    def continues(self) -> list[bytes]:
        """The proof."""


H = TypeVar("H", bound=Headed)


def witnessed(
    state: AppState, held: Held, ask: Callable[[int], Flow[H]]
) -> Flow[tuple[H, SignedHead]]:
    """An answer with a head that is the owner's and continues the last one; that is kept.

    Where another process of this app kept one since this one asked, the answer is to a question of
    before, and shorter or not proven by nobody's fault: it is thrown away, and asked for again. No
    server brings that about alone. Nor is it believed where another was quicker to keep one: the
    two may have been shown two logs.

    Args:
        state: the app.
        held: its grant.
        ask: asks, saying up to which size the log was seen.

    Raises:
        StoreMovedError: others of this app were quicker again and again.
        TrustError: as :func:`_take_head`.
    """
    for _ in range(_TRIES):
        seen = last_head(state, held)
        answer = yield from ask(seen.head.size if seen else 0)
        known = last_head(state, held)
        if known == seen:
            head = _take_head(state, held, known, answer)
            kept = last_head(state, held)
            if kept is not None and kept.text == head.text:
                return answer, head
    raise StoreMovedError(_OTHERS)


def _take_head(state: AppState, held: Held, known: SignedHead | None, answer: Headed) -> SignedHead:
    """A head that the server shows, if it is the owner's and continues the one that is known.

    Raises:
        TrustError: it is not, or does not. Where the owner's key signed both, the error names a
            file of evidence.
    """
    card = ACCOUNT_CARD.parse(held.owner.message)
    signed, proof = parse_head(answer.head), answer.continues
    if verify_head(card.signing_public, signed).account_id != held.grant.account_id:
        _refuse("a head is of another account than the grant's")
    if known is not None:
        try:
            _check_continues(known, signed, proof)
        except TrustError as error:
            about = Subject(state.file.origin, held.owner.message, held.owner.signature)
            made = _contradiction(about, known, signed)
            keep_evidence(state.path.with_name(FOLDER), made, error)
            raise
    state.owners.keep_head(held.username, signed)
    return signed


def _check_continues(known: SignedHead, signed: SignedHead, proof: Sequence[bytes]) -> None:
    before, after = known.head, signed.head
    if after.size < before.size:
        _refuse("the owner's log is shorter than one that this app has seen")
    if after.size == before.size and signed.text != known.text:
        _refuse("two different heads are signed for one log")
    verify_consistency(before.size, before.root, after.size, after.root, proof)


def _contradiction(about: Subject, known: SignedHead, signed: SignedHead) -> bytes:
    before, after = known.head.size, signed.head.size
    if after == before:
        return conflict(about, known, signed)
    if after < before:
        return evidence.rolled_back(about, known, before, signed, after)
    return evidence.unlinked(about, known, signed)


def check_leaves(
    signed: SignedHead, leaves: Sequence[tuple[int, bytes]], nodes: Sequence[bytes]
) -> None:
    """Verify that these leaves are in the log under a head, each at its index.

    Raises:
        TrustError: one of them is not.
    """
    hashes: dict[int, bytes] = {}
    for index, leaf in leaves:
        if hashes.setdefault(index, leaf_hash(leaf)) != leaf_hash(leaf):
            _refuse("two different entries are shown for one place of the log")
    verify_batch(hashes, signed.head.size, nodes, signed.head.root)


def check_named(header: Header, digest: bytes, leaf: bytes) -> None:
    """Verify that an owner's entry makes this version current.

    Raises:
        TrustError: the entry is by an app, of another kind, or about something else.
    """
    kind = kinds.PUT if header.author.is_owner else kinds.ACCEPT
    parsed = _parsed(leaf)
    if parsed.signature or parsed.entry.kind != kind or not _about(parsed, header, digest):
        _refuse("a memory is not the one that the owner's log names")


def check_rejected(header: Header, digest: bytes, leaf: bytes) -> None:
    """Verify that an owner's entry turns this version down.

    Raises:
        TrustError: the entry is by an app, of another kind, or about something else.
    """
    parsed = _parsed(leaf)
    if parsed.signature or parsed.entry.kind != kinds.REJECT or not _about(parsed, header, digest):
        _refuse("a memory is said to be rejected, and the owner's log does not say so")


def check_own(state: AppState, header: Header, digest: bytes, leaf: bytes) -> None:
    """Verify that this app itself wrote a version that the owner has not accepted.

    Raises:
        TrustError: it did not, or not this.
    """
    parsed = _parsed(leaf)
    mine = parsed.entry.author.app_id == header.author.app_id == state.manifest.app_id
    if not mine or parsed.entry.kind != kinds.PUT or not _about(parsed, header, digest):
        _refuse("a memory that is said to wait for the owner is not one that this app wrote")
    public = state.identity.signing.public
    verify_statement(public, "app-entry", parsed.message, parsed.signature)


def check_not_older(seen: Mapping[bytes, int], memory_id: bytes, leaf: int) -> None:
    """Verify that a memory is not shown as it was before this process read it.

    Raises:
        TrustError: the entry that names it is older than the one that did before.
    """
    if leaf < seen.get(memory_id, 0):
        _refuse("the server shows an older version of a memory than it showed before")


def _parsed(leaf: bytes) -> Leaf:
    try:
        return parse_leaf(leaf)
    except FormatError:
        _refuse("a memory comes without its entry in the owner's log")


def _about(leaf: Leaf, header: Header, digest: bytes) -> bool:
    entry = leaf.entry
    named = (entry.account_id, entry.subject, entry.version, entry.digest)
    return named == (header.account_id, header.memory_id, header.version, digest)


def _refuse(message: str) -> NoReturn:
    raise TrustError(message)
