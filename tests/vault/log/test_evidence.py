"""Evidence: each kind says what it shows, and nothing that is not so is accepted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import BadSignatureError, FormatError, TooLargeError, TrustError
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard
from coffret_vault.log import evidence
from coffret_vault.log.evidence import MAX_EVIDENCE, Subject
from coffret_vault.log.judging import verify_evidence
from coffret_vault.log.tree import Frontier, inclusion_proof, leaf_hash, prefix_root, root_of
from harness.logs import ACCOUNT, APP, APP_KEY, OWNER_KEY, entry, head, leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret_vault.formats.checkpoint import SignedHead

SIZES = [(1, 2), (1, 5), (3, 4), (3, 7), (4, 5), (4, 8), (5, 6), (6, 13), (8, 9), (15, 33)]


def _subject(**changes: Any) -> Subject:
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "username": "ana",
        "signing_public": OWNER_KEY.public,
        "sealing_public": b"x" * 1216,
        "created": 1,
    }
    card = ACCOUNT_CARD.serialize(AccountCard(**(values | changes)))
    return Subject("https://vault.example", card, sign_statement(OWNER_KEY, "account", card))


SUBJECT = _subject()


def _log(size: int, branch: str = "") -> list[bytes]:
    """Leaves of which the last before ``size`` tells the branches apart."""
    return [f"leaf {at} {branch}".encode() for at in range(size)]


def _forked(first: int, second: int, other: str = "b") -> bytes:
    """Evidence out of a log of ``first`` leaves and one of ``second`` on another branch."""
    hashes = [leaf_hash(data) for data in _log(second, other)]
    held, shown = head(_log(first)), head(_log(second, other))
    if first == second:
        return evidence.fork(SUBJECT, held, shown)
    return evidence.fork(SUBJECT, held, shown, hashes[first], inclusion_proof(hashes, first))


def _altered(held: int, shown: list[bytes], given: list[bytes]) -> bytes:
    frontier = Frontier()
    for data in _log(held):
        frontier.append(data)
    return evidence.altered(SUBJECT, head(_log(held)), frontier, head(shown), given)


def _samples() -> dict[str, bytes]:
    """A file of each kind, and of both forms of a fork."""
    held = head(_log(3))
    return {
        "fork": _forked(3, 5),
        "fork of one size": _forked(3, 3),
        "two-heads": evidence.two_heads(SUBJECT, held, head(_log(3), time=2_000)),
        "unlinked": evidence.unlinked(SUBJECT, held, head(_log(5))),
        "rolled-back": evidence.rolled_back(SUBJECT, held, 4, head(_log(2)), 2),
        "altered": _altered(3, _log(5), [*_log(5)[3:4], b"other"]),
    }


@pytest.mark.parametrize(("kind", "data"), _samples().items())
def test_each_kind_is_judged(kind: str, data: bytes) -> None:
    """A file says its kind, its log, and whether it is proof; each leaves something open."""
    found = verify_evidence(data)
    assert found.verdict.kind == kind.partition(" ")[0]
    assert found.verdict.proven == (found.verdict.kind in {"fork", "two-heads"})
    assert found.verdict.proves
    assert found.verdict.unproven
    assert (found.origin, found.card.username) == ("https://vault.example", "ana")


@pytest.mark.parametrize(("first", "second"), SIZES)
def test_a_fork_is_proven_at_every_shape_of_tree(first: int, second: int) -> None:
    """Two branches are a fork; a log and its own beginning are none, with the same parts."""
    assert verify_evidence(_forked(first, second)).verdict.proven
    with pytest.raises(TrustError, match="does not show"):
        verify_evidence(_forked(first, second, other=""))


@pytest.mark.parametrize(("first", "second"), SIZES)
def test_an_inclusion_proof_fixes_what_was_before(first: int, second: int) -> None:
    """The parts to a leaf's left are the log before it; another leaf, or part, verifies nothing."""
    hashes = [leaf_hash(data) for data in _log(second)]
    proof, root = inclusion_proof(hashes, first), root_of(hashes)
    assert prefix_root(hashes[first], first, second, proof, root) == root_of(hashes[:first])
    for changed in ([bytes(32), *proof[1:]], proof[:-1], [*proof, bytes(32)]):
        with pytest.raises(TrustError):
            prefix_root(hashes[first], first, second, changed, root)
    with pytest.raises(TrustError):
        prefix_root(bytes(32), first, second, proof, root)


