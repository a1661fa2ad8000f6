"""What a device believes of a log."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import BadSignatureError, FormatError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log.replay import NEW, MemoryState, advance
from coffret_vault.log.verify import Position, Verified, Verifier
from harness.logs import ACCOUNT, APP, APP_KEY, MEMORY, OWNER_KEY, beginning, entry, head, leaf

if TYPE_CHECKING:
    from coffret_vault.formats.checkpoint import SignedHead
    from coffret_vault.formats.entry import Leaf

PUTS = [leaf(entry("put", version, version)) for version in range(1, 6)]
TAIL = leaf(entry("put", 6, 6, app=APP))


def verify(
    leaves: list[bytes],
    signed: SignedHead,
    position: Position | None = None,
    seen: list[Leaf] | None = None,
) -> Verified:
    """Take these leaves and finish at this head; ``seen`` gets the leaves behind it."""
    start = position or beginning()
    before = _state(start.size)
    check = [] if seen is None else seen
    verifier = Verifier(start, {MEMORY: before}.get, check.append)
    for data in leaves:
        verifier.take(data)
    return verifier.finish(signed)


def _state(size: int) -> MemoryState:
    state = NEW
    for index, data in enumerate([*PUTS, TAIL][:size]):
        state = advance(state, parse_leaf(data).entry, index)
    return state


def test_leaves_under_a_head_are_believed() -> None:
    """What the owner signed is taken, in one go or in two, to the same position."""
    whole = verify(PUTS, head(PUTS))
    half = verify(PUTS[:2], head(PUTS[:2]))
    rest = verify(PUTS[2:], head(PUTS), half.position)
    assert whole.position.head == rest.position.head
    assert whole.position.frontier.root() == rest.position.frontier.root()
    assert (whole.first, rest.first, rest.position.size) == (0, 2, 5)
    assert rest.states[MEMORY].current == 5


def test_a_tail_by_an_app_is_checked_and_kept_apart() -> None:
    """App leaves beyond the head are given to the check, and covered by the next head."""
    seen: list[Leaf] = []
    done = verify([*PUTS, TAIL], head(PUTS), seen=seen)
    assert [made.entry.version for made in seen] == [6]
    assert (done.position.size, done.position.tail) == (6, (TAIL,))
    later = verify([], head([*PUTS, TAIL], time=2_000), done.position)
    assert (later.position.tail, later.position.frontier.size) == ((), 6)


def test_a_leaf_that_a_head_covers_is_not_checked_again() -> None:
    """Under the owner's signature an app's leaf needs no grant of today."""
    seen: list[Leaf] = []
    verify([*PUTS, TAIL], head([*PUTS, TAIL]), seen=seen)
    assert seen == []


def test_a_tail_that_was_exchanged_is_refused() -> None:
    """The next head has to cover the very app leaves that this device saw."""
    done = verify([*PUTS, TAIL], head(PUTS))
    other = leaf(entry("put", 6, 7, app=APP))
    with pytest.raises(TrustError):
        verify([], head([*PUTS, other], time=2_000), done.position)


def test_an_owner_s_leaf_beyond_the_head_is_refused() -> None:
    """Nothing in the owner's name stands outside the owner's signature."""
    with pytest.raises(TrustError):
        verify(PUTS, head(PUTS[:4]))


def test_what_the_check_refuses_is_refused() -> None:
    """An error of the check ends the verification."""

    def refuse(_leaf: Leaf) -> None:
        raise TrustError

    verifier = Verifier(beginning(), lambda _: None, refuse)
    verifier.take(leaf(entry("put", 1, 1, app=APP)))
    with pytest.raises(TrustError):
        verifier.finish(head([]))


WRONG = {
    "an entry missing": (PUTS[:3], head(PUTS)),
    "an entry too many": (PUTS, head(PUTS[:2])),
    "another account's head": (PUTS, head(PUTS, account=b"b" * 16)),
    "other entries": ([leaf(entry("put", 1, 9)), *PUTS[1:]], head(PUTS)),
}


@pytest.mark.parametrize(("leaves", "signed"), WRONG.values(), ids=WRONG.keys())
def test_leaves_that_are_not_those_signed_are_refused(
    leaves: list[bytes], signed: SignedHead
) -> None:
    """A head fits exactly the leaves that it was signed over."""
    with pytest.raises(TrustError):
        verify(leaves, signed)


def test_a_head_by_another_key_is_refused() -> None:
    """Only the owner's key signs heads; one that names the owner's key falsely does not verify."""
    with pytest.raises(BadSignatureError):
        verify(PUTS, head(PUTS, key=APP_KEY))
    good = head(PUTS)
    text = good.text.decode()
    forged = parse_head(good.note.replace(text, text.replace("time 1000", "time 1001")))
    with pytest.raises(BadSignatureError):
        verify(PUTS, forged)


def test_an_older_head_is_refused() -> None:
    """A device does not go back behind a head that it saw."""
    done = verify(PUTS, head(PUTS))
    with pytest.raises(TrustError, match="shorter"):
        verify([], head(PUTS[:3]), done.position)


def test_two_heads_of_one_size_are_a_fork() -> None:
    """Another head over the same entries is refused; the same one again is nothing new."""
    done = verify(PUTS, head(PUTS))
    assert verify([], head(PUTS), done.position).position.head == done.position.head
    with pytest.raises(TrustError, match="two different heads"):
        verify([], head(PUTS, time=2_000), done.position)


def test_a_leaf_of_another_account_is_refused() -> None:
    """An entry names the account whose log it is in."""
    verifier = Verifier(beginning(), lambda _: None, lambda _: None)
    with pytest.raises(TrustError):
        verifier.take(leaf(entry("put", 1, 1, account=b"b" * 16)))


@pytest.mark.parametrize("data", [b"", b"x", PUTS[0][:-1], PUTS[0] + b"x", TAIL[:-1]])
def test_bytes_that_are_no_leaf_are_malformed(data: bytes) -> None:
    """A leaf is exactly what the specification says."""
    verifier = Verifier(beginning(), lambda _: None, lambda _: None)
    with pytest.raises(FormatError):
        verifier.take(data)


def test_entries_of_other_kinds_change_no_memory() -> None:
    """Accounts, keyslots and grants are in the log and in no memory's state."""
    leaves = [
        leaf(entry(kind, 1, 1, subject=hashlib.sha256(kind.encode()).digest()[:16]))
        for kind in ("account", "keyslot", "keyslot-remove", "rotate", "grant", "pause", "revoke")
    ]
    done = verify(leaves, head(leaves))
    assert done.states == {}
    assert done.position.account_id == ACCOUNT
    assert done.position.owner_public == OWNER_KEY.public
