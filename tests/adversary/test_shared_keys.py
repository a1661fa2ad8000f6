"""An app that may read a memory has its key: in league with the server it could seal another text.

Whoever opens with a key could have sealed with it. What keeps the owner's words the owner's is the
digest in the log, which is under the owner's signature.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.arriving import check_records
from coffret_vault.envelope import seal
from coffret_vault.errors import TrustError
from coffret_vault.formats.memory import Record, serialize_payload
from coffret_vault.formats.padding import pad
from harness.folders import comparing_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.victim import Victim


def _forging(victim: Victim) -> tuple[str, Callable[[list[Any]], None]]:
    """A memory of the owner's, and an answer with the text that a reader of it would rather see."""
    memory = victim.owner.vault.remember("the owner's words")
    _, access = victim.world.granted(victim.owner, victim.world.app(), scopes=["read"])
    access.memories()
    known = access._shelf._readable[memory.id]
    key = known.key
    assert key is not None
    payload = msgspec.structs.replace(known.payload, content="the app's words")

    def rewrite(page: list[Any]) -> None:
        for item in page[2]:
            if item[1] is not None and memory.id.replace("-", "") in item[1][0].hex():
                plaintext = pad(serialize_payload(payload))
                item[1][1] = seal("memory", key, item[1][0], plaintext, random=os.urandom)

    return memory.id, rewrite


@pytest.mark.attack(5, 20)
def test_a_reader_cannot_rewrite_what_the_owner_wrote(victim: Victim) -> None:
    """Sealed under the memory's own key and header, it opens, and is refused all the same."""
    memory_id, forge = _forging(victim)
    victim.evil.rewrite["/sync"] = forge
    victim.refuses(TrustError, "not the one that the log names")
    assert victim.vault.get(memory_id).content == "the owner's words"


@pytest.mark.control(5, 20)
def test_a_reader_rewrites_it_where_opening_is_enough(victim: Victim) -> None:
    """Control: a client that compares no digest shows the app's words as the owner's."""
    memory_id, forge = _forging(victim)
    victim.evil.rewrite["/sync"] = forge

    def opening_is_enough(state: Any, wanted: Any, items: Any, rows: Any) -> Any:
        digests = {
            name: msgspec.structs.replace(named, digest=record.digest)
            for name, named in wanted.items()
            for _, record in items
            if isinstance(record, Record) and name[0].hex() in record.header.hex()
        }
        return check_records(state, {**wanted, **digests}, items, rows)

    with patch("coffret.flows.sync.check_records", opening_is_enough), comparing_nothing():
        victim.vault.sync()
        shown = victim.vault.get(memory_id)
    assert (shown.content, shown.author) == ("the app's words", "owner")
