"""Judge evidence: what follows from a file, and what does not. docs/spec/5-log.md, Evidence."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import msgspec

from coffret_vault.envelope.signature import verify_head, verify_statement
from coffret_vault.errors import BadSignatureError, FormatError, TrustError
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard
from coffret_vault.formats.checkpoint import Head, SignedHead, parse_head
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log.evidence import (
    ALTERED,
    FORK,
    ROLLED_BACK,
    TWO_HEADS,
    UNLINKED,
    AlteredFile,
    AnyFile,
    ForkFile,
    RolledBackFile,
    TwoHeadsFile,
    UnlinkedFile,
    read_bytes,
    read_file,
    read_hashes,
    read_steps,
)
from coffret_vault.log.lineage import verify_successions
from coffret_vault.log.tree import Frontier, prefix_root

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROVEN, _RECORD = True, False


class Verdict(msgspec.Struct, frozen=True):
    """What follows from a file.

    Attributes:
        kind: ``fork``, ``two-heads``, ``unlinked``, ``rolled-back`` or ``altered``.
        proven: whether anybody has to conclude it, or it is the device's own record.
        proves: what follows from the file alone.
        unproven: what does not.
    """

    kind: str
    proven: bool
    proves: str
    unproven: tuple[str, ...]


class Finding(msgspec.Struct, frozen=True):
    """What a file shows.

    Attributes:
        origin: the server's address, as the device says.
        card: the owner's card, the newest one: whose log.
        held: the head that the device had, or the shorter one of a fork.
        shown: the head that it was shown against that.
        verdict: what follows.
    """

    origin: str
    card: AccountCard
    held: Head
    shown: Head
    verdict: Verdict


def verify_evidence(data: bytes) -> Finding:
    """Judge a file of evidence: no vault, no network, public keys only.

    Raises:
        TooLargeError: it is longer than any such file.
        FormatError: it is not one, or not in its one form.
        BadSignatureError: the owner's key did not sign the card, or one of the heads; or keys of
            before, those that followed them.
        TrustError: what is in it does not show what it says.
    """
    file = read_file(data)
    card_bytes, signature = read_bytes(file.card), read_bytes(file.card_signature)
    steps, held, shown = read_steps(file), parse_head(file.held), parse_head(file.shown)
    card = ACCOUNT_CARD.parse(card_bytes)
    verify_statement(card.signing_public, "account", card_bytes, signature)
    cards = verify_successions(steps, card_bytes)
    signers = [signer_of(cards, signed) for signed in (held, shown)]
    if steps and 0 not in signers:
        _refuse()
    if any(signed.head.account_id != card.account_id for signed in (held, shown)):
        _refuse()
    verdict = _judge(file, held, shown)
    if steps:
        unproven = (*verdict.unproven, _KEYS_OF_BEFORE)
        verdict = msgspec.structs.replace(verdict, unproven=unproven)
    return Finding(file.origin, card, held.head, shown.head, verdict)


def signer_of(cards: Sequence[AccountCard], signed: SignedHead) -> int:
    """The place of the card whose key signed a head.

    Raises:
        BadSignatureError: none of them did.
    """
    for at, card in enumerate(cards):
        with suppress(BadSignatureError):
            verify_head(card.signing_public, signed)
            return at
    raise BadSignatureError


def _judge(file: AnyFile, held: SignedHead, shown: SignedHead) -> Verdict:
    if isinstance(file, ForkFile):
        _check_fork(file, held.head, shown.head)
        return Verdict(FORK, _PROVEN, _forked(held.head, shown.head), (_WHO, _REFUSED, _SERVED))
    if isinstance(file, TwoHeadsFile):
        _check_two_heads(held, shown)
        return Verdict(TWO_HEADS, _PROVEN, _TWICE.format(size=held.head.size), (_NO_ENTRY, _WHO))
    if isinstance(file, UnlinkedFile):
        if not 0 < held.head.size < shown.head.size:
            _refuse()
        return Verdict(UNLINKED, _RECORD, _SIGNED.format(size=shown.head.size), (_ANSWER, _LINK))
    if isinstance(file, RolledBackFile):
        _check_rolled_back(file, held.head, shown.head)
        longest = max(held.head.size, shown.head.size)
        return Verdict(ROLLED_BACK, _RECORD, _SIGNED.format(size=longest), (_ANSWER, _OLDER))
    _check_altered(file, held.head, shown.head)
    proves = _MISFIT.format(held=held.head.size, shown=shown.head.size)
    return Verdict(ALTERED, _RECORD, proves, (_ANSWER, _EITHER))


def _check_two_heads(held: SignedHead, shown: SignedHead) -> None:
    same_log = (held.head.size, held.head.root) == (shown.head.size, shown.head.root)
    if not same_log or held.text == shown.text:
        _refuse()


def _check_fork(file: ForkFile, held: Head, shown: Head) -> None:
    if not 0 < held.size <= shown.size:
        _refuse()
    if held.size == shown.size:
        if file.leaf or file.proof or held.root == shown.root:
            _refuse()
        return
    leaf, proof = read_hashes((file.leaf,))[0], read_hashes(file.proof)
    if prefix_root(leaf, held.size, shown.size, proof, shown.root) == held.root:
        _refuse()


def _check_rolled_back(file: RolledBackFile, held: Head, shown: Head) -> None:
    if file.held_size < held.size or file.shown_size < shown.size:
        _refuse()
    if shown.size >= held.size and file.shown_size >= file.held_size:
        _refuse()


def _check_altered(file: AlteredFile, held: Head, shown: Head) -> None:
    hashes, leaves = read_hashes(file.frontier), [read_bytes(leaf) for leaf in file.leaves]
    frontier = Frontier(held.size, hashes)
    covered = shown.size - held.size
    if frontier.root() != held.root or not 0 <= covered <= len(leaves):
        _refuse()
    for leaf in leaves[:covered]:
        frontier.append(leaf)
    if frontier.root() == shown.root and all(map(_by_app, leaves[covered:])):
        _refuse()


def _by_app(data: bytes) -> bool:
    """Whether a leaf has an app's signature behind it, as one beyond the head must."""
    try:
        return bool(parse_leaf(data).signature)
    except FormatError:
        return False


