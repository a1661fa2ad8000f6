"""The migration by which apps are known by their manifests."""

import hashlib

import pytest

from coffret_server.storage import Tx
from coffret_server.storage.open import migrate
from server.forge.app import App
from server.stand import Clock, Stand, serving
from server.storage.going_back import go_back

pytestmark = pytest.mark.asyncio


async def _kept(stand: Stand, app: App) -> bytes:
    async def read(tx: Tx) -> bytes:
        row = await tx.one("SELECT manifest_digest FROM apps WHERE app_id = ?", app.app.bytes)
        assert row is not None
        return bytes(row[0])

    kept: bytes = await stand.app.state.services.storage.query(read)
    return kept


async def test_an_app_of_before_can_ask_and_be_granted(database: str, clock: Clock) -> None:
    """What is kept of an app is made from its manifest; it goes on with the key that it has."""
    async with serving(database, clock) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
    await go_back(database, "0007")
    await migrate(database)
    async with serving(database, clock) as stand:
        assert await _kept(stand, app) == hashlib.sha256(app.manifest()).digest()
        await stand.log_in(owner)
        await stand.grant(owner, app)
