"""Somebody puts back what a device noted down for an approval that was finished long ago."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from adversary.test_handover import whatever_stands
from coffret import Vault
from coffret.flows import grantfeed, handover
from coffret.flows.grantfeed import ACTIVATING, sharing_name
from coffret_vault.errors import ConflictError, NetworkError, StoreAlteredError
from coffret_vault.formats.layout import parse_id
from harness.network import Losing
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from coffret import App
    from harness.world import World


class Finished:
    """A grant whose approval was interrupted once, and out of which a memory was taken since."""

    def __init__(self, world: World) -> None:
        """The device is closed; its note of then lies with somebody."""
        self.world, self.owner = world, world.owner()
        vault = self.owner.vault
        self.kept, self.gone = vault.remember("kept").id, vault.remember("taken out").id
        self.app: App = world.app()
        self.request_id = ask(self.app, self.owner, scopes=["read"])
        vault.requests()
        interrupted = patch("coffret.flows.approval.hand_over", side_effect=NetworkError)
        with interrupted, pytest.raises(NetworkError):
            vault.approve(self.request_id, words=self.app.words)
        (grant,) = vault.grants()
        self.grant_id = grant.grant_id
        self.name = sharing_name(parse_id(self.grant_id))
        self.note = vault._state.store.meta(self.name) or b""
        vault.approve(self.request_id)
        vault.narrow(self.grant_id, [self.gone])
        vault.close()

    def planted(self) -> Vault:
        """The device after the note was put back, and one row made wrong, and a sync."""
        folder = self.owner.vault.folder
        with closing(sqlite3.connect(folder / "store.db")) as database, database:
            database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (self.name, self.note))
            database.execute("UPDATE wraps SET key_number = 9")
        vault: Vault = self.world.closing(Vault.open(folder, **self.world.around()))
        vault.unlock(PASSPHRASE, self.owner.secret_key)
        with pytest.raises(StoreAlteredError, match="read again"):
            vault.sync()
        return vault

    def read(self) -> list[str]:
        """What the app reads."""
        return [memory.content for memory in self.app.access(self.request_id).memories()]


@pytest.mark.attack(49)
def test_an_approval_that_is_over_is_not_gone_on_with(world: World) -> None:
    """A grant that this device knew is not to be approved again, whatever note there is."""
    finished = Finished(world)
    assert finished.read() == ["kept"]
    vault = finished.planted()
    assert [grant.state for grant in vault.grants()] == ["active"]
    with pytest.raises(ConflictError, match="approved already"):
        vault.approve(finished.request_id)
    assert finished.read() == ["kept"]


@pytest.mark.control(49)
def test_a_device_that_goes_by_its_note_hands_over_what_was_taken_out(world: World) -> None:
    """Control: the note is this vault's own, and says nothing of what came after it."""
    finished = Finished(world)
    with patch.object(grantfeed, "_began", lambda *_: ACTIVATING):
        vault = finished.planted()
    with patch.object(handover, "_to_give", whatever_stands):
        vault.approve(finished.request_id)
    assert sorted(finished.read()) == ["kept", "taken out"]


@pytest.mark.attack(49)
def test_what_left_a_grant_is_not_handed_over_by_an_earlier_note(world: World) -> None:
    """Between two tries, the list of before the first says that nothing was sent: the seals tell.

    The device is interrupted twice, and a memory is taken out on another one meanwhile.
    """
    network = Losing()
    owner = world.owner(transport=network)
    vault = owner.vault
    vault.remember("kept")
    gone = vault.remember("taken out").id
    app = world.app()
    request_id = ask(app, owner, scopes=["read"])
    vault.requests()
    interrupted = patch("coffret.flows.approval.hand_over", side_effect=NetworkError)
    with interrupted, pytest.raises(NetworkError):
        vault.approve(request_id, words=app.words)
    (grant,) = vault.grants()
    name = sharing_name(parse_id(grant.grant_id))
    note = vault._state.store.meta(name) or b""
    network.lose, network.reaching = (lambda sent: sent.url.path.endswith("/activate")), False
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        vault.approve(request_id)
    network.lose = lambda _: False
    world.device(owner).narrow(grant.grant_id, [gone])
    vault.close()
    with closing(sqlite3.connect(vault.folder / "store.db")) as database, database:
        database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, note))
    again: Vault = world.closing(Vault.open(vault.folder, **world.around()))
    again.unlock(PASSPHRASE, owner.secret_key)
    again.approve(request_id)
    assert [memory.content for memory in app.access(request_id).memories()] == ["kept"]
