"""Proposals of one app that a server shows as another's; and acceptances that come late.

The part of a record that names the grant is in no log: docs/spec/4-records.md, Memory keys.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from adversary.test_what_grants_hold import contents, liar
from coffret.flows import access as access_flows
from coffret.flows.append import append
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import KEK, parse_header
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.seal import wrap_memory_key
from harness.holding import AFTER, BEFORE, Liar

if TYPE_CHECKING:
    from coffret import Access
    from coffret_vault.primitives.secret import SecretBytes

__all__ = ["liar"]


def _moved(liar: Liar, memory_id: str, access: Access, key: SecretBytes) -> list[list[Any]]:
    """Have the server show an app's versions of a memory so; gives the wraps, once they are."""
    wrapping, wraps = access_flows._wrapping(access._held), list[list[Any]]()

    def move(page: list[Any]) -> None:
        for _, record in page[2]:
            header = record and parse_header(record[0])
            if header and header.memory_id == parse_id(memory_id) and header.author.app_id:
                wrap = wrap_memory_key(header, key, wrapping, random=os.urandom)
                record[2:] = [KEK.encode(wrapping.name), wrap]
                wraps.append([header.memory_id, header.key_number, wrap])

    liar.evil.rewrite["/sync"] = move
    return wraps


@pytest.mark.attack(2, 38)
def test_what_one_app_made_is_held_by_no_grant_of_another(liar: Liar) -> None:
    """B wraps some key for what A proposed: the owner gives it none of those that follow."""
    liar.device.remember("public", tags=["t"])
    _, a = liar.grant(liar.world.app("A"), scopes=["create"])
    mine, b = liar.grant(liar.other_app(), scopes=["create", "read"], tags=["t"])
    made = a.remember("made by A").id
    wraps = _moved(liar, made, b, generate_key(os.urandom))
    liar.list_for(mine, lambda items: items.extend(wraps))
    liar.evil.rewrite.clear()
    assert wraps
    liar.device.accept(made)
    liar.device.update(made, content=AFTER)
    assert contents(b) == {"public"}


@pytest.mark.attack(34, 39)
def test_what_one_app_wrote_is_not_accepted_in_the_trust_of_another(liar: Liar) -> None:
    """B's writings need no review, and B has the memory's key; what A wrote waits all the same."""
    _, a = liar.grant(liar.world.app("A"), scopes=["read", "update"])
    _, b = liar.grant(liar.other_app(), scopes=["read", "update"], auto_accept=True)
    b.refresh()
    key = b._shelf.one(liar.memory).key
    assert key is not None
    a.refresh()
    a.update(liar.memory, content=AFTER)
    wraps = _moved(liar, liar.memory, b, key)
    liar.device.sync()
    assert wraps
    assert len(liar.device.pending()) == 1
    assert liar.device.get(liar.memory).content == BEFORE


@pytest.mark.attack(2, 37)
def test_what_is_updated_under_one_grant_is_given_to_no_other(liar: Liar) -> None:
    """The device that accepts gives a key back for what an app made, not for what it changed."""
    liar.device.remember("public", tags=["t"])
    app = liar.world.app("A")
    _, a = liar.grant(app, scopes=["read", "update"], memories=[liar.memory])
    _, b = liar.grant(app, scopes=["read", "create"], tags=["t"])
    a.refresh()
    key = a._shelf.one(liar.memory).key
    assert key is not None
    a.update(liar.memory, content="by A")
    wraps = _moved(liar, liar.memory, b, key)
    liar.device.sync()
    assert wraps
    liar.evil.rewrite.clear()
    liar.device.accept(liar.memory)
    assert contents(b) == {"public"}


@pytest.mark.attack(39)
def test_nothing_is_accepted_unseen_once_the_grant_was_revoked(liar: Liar) -> None:
    """Also where that is read only while the acceptance is on its way."""
    device, other = liar.device, liar.owner.vault
    grant_id, access = liar.grant(liar.world.app("A"), scopes=["create"], auto_accept=True)
    other.sync()
    access.remember("by A")
    revoked: list[bool] = []

    def late(*given: Any) -> Any:
        if not revoked:
            revoked.append(True)
            other.revoke(grant_id)
        return (yield from append(*given))

    with patch("coffret.flows.unseen.append", late):
        device.sync()
    assert revoked
    assert len(device.pending()) == 1
