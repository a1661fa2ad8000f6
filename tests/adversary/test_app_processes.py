"""Processes of one app that a server shows different things at the same time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.appstate import AppState
from coffret.flows.ownersfile import Met, OwnersFile
from coffret_vault.envelope.signature import signed_head
from coffret_vault.errors import OwnerKeyChangedError, TrustError
from coffret_vault.log.judging import verify_evidence
from harness.reading import REAL, Reader
from harness.world import ask
from vectors.verifier.tree import many_proof

if TYPE_CHECKING:
    from coffret_vault.formats.checkpoint import SignedHead
    from harness.reading import Page
    from harness.world import World


@pytest.mark.attack(19)
def test_two_that_are_shown_two_logs_at_once_see_it(world: World) -> None:
    """The one that was not quick enough to keep its head does not believe what came with it."""
    reader = Reader(world)
    reader.forget_head()
    key, kept = reader.owner.vault._state.keys.identity.signing, OwnersFile.keep_head

    def quicker(owners: OwnersFile, username: str, signed: SignedHead) -> None:
        other = msgspec.structs.replace(signed.head, root=bytes(32))
        kept(owners, username, signed_head(key, other))
        kept(owners, username, signed)

    with (
        patch.object(OwnersFile, "keep_head", quicker),
        pytest.raises(TrustError, match="two different heads") as caught,
    ):
        reader.read()
    assert caught.value.evidence
    assert verify_evidence(Path(caught.value.evidence).read_bytes()).verdict.proven


@pytest.mark.attack(25)
@pytest.mark.parametrize("by_words", [False, True])
def test_two_that_meet_an_owner_by_two_keys_at_once_see_it(world: World, *, by_words: bool) -> None:
    """What the quicker one keeps stays, and the other asks nobody; unless it has the words."""
    owner, app = world.owner(), world.app()
    state, meet, forged = app._state, OwnersFile.meet, Met(os.urandom(16), os.urandom(32))
    other = AppState(state.path, state.file, state.ambient).owners

    def quicker(mine: OwnersFile, username: str, *how: Any, **sure: Any) -> None:
        meet(other, username, forged, None)
        meet(mine, username, *how, **sure)

    with patch.object(OwnersFile, "meet", quicker):
        if by_words:
            ask(app, owner, owner_words=owner.vault.words)
            assert other.met(owner.username) != forged
            return
        with pytest.raises(OwnerKeyChangedError):
            ask(app, owner)
    assert other.met(owner.username) == forged
    assert app.requests() == []
    ask(app, owner, owner_words=owner.vault.words)


def test_one_that_was_shown_more_meanwhile_holds_up_nobody(world: World) -> None:
    """What another process kept in between is asked for again, and goes on from there."""
    reader = Reader(world)
    state = reader.access._state
    reader.forget_head()
    other = world.closing(type(reader.app).load(state.path, **world.around()))
    access, once = other.access(reader.app.requests()[-1]), [1]
    kept = OwnersFile.keep_head

    def quicker(owners: OwnersFile, username: str, signed: SignedHead) -> None:
        if once:
            once.clear()
            reader.owner.vault.remember("more")
            access.memories()
        kept(owners, username, signed)

    with patch.object(OwnersFile, "keep_head", quicker):
        assert reader.read() == [REAL]


@pytest.mark.attack(18)
def test_what_one_read_was_shown_is_not_taken_back_in_another_that_goes_on(world: World) -> None:
    """Of two reads at the same time, each goes by what the other has seen, whichever ends last."""
    reader = Reader(world)
    pages: list[Page] = []
    reader.evil.rewrite[reader.path] = pages.append
    reader.read()
    (item,) = pages[0][1]

    def older(page: Page) -> None:
        page[1][:] = [item]
        leaves = [leaf for _, leaf in reader.owner.vault._state.store.leaves()]
        page[4] = many_proof({item[5]}, leaves)

    def meanwhile(_page: Page) -> None:
        reader.evil.rewrite.clear()
        reader.owner.vault.update(reader.memory.id, content="newer")
        assert reader.read() == ["newer"]
        reader.evil.rewrite[reader.path] = older

    reader.evil.rewrite[reader.path] = meanwhile
    with pytest.raises(TrustError, match="older version"):
        reader.read()