def _forked(held: Head, shown: Head) -> str:
    if held.size == shown.size:
        return (
            f"The owner's key signed two different logs of {held.size} entries: the log was forked."
        )
    return (
        f"The owner's key signed a log of {shown.size} entries that does not begin with the "
        f"{held.size} entries that it had signed: the log was forked."
    )


_TWICE = "The owner's key signed two different heads over the same {size} entries."
_SIGNED = "The owner's key signed a log of {size} entries."
_MISFIT = (
    "The entries in this file do not lead from the head over {held} entries to the head over "
    "{shown}, both signed by the owner's key."
)
_WHO = (
    "Who did it. Only the owner's devices sign heads: a server that shows two devices different "
    "logs gets both signed, but whoever has the owner's key could sign them too."
)
_REFUSED = (
    "That both were the log: of two devices that write at once one loses, and a head that the "
    "server refused is signed as well. Then showing it as the log's head was the lie."
)
_KEYS_OF_BEFORE = (
    "Who had the keys of before when one of the heads was signed: they were changed since, which "
    "an owner does when somebody may have them."
)
_SERVED = "That the server showed them: its answers are not signed."
_NO_ENTRY = "That any entry differs: both heads are over the same ones."
_ANSWER = "What the server answered: its answers are not signed; it is the device's own record."
_LINK = (
    "That the longer log does not begin with the shorter: a device of the owner, or anybody who "
    "has the entries, can tell."
)
_OLDER = "That the older head was shown later than the newer one."
_EITHER = "Whether the entries were altered or the log was forked: it is one of the two."


def _refuse() -> NoReturn:
    message = "this evidence does not show what it says"
    raise TrustError(message)
