"""Whose keys were the owner's, from when to when. docs/spec/3-keys.md, Succession.

The log names each card: its first entry the first one, each ``rotate`` entry the succession that
led to the next. So who trusts the newest card and the head under it knows all cards before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NoReturn

import msgspec

from coffret_vault.envelope.signature import verify_statement
from coffret_vault.errors import FormatError, TrustError
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard
from coffret_vault.formats.succession import SUCCESSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret_vault.formats.entry import Entry


class Step(msgspec.Struct, frozen=True):
    """A succession as it is kept: its bytes, the earlier keys' signature, the earlier card."""

    succession: bytes
    signature: bytes
    card: bytes


class Reign(msgspec.Struct, frozen=True):
    """An earlier account card, and the index of the ``rotate`` entry that ended it.

    With the succession to the next card, and its signature by this one.
    """

    card: bytes
    until: int
    succession: bytes = b""
    signature: bytes = b""

    def parse(self) -> AccountCard:
        """The card."""
        return ACCOUNT_CARD.parse(self.card)


def verify_lineage(
    first: bytes, rotations: Sequence[tuple[int, Entry]], steps: Sequence[Step], card: bytes
) -> tuple[Reign, ...]:
    """The earlier cards, oldest first, each step of which the log names.

    Args:
        first: the digest in the log's ``account`` entry.
        rotations: every ``rotate`` entry with its index, verified under the newest head.
        steps: the successions, as many, in the same order.
        card: the account card now.

    Raises:
        TrustError: one of them is not what the log names, or does not follow from the one before.
    """
    if len(steps) != len(rotations):
        _refuse()
    cards = [*(step.card for step in steps), card]
    if _digest(cards[0]) != first:
        _refuse()
    for (_, entry), step, after in zip(rotations, steps, cards[1:], strict=True):
        _check_step(entry, step, after)
    return tuple(
        Reign(step.card, index, step.succession, step.signature)
        for (index, _), step in zip(rotations, steps, strict=True)
    )


def verify_successions(steps: Sequence[Step], card: bytes) -> list[AccountCard]:
    """The owner's cards from that of the first step to the ``card`` that the last one leads to.

    No log is at hand to name them: each card's key says which one follows.

    Raises:
        FormatError: one of them is no card, or no succession.
        BadSignatureError: the keys before did not sign a succession.
        TrustError: a step does not lead to the next card.
    """
    cards = [*(step.card for step in steps), card]
    parsed = [ACCOUNT_CARD.parse(data) for data in cards]
    told = [SUCCESSION.parse(step.succession) for step in steps]
    for at, (step, says) in enumerate(zip(steps, told, strict=True)):
        account_id, generation = parsed[-1].account_id, told[0].generation + at
        leads = (account_id, account_id, generation, _digest(step.card), _digest(cards[at + 1]))
        if leads != (
            parsed[at].account_id,
            says.account_id,
            says.generation,
            says.before,
            says.after,
        ):
            message = "a succession does not lead from one of the cards to the next"
            raise TrustError(message)
        verify_statement(parsed[at].signing_public, "succession", step.succession, step.signature)
    return parsed


def _check_step(entry: Entry, step: Step, after: bytes) -> None:
    try:
        succession = SUCCESSION.parse(step.succession)
        before = ACCOUNT_CARD.parse(step.card)
    except FormatError:
        _refuse()
    told = (succession.account_id, succession.generation, succession.before, succession.after)
    real = (entry.account_id, entry.version, _digest(step.card), _digest(after))
    if told != real or _digest(step.succession) != entry.digest:
        _refuse()
    verify_statement(before.signing_public, "succession", step.succession, step.signature)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _refuse() -> NoReturn:
    message = "the server's account cards are not those in the log"
    raise TrustError(message)
