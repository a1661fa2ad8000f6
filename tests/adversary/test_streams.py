"""Streams cut, reordered, spliced and forged at their end: the sealed index."""

from __future__ import annotations

import os
from itertools import permutations
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag

from coffret_vault.errors import IndexDamagedError, OpenError
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.stream import open_stream, seal_stream
from coffret_vault.search.container import unpack
from coffret_vault.store.snapshot import load_snapshot, save_snapshot
from harness import weak
from harness.flipping import flipped
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import Owner, World

KEY = SecretBytes(b"k" * 32)
CONTEXT = b"context"
HEADER = 56
CHUNK = (16 << 10) + 16
TEXTS = [bytes([letter]) * (16 << 10) for letter in b"abc"] + [b"d" * 1_000]


def _parts() -> list[bytes]:
    """The header of a sealed stream, and its four chunks."""
    sealed = seal_stream(KEY, CONTEXT, b"".join(TEXTS))
    chunks = sealed[HEADER:]
    return [sealed[:HEADER], *(chunks[at : at + CHUNK] for at in range(0, len(chunks), CHUNK))]


def _refused(sealed: bytes) -> None:
    with pytest.raises(OpenError):
        open_stream(KEY, CONTEXT, sealed)


@pytest.mark.attack(31)
def test_chunks_stand_in_one_order() -> None:
    """Every other order of four chunks, and every selection of fewer, is refused."""
    header, *chunks = _parts()
    assert open_stream(KEY, CONTEXT, header + b"".join(chunks)) == b"".join(TEXTS)
    tried = 0
    for size in range(len(chunks) + 1):
        for order in permutations(chunks, size):
            if list(order) != chunks:
                _refused(header + b"".join(order))
                tried += 1
    assert tried == 64


@pytest.mark.attack(31)
def test_no_beginning_of_a_stream_is_a_stream() -> None:
    """Cut at any length, or with more behind it, it is refused."""
    sealed = b"".join(_parts())
    for size in range(len(sealed)):
        _refused(sealed[:size])
    _refused(sealed + b"\0")
    _refused(sealed + sealed[HEADER:])


@pytest.mark.attack(31)
def test_two_streams_cannot_be_spliced() -> None:
    """A chunk of another stream under the same key and context, in the same place, is refused."""
    mine, theirs = _parts(), _parts()
    for at in range(len(mine)):
        _refused(b"".join([*mine[:at], theirs[at], *mine[at + 1 :]]))


@pytest.mark.control(31)
def test_chunks_without_places_can_be_moved() -> None:
    """Control: chunks that are sealed one by one open in any order, and without their end."""
    first, second, third, _ = weak.seal_chunks(KEY.reveal(), TEXTS)
    assert weak.open_chunks(KEY.reveal(), [second, first]) == [TEXTS[1], TEXTS[0]]
    assert weak.open_chunks(KEY.reveal(), [first, second, third]) == TEXTS[:3]


@pytest.mark.attack(31)
def test_an_index_is_of_its_own_log(tmp_path: Path) -> None:
    """A snapshot is of one account, generation and size of the log: another's does not load."""
    path, keyring = tmp_path / "index.sealed", Keyring(b"a" * 16, 1, KEY)
    save_snapshot(path, keyring, 7, b"the index")
    data = path.read_bytes()
    path.write_bytes((8).to_bytes(8) + data[8:])
    with pytest.raises(IndexDamagedError):
        load_snapshot(path, keyring)
    path.write_bytes(data)
    for other in (Keyring(b"b" * 16, 1, KEY), Keyring(b"a" * 16, 2, KEY)):
        with pytest.raises(IndexDamagedError):
            load_snapshot(path, other)


@pytest.mark.attack(32)
def test_nothing_is_given_out_before_the_end_was_verified(tmp_path: Path) -> None:
    """With a bit of the last chunk changed, the first ones are not seen by anybody."""
    path, keyring = tmp_path / "index.sealed", Keyring(b"a" * 16, 1, KEY)
    save_snapshot(path, keyring, 7, os.urandom(100_000))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexDamagedError):
        load_snapshot(path, keyring)
    assert [item.name for item in tmp_path.iterdir()] == ["index.sealed"]


@pytest.mark.control(32)
def test_a_reader_that_does_not_wait_has_the_forged_stream_s_beginning() -> None:
    """Control: whoever takes chunks as they come has those before the forged one already."""
    sealed = bytearray(b"".join(_parts()))
    sealed[-1] ^= 1
    decryptor = Cobblestone256Decryptor(KEY.reveal(), CONTEXT)
    taken = decryptor.update(bytes(sealed))
    with pytest.raises(InvalidTag):
        decryptor.finalize()
    assert taken == b"".join(TEXTS[:3])


@pytest.mark.attack(31, 32)
@pytest.mark.parametrize("cut", [True, False])
def test_a_forged_index_is_never_searched(world: World, *, cut: bool) -> None:
    """A device whose index was cut or forged builds it anew, and finds what there is."""
    owner = world.owner()
    for number in range(12):
        owner.vault.remember(f"memory number {number} " * 40)
    expected, _ = _found(owner)
    path = owner.vault.folder / "index.sealed"
    data = path.read_bytes()
    assert _found(owner) == (expected, True)
    path.write_bytes(data[:-CHUNK] if cut else flipped(data))
    assert _found(owner) == (expected, False)


def _found(owner: Owner) -> tuple[list[str], bool]:
    """What a search finds after the vault was locked, and whether an index was read for it."""
    owner.vault.lock()
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    with patch("coffret_vault.search.snapshot.unpack", wraps=unpack) as parsed:
        hits = [hit.memory.id for hit in owner.vault.search("memory number 7")]
    return hits, parsed.called
