"""An app that reads one memory through a hostile server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import Author
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.memory import HEADER, record_digest
from coffret_vault.records.memory import Fields
from coffret_vault.records.seal import Stamp, seal_version
from harness.network import Evil

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import App
    from harness.world import World

Page = list[Any]
REAL, FORGED = "what the owner wrote", "what an app in league made up"


class Reader:
    """An app that reads one memory through a hostile server; another app holds the same key."""

    def __init__(self, world: World) -> None:
        """The app has read what there is."""
        self.world, self.owner, self.evil = world, world.owner(), Evil()
        self.memory = self.owner.vault.remember(REAL, tags=["t"])
        self.app: App = world.app("Reader", transport=self.evil)
        self.grant_id, self.access = world.granted(self.owner, self.app, tags={"t"})
        self.path = f"/grants/{self.grant_id}/records"
        assert self.read() == [REAL]

    def read(self) -> list[str]:
        """What the app is shown."""
        return sorted(memory.content for memory in self.access.memories())

    def forget_head(self) -> None:
        """Let the app have seen nothing of the owner's log."""
        owner = self.owner.vault._state
        self.access._state.owners.forget_head(self.owner.username, owner.account_id)

    def refuses(self, change: Callable[[Page], Any], match: str | None = None) -> TrustError:
        """With its page changed so, the app reads nothing; then it reads as before."""
        self.evil.rewrite[self.path] = change
        with pytest.raises(TrustError, match=match) as raised:
            self.access.memories()
        self.evil.rewrite.clear()
        return raised.value

    def forged(self, item: list[Any], version: int = 0, *, own: bool = False) -> list[Any]:
        """This item's memory, sealed anew by somebody who holds its key, and an app's own leaf."""
        header = HEADER.parse(item[0])
        app = Author(self.access._state.manifest.app_id)
        stamp = Stamp(
            account_id=header.account_id,
            memory_id=header.memory_id,
            version=version or header.version,
            key_number=header.key_number,
            author=app if own else header.author,
            created=header.created,
            updated=header.updated,
        )
        key = self.access._shelf.one(self.memory.id).key
        assert key is not None
        raw, envelope = seal_version(stamp, Fields(content=FORGED), key, random=os.urandom)
        digest = record_digest(raw, envelope)
        author = stamp.author
        entry = Entry(
            header.account_id, kinds.PUT, header.memory_id, stamp.version, digest, author, 1
        )
        return [raw, envelope, *item[2:6], ENTRY.serialize(entry)]
