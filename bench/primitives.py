"""The steps under everything else: seal, open, wrap, sign, and verifying a long log."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.rows import Row, at_least, bounded, median, told
from coffret_vault.envelope import open_envelope, seal, unwrap_key, wrap_key
from coffret_vault.envelope.signature import sign_head, verify_head
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.checkpoint import NO_HEAD, Head, parse_head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Position, Verifier
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rows import Plan

_SECONDS = 2.0
_CHUNK = 200
_TEXT = 512
_HEADER = bytes(160)
_NOTE = 3_000


def _micros(call: Callable[[], object], count: int) -> float:
    """Microseconds a call: the median of chunks, so that a pause of the machine does not count."""
    chunks = []
    for _ in bounded(max(1, count // _CHUNK), _SECONDS):
        started = time.perf_counter()
        for _ in range(_CHUNK):
            call()
        chunks.append((time.perf_counter() - started) / _CHUNK * 1e6)
    return median(chunks)


def primitives(plan: Plan) -> list[Row]:
    """Microseconds each, of a memory padded to 512 bytes."""
    count = plan.count(5_000, 1_000)
    key, kek, text = generate_key(os.urandom), generate_key(os.urandom), bytes(_TEXT)
    sealed = seal("memory", key, _HEADER, text, random=os.urandom)
    wrap = wrap_key("memory-key", kek, _HEADER, key, random=os.urandom)
    signing = SigningKey(generate_key(os.urandom))
    head = Head(bytes(16), 1, bytes(32), NO_HEAD, 1)
    note = parse_head(sign_head(signing, head))
    peer = Ed25519PrivateKey.from_private_bytes(signing.seed().reveal())
    verified, signature = peer.public_key(), peer.sign(_HEADER)
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("seal 512 bytes", lambda: seal("memory", key, _HEADER, text, random=os.urandom)),
        ("open them", lambda: open_envelope("memory", key, _HEADER, sealed)),
        ("wrap a key", lambda: wrap_key("memory-key", kek, _HEADER, key, random=os.urandom)),
        ("unwrap it", lambda: unwrap_key("memory-key", kek, _HEADER, wrap)),
        ("sign a head", lambda: sign_head(signing, head)),
        ("  a signature by OpenSSL", lambda: peer.sign(_HEADER)),
        ("verify its signature", lambda: verify_head(signing.public, note)),
        ("  a verification by OpenSSL", lambda: verified.verify(signature, _HEADER)),
    )
    return [
        *[told(f"  {name}", _micros(call, count), "µs") for name, call in calls],
        *_noted(plan),
        *_log(signing, plan.count(100_000, 20_000)),
    ]


def _noted(plan: Plan) -> list[Row]:
    """Keep a note of a change before it is sent: as a device does, and without the disk's word."""
    store, note = Store(plan.place("store") / "vault.db"), os.urandom(_NOTE)
    durable, plain = [], []
    for _ in bounded(plan.count(1_000, 200), _SECONDS):
        started = time.perf_counter()
        assert store.claim("unsent", note)
        between = time.perf_counter()
        store.release("unsent", note)
        again = time.perf_counter()
        store.set_meta("unsent", note)
        plain.append((time.perf_counter() - again) * 1e6)
        durable.append((between - started) * 1e6)
        store.release("unsent", note)
    store.close()
    return [
        told("  note a change of 3 kB, on the disk", median(durable), "µs"),
        told("  the same, not on the disk yet", median(plain), "µs"),
    ]


def _log(signing: SigningKey, count: int) -> list[Row]:
    """A log of new memories: parse each entry, follow the memories, build the tree, compare."""
    leaves = [_put(number) for number in range(count + 1)]
    heads, frontier = [], Frontier()
    for leaf in leaves:
        frontier.append(leaf)
        if frontier.size >= count:
            head = Head(_ACCOUNT, frontier.size, frontier.root(), NO_HEAD, frontier.size)
            heads.append(sign_head(signing, head))
    position = Position(_ACCOUNT, signing.public, None, Frontier())
    position, taken = _verified(position, leaves[:count], heads[0])
    _, more = _verified(position, leaves[count:], heads[1])
    rate = count / taken
    return [
        at_least(f"verify a log of {count:,} entries (100,000 in 3 s)", rate, 33_334, "entries/s"),
        told("  one entry more on top of them", more * 1e6, "µs"),
    ]


_ACCOUNT = bytes(16)


def _put(number: int) -> bytes:
    return ENTRY.serialize(
        Entry(
            account_id=_ACCOUNT,
            kind=kinds.PUT,
            subject=number.to_bytes(16, "big"),
            version=1,
            digest=number.to_bytes(32, "big"),
            author=OWNER,
            time=number,
        )
    )


def _verified(position: Position, leaves: list[bytes], note: str) -> tuple[Position, float]:
    """The position after these leaves, and the seconds it took to verify them."""
    started = time.perf_counter()
    verifier = Verifier(position, lambda _: None, lambda _: None)
    for leaf in leaves:
        verifier.take(leaf)
    moved = verifier.finish(parse_head(note)).position
    taken = time.perf_counter() - started
    assert moved.size == position.size + len(leaves)
    return moved, taken