def _changed(data: bytes, **values: Any) -> bytes:
    whole = json.loads(data) | values
    return evidence._canonical({name: value for name, value in whole.items() if value is not None})


def test_what_does_not_contradict_is_no_evidence() -> None:
    """Heads and entries that go together are refused in every kind."""
    three, five = head(_log(3)), head(_log(5))
    app = leaf(entry("put", 1, app=APP), APP_KEY)
    honest = (
        evidence.fork(SUBJECT, three, three),
        evidence.two_heads(SUBJECT, three, three),
        evidence.two_heads(SUBJECT, three, head(_log(3, "b"))),
        evidence.unlinked(SUBJECT, five, three),
        evidence.rolled_back(SUBJECT, three, 3, five, 5),
        evidence.rolled_back(SUBJECT, three, 3, three, 3),
        _altered(3, _log(5), _log(5)[3:]),
        _altered(3, _log(3), [app]),
        _altered(3, _log(5), [*_log(5)[3:], app]),
        _altered(3, _log(5), _log(4)[3:]),
    )
    for data in honest:
        with pytest.raises(TrustError, match="does not show"):
            verify_evidence(data)


def test_an_owners_entry_beyond_the_head_is_a_contradiction() -> None:
    """Behind the head only leaves with an app's signature may stand."""
    owners = leaf(entry("put", 1))
    for beyond in (owners, b"no leaf at all"):
        assert verify_evidence(_altered(3, _log(3), [beyond])).verdict.kind == "altered"


def test_a_frontier_is_that_of_the_head_that_was_held() -> None:
    """Another beginning than the held head's makes any entries fit badly: it is refused."""
    frontier = Frontier()
    for data in _log(3, "b"):
        frontier.append(data)
    data = evidence.altered(SUBJECT, head(_log(3)), frontier, head(_log(5)), _log(5)[3:])
    with pytest.raises(TrustError, match="does not show"):
        verify_evidence(data)


def test_sizes_may_not_be_made_up_beyond_the_heads() -> None:
    """A log is never shorter than the head that was signed over it."""
    held, shown = head(_log(3)), head(_log(2))
    for sizes in ((2, 2), (3, 1)):
        data = evidence.rolled_back(SUBJECT, held, sizes[0], shown, sizes[1])
        with pytest.raises(TrustError, match="does not show"):
            verify_evidence(data)


def _by_another(make: Callable[..., SignedHead]) -> SignedHead:
    return make(_log(3, "b"), key=APP_KEY)


def test_only_what_the_owners_key_signed_counts() -> None:
    """A head or a card by another key, or a head of another account, is refused."""
    forged = evidence.fork(SUBJECT, head(_log(3)), _by_another(head))
    stranger = Subject(SUBJECT.origin, SUBJECT.card, sign_statement(APP_KEY, "account", b""))
    for data in (forged, evidence.fork(stranger, head(_log(3)), head(_log(3, "b")))):
        with pytest.raises(BadSignatureError):
            verify_evidence(data)
    elsewhere = head(_log(3, "b"), account=b"b" * 16)
    with pytest.raises(TrustError):
        verify_evidence(evidence.fork(SUBJECT, head(_log(3)), elsewhere))


@pytest.mark.parametrize("data", _samples().values(), ids=_samples().keys())
def test_a_file_has_one_form(data: bytes) -> None:
    """Spaces, another order, missing and unknown fields, repeated ones: none is a file."""
    whole = json.loads(data)
    text = data.decode()
    wrong = [
        json.dumps(whole).encode(),
        data[:-1],
        data + b"\n",
        data.replace(b"{", b'{"card":"",', 1),
        _changed(data, more=1),
        _changed(data, format="coffret/v2/evidence"),
        _changed(data, kind="proof"),
        _changed(data, origin="caf\u00e9"),
        _changed(data, origin=""),
        _changed(data, card=whole["card"] + "="),
        text.replace("\\u2014", "\u2014").encode(),
        b"\xff" + data,
        b"[" * 100_000,
    ]
    wrong += [_changed(data, **{name: None}) for name in whole]
    wrong += [_changed(data, **{name: True}) for name in whole]
    for changed in wrong:
        with pytest.raises(FormatError):
            verify_evidence(changed)


def test_a_file_that_is_too_long_is_not_read() -> None:
    """The cap comes before parsing, and nothing larger is written."""
    with pytest.raises(TooLargeError):
        verify_evidence(b" " * (MAX_EVIDENCE + 1))
    with pytest.raises(TooLargeError):
        _altered(3, _log(5), [bytes(MAX_EVIDENCE)])
