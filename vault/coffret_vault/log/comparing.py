"""Compare a log that was audited with what somebody kept of it. docs/spec/5-log.md, Audit file."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import TrustError
from coffret_vault.log.judging import signer_of
from coffret_vault.log.tree import root_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret_vault.formats.checkpoint import SignedHead
    from coffret_vault.log.auditing import Audit

SAME, CONTINUES = "same", "continues"
ROLLED_BACK, FORKED, ALTERED, TWO_HEADS = "rolled-back", "forked", "altered", "two-heads"
WELL = frozenset((SAME, CONTINUES))
MISSING, CHANGED, MOVED, ADDED = "missing", "altered", "moved", "added"
MAX_DIFFERENCES = 1_000


class Difference(msgspec.Struct, frozen=True):
    """An entry in which a log differs from the one that was kept; numbers count from 0.

    Attributes:
        what: ``missing``, ``altered`` (another one in its place), ``moved`` or ``added``.
        entry: its number in the log that was kept; None where it is not there.
        at: its number in the log that is judged, or of what is in its place; None as above.
    """

    what: str
    entry: int | None
    at: int | None


class Comparison(msgspec.Struct, frozen=True):
    """How a log stands to what was kept of it.

    Attributes:
        relation: ``same``; ``continues``: it begins with all that was kept; ``rolled-back``: it is
            the beginning of what was kept, and under an owner's head; ``forked``: the owner's keys
            signed both, and neither begins the other; ``altered``: it is not what the owner signed;
            ``two-heads``: one log, two heads.
        kept: the size of the log that was kept.
        differences: the entries, ``MAX_DIFFERENCES`` of them; a head alone names none.
        differing: how many there are.
    """

    relation: str
    kept: int
    differences: tuple[Difference, ...] = ()
    differing: int = 0


def compare_logs(judged: Audit, kept: Audit) -> Comparison:
    """Whether a log continues one that was kept whole, and where it does not.

    Raises:
        TrustError: they are of different owners' keys, or what was kept is itself not signed.
    """
    if not kept.is_signed:
        message = "what it is compared with is not what the owner signed"
        raise TrustError(message, hint="Verify that file alone: it is said what is wrong with it.")
    _same_owner(judged, kept)
    size, before, after = len(kept.hashes), kept.hashes, judged.hashes
    if after[:size] == before:
        if len(after) == size and judged.preamble.head.text != kept.preamble.head.text:
            return Comparison(TWO_HEADS if judged.is_signed else ALTERED, size)
        return Comparison(SAME if len(after) == size else CONTINUES, size)
    found = differences(before, after)
    relation = FORKED if judged.is_signed else ALTERED
    if judged.is_signed and before[: len(after)] == after:
        relation = ROLLED_BACK
    return Comparison(relation, size, tuple(found[:MAX_DIFFERENCES]), len(found))


def compare_head(judged: Audit, kept: SignedHead) -> Comparison:
    """Whether a log goes together with a head that was kept.

    Raises:
        BadSignatureError: no key of the owner's, as far as this file knows them, signed the head.
        TrustError: it is of another account.
    """
    if kept.head.account_id != judged.cards[-1].account_id:
        message = "the head is of another account"
        raise TrustError(message)
    signer_of(judged.cards, kept)
    size, held = kept.head.size, len(judged.hashes)
    if size > held:
        return Comparison(ROLLED_BACK if judged.is_signed else ALTERED, size)
    if root_of(judged.hashes[:size]) != kept.head.root:
        return Comparison(FORKED if judged.is_signed else ALTERED, size)
    newest = judged.preamble.head
    if size == newest.head.size:
        relation = SAME if kept.text == newest.text else TWO_HEADS
        return Comparison(relation if judged.is_signed else ALTERED, size)
    return Comparison(CONTINUES, size)


def differences(before: Sequence[bytes], after: Sequence[bytes]) -> list[Difference]:
    """What makes one list of hashes another; what is behind the end of the first is no difference.

    What stands in both in one order is what is left; between two of these, what is gone and what is
    new take each other's place, one by one.
    """
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for number in range(len(before) - 1, -1, -1):
        places[before[number]].append(number)
    pairs = [(places[item].pop(), at) for at, item in enumerate(after) if places.get(item)]
    kept = _longest_in_order(pairs)
    stays = set(kept)
    moved = [pair for pair in pairs if pair not in stays]
    from_before, in_after = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    found = [Difference(MOVED, number, at) for number, at in moved]
    last = (-1, -1)
    for here in (*kept, (len(before), len(after))):
        gone = [n for n in range(last[0] + 1, here[0]) if n not in from_before]
        new = [n for n in range(last[1] + 1, here[1]) if n not in in_after]
        both = min(len(gone), len(new))
        found += [Difference(CHANGED, *pair) for pair in zip(gone, new, strict=False)]
        found += [Difference(MISSING, number, None) for number in gone[both:]]
        if here[0] < len(before):  # else the log goes on there
            found += [Difference(ADDED, None, at) for at in new[both:]]
        last = here
    return sorted(found, key=_place)


def _place(difference: Difference) -> tuple[int, int]:
    number = difference.at if difference.entry is None else difference.entry
    return number or 0, difference.at or 0


def _longest_in_order(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of these pairs, ordered by their second number, in which the first grow."""
    ends: list[int] = []
    chains: list[int] = []
    before: list[int] = []
    for at, (number, _) in enumerate(pairs):
        place = bisect_left(ends, number)
        before.append(chains[place - 1] if place else -1)
        ends[place : place + 1] = [number]
        chains[place : place + 1] = [at]
    found: list[tuple[int, int]] = []
    at = chains[-1] if chains else -1
    while at >= 0:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]


def _same_owner(judged: Audit, kept: Audit) -> None:
    """One of them may know fewer of the owner's cards, but no others."""
    ours, theirs = judged.cards, kept.cards
    shared = min(len(ours), len(theirs))
    if ours[:shared] != theirs[:shared]:
        message = "the two are under different keys: they are not one owner's log"
        raise TrustError(message)
