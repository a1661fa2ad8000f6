"""Every type of object given to everything that reads another: nothing passes for what it is not.

The tables are in harness/kinds, where all keys are one key and all people one person;
tests/architecture/test_purposes.py sees to it that no type is missing from them.
"""

from __future__ import annotations

import os
from itertools import permutations, product
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret_server.problems import ProblemError
from coffret_server.signatures import Verifier
from coffret_vault.envelope import open_envelope, seal
from coffret_vault.envelope.signature import sign_statement, verify_statement
from coffret_vault.errors import CoffretError
from coffret_vault.log.judging import verify_evidence
from coffret_vault.primitives.symmetric import aes_gcm_open, aes_gcm_seal
from harness.kinds.carried import carried
from harness.kinds.sealed import headers, sealed
from harness.kinds.signed import signed, statements
from harness.kinds.stated import evidence, stated
from harness.kinds.table import KEY, ONE, joined

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.kinds.table import Table


@pytest.fixture
def everything(tmp_path: Path) -> Table:
    """All types, and all readers."""
    return joined(stated(), sealed(tmp_path), signed(), carried(tmp_path))


def accepted(read: Callable[[], object]) -> bool:
    """Whether something is read, and not refused in the one way to refuse."""
    try:
        read()
    except (CoffretError, ProblemError):
        return False
    return True


@pytest.mark.attack(29)
def test_nothing_is_read_as_what_it_is_not(everything: Table, show: Callable[[str], None]) -> None:
    """Each reader takes each object of its own type, and refuses all others, with our errors."""
    objects, readers = everything
    wrong, own = [], 0
    for (reads, reader), (name, data) in product(readers.items(), objects.items()):
        if accepted(lambda reader=reader, data=data: reader.read(data)) != (name in reader.takes):  # type: ignore[misc]
            wrong.append((reads, name))
        own += name in reader.takes
    pairs = len(objects) * len(readers)
    show(f"{len(objects)} types x {len(readers)} readers = {pairs} pairs: {own} of their own")
    assert wrong == []
    assert pairs > 7_000


@pytest.mark.attack(29)
def test_every_type_that_is_read_has_its_reader(everything: Table) -> None:
    """Each type but those that are only hashed or bound to is somebody's own."""
    taken = {name for reader in everything.readers.values() for name in reader.takes}
    unread = everything.objects.keys() - taken
    assert taken <= everything.objects.keys()
    assert {name for name in unread if not name.startswith(("header of", "info of"))} == {
        "code-check",
        "context of index",
        "context of index of a grant",
        "kek",
    }


def _opened() -> tuple[int, set[tuple[str, str]]]:
    """How many were tried, and which envelopes open as which others, their keys being one.

    Each is sealed with its purpose and its header, and opened with any purpose and any header.
    """
    found, tried, kinds = set(), 0, headers()
    purposes = {purpose for purpose, _ in kinds.values()}
    for name, (own, header) in kinds.items():
        envelope = seal(own, KEY, header, KEY.reveal(), random=os.urandom)
        for purpose, (other, (_, theirs)) in product(purposes, kinds.items()):
            tried += 1
            if accepted(lambda: open_envelope(purpose, KEY, theirs, envelope)):  # noqa: B023 - called at once
                found.add((f"{name} as {own}", f"{other} as {purpose}"))
    return tried, found


@pytest.mark.attack(29)
def test_purpose_and_header_each_keep_envelopes_apart(show: Callable[[str], None]) -> None:
    """Of all purposes and headers an envelope opens under its own two, though all keys are one."""
    tried, found = _opened()
    show(f"{tried} envelopes opened as others: {len(found)} of their own")
    own = {f"{name} as {purpose}" for name, (purpose, _) in headers().items()}
    assert found == {(name, name) for name in own}


@pytest.mark.control(29)
def test_without_purposes_and_headers_every_envelope_is_every_other() -> None:
    """Control: keys that are derived from a salt alone open any envelope as anything."""

    def derived(_purpose: str, key: object, salt: bytes, _header: bytes) -> bytes:
        assert key is KEY
        return (salt * 3)[:76]

    def sealed_bare(key: bytes, nonce: bytes, text: bytes, _header: bytes) -> bytes:
        return aes_gcm_seal(key, nonce, text, b"")

    def opened_bare(key: bytes, nonce: bytes, text: bytes, _header: bytes) -> bytes:
        return aes_gcm_open(key, nonce, text, b"")

    with (
        patch("coffret_vault.envelope.seal._derive", derived),
        patch("coffret_vault.envelope.seal.aes_gcm_seal", sealed_bare),
        patch("coffret_vault.envelope.seal.aes_gcm_open", opened_bare),
    ):
        tried, found = _opened()
    assert len(found) == tried


def _verified(kinds: dict[str, bytes]) -> tuple[int, set[tuple[str, str]]]:
    """How many were tried, and which signatures verify as which others, over the same bytes."""
    public, found, tried = ONE.signing.public, set(), 0
    server = Verifier(public)
    for one, other, message in product(kinds, kinds, kinds.values()):
        signature = sign_statement(ONE.signing, one, message)
        tried += 2
        if accepted(lambda: verify_statement(public, other, message, signature)):  # noqa: B023 - called at once
            found.add((one, other))
        if accepted(lambda: server.verify_kind(other, signature, message)):  # noqa: B023 - the same
            found.add((f"server: {one}", other))
    return tried, found


@pytest.mark.attack(29)
def test_a_signature_is_of_one_kind_whatever_it_is_over(show: Callable[[str], None]) -> None:
    """Over the same bytes, of whichever type, no kind of signature verifies as another."""
    kinds = statements()
    tried, found = _verified(kinds)
    show(f"{tried} signatures verified as others: {len(found)} of their own")
    assert found == {(before + kind, kind) for kind in kinds for before in ("", "server: ")}


@pytest.mark.control(29)
def test_without_kinds_every_signature_is_every_other() -> None:
    """Control: signatures over the bare bytes verify as any kind, for a device."""
    kinds = statements()
    with patch("coffret_vault.envelope.signature.pae", lambda _, message: message):
        _, found = _verified(kinds)
    assert set(product(kinds, kinds)) <= found


@pytest.mark.attack(29)
def test_evidence_of_one_kind_is_none_of_another() -> None:
    """A file of evidence with the name of another kind in it shows nothing."""
    files = evidence()
    assert len(files) == 5
    for kind, other in permutations(files, 2):
        assert files[kind].count(f'"{kind}"'.encode()) == 1
        renamed = files[kind].replace(f'"{kind}"'.encode(), f'"{other}"'.encode())
        with pytest.raises(CoffretError):
            verify_evidence(renamed)
