"""What a process keeps of the proofs that it took, and what a restart does."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coffret_server import proofs
from coffret_server.problems import ProblemError
from coffret_server.proofs import Proofs, Shown, thumbprint
from coffret_server.signatures import Verifier
from server import forge
from server.stand import ORIGIN, Clock

KEY = Ed25519PrivateKey.generate()
HOLDER = Verifier(forge.public(KEY))
TOKEN = "cfs_token"


def shown(clock: Clock, **claims: object) -> Shown:
    """A request with a proof."""
    at = clock.now // 1_000_000
    made = forge.claims_of("GET", f"{ORIGIN}/x", token=TOKEN, query="a=1", at=at) | claims
    proof = forge.jws(KEY, forge.header_of(KEY), made)
    return Shown(f"DPoP {TOKEN}".encode(), proof.encode(), "GET", "/x", b"a=1", b"")


def made(clock: Clock) -> Proofs:
    """A process that has just begun."""
    return Proofs((ORIGIN,), b"key", clock)


def test_a_thumbprint_is_that_of_the_standard() -> None:
    """RFC 8037, appendix A.3: the thumbprint of its Ed25519 key."""
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert thumbprint(bytes.fromhex(key)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_what_cannot_come_again_is_forgotten() -> None:
    """Proofs are remembered for as long as they are good, and for no longer."""
    clock = Clock()
    process = made(clock)
    old = shown(clock)
    for _ in range(200):
        process.check(shown(clock), TOKEN, HOLDER)
        clock.advance(1)
        assert sum(map(len, process._taken.values())) <= proofs.WINDOW + proofs.APART + 1
    with pytest.raises(ProblemError) as caught:
        process.check(old, TOKEN, HOLDER)
    assert 'error="use_dpop_nonce"' in caught.value.authenticate


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no room, proofs are refused for a moment, and none is forgotten."""
    monkeypatch.setattr(proofs, "MOST", 3)
    clock = Clock()
    process = made(clock)
    first = shown(clock)
    process.check(first, TOKEN, HOLDER)
    for _ in range(2):
        process.check(shown(clock), TOKEN, HOLDER)
    for again in (first, shown(clock)):
        with pytest.raises(ProblemError) as caught:
            process.check(again, TOKEN, HOLDER)
        assert caught.value.status == 503
    clock.advance(proofs.WINDOW + proofs.APART + 1)
    process.check(shown(clock), TOKEN, HOLDER)


def test_a_restart_takes_no_proof_of_before() -> None:
    """What a process took and forgot with its end, the next one does not take on time alone."""
    clock = Clock()
    before = shown(clock)
    made(clock).check(before, TOKEN, HOLDER)
    clock.advance(2)
    process = made(clock)
    with pytest.raises(ProblemError) as caught:
        process.check(before, TOKEN, HOLDER)
    process.check(shown(clock, nonce=caught.value.nonce), TOKEN, HOLDER)


@pytest.mark.parametrize("ahead", [1, 9, 3_600])
def test_a_proof_dated_ahead_outlives_no_process(ahead: int) -> None:
    """A clock that is ahead is told ours, so that no proof is younger than the next process."""
    clock = Clock()
    process, early = made(clock), shown(clock, iat=clock.now // 1_000_000 + ahead)
    with pytest.raises(ProblemError) as caught:
        process.check(early, TOKEN, HOLDER)
    assert 'error="use_dpop_nonce"' in caught.value.authenticate
    again = shown(clock, iat=clock.now // 1_000_000 + ahead, nonce=caught.value.nonce)
    process.check(again, TOKEN, HOLDER)
    clock.advance(ahead)
    with pytest.raises(ProblemError):
        made(clock).check(again, TOKEN, HOLDER)


def test_a_clock_that_is_put_back_is_a_restart() -> None:
    """A server whose clock was ahead serves on when that is mended, and takes nothing twice."""
    clock = Clock()
    right = clock.now
    clock.advance(365 * 86_400)
    process = made(clock)
    clock.now = right
    process.check(shown(clock), TOKEN, HOLDER)
    taken = shown(clock)
    process.check(taken, TOKEN, HOLDER)
    clock.advance(365 * 86_400)
    process.check(shown(clock), TOKEN, HOLDER)  # whatever was taken before is forgotten now
    clock.now = right + 20_000_000
    with pytest.raises(ProblemError):
        process.check(taken, TOKEN, HOLDER)
    process.check(shown(clock, nonce=process.new_nonce()), TOKEN, HOLDER)


def test_a_clock_that_goes_back_a_little_lets_nothing_through_twice() -> None:
    """However often it is put back by seconds, what was taken is known for as long as it counts."""
    clock = Clock()
    process, first = made(clock), shown(clock)
    process.check(first, TOKEN, HOLDER)
    clock.advance(proofs.WINDOW + 1)
    process.check(shown(clock), TOKEN, HOLDER)
    for _ in range(8):
        clock.now -= (proofs.APART - 1) * 1_000_000
        with pytest.raises(ProblemError):
            process.check(first, TOKEN, HOLDER)


def test_a_nonce_carries_the_time() -> None:
    """With a fresh one the caller's clock does not matter; it ends, and is good for its server."""
    clock = Clock()
    process = made(clock)
    nonce = process.new_nonce()
    process.check(shown(clock, nonce=nonce, iat=1), TOKEN, HOLDER)
    other = Proofs((ORIGIN,), b"another key", clock)
    with pytest.raises(ProblemError):
        other.check(shown(clock, nonce=nonce), TOKEN, HOLDER)
    clock.advance(proofs.WINDOW + 1)
    with pytest.raises(ProblemError):
        process.check(shown(clock, nonce=nonce), TOKEN, HOLDER)
