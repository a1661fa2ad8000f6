"""A server that lies to one device about which memories a grant holds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows import access as access_flows
from coffret.flows.http import unb64
from coffret_vault.errors import OpenError
from coffret_vault.formats.layout import parse_id
from coffret_vault.records.seal import open_version, wrap_memory_key
from harness.network import Evil
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Access, App, Vault
    from coffret_vault.primitives.secret import SecretBytes
    from harness.world import World

BEFORE, AFTER = "what was shared", "what came after"


class Liar:
    """An owner's device that talks to a lying server, and another device, which does not."""

    def __init__(self, world: World) -> None:
        """Begin with a memory that some app is to be given."""
        self.world, self.evil = world, Evil()
        self.owner = world.owner()
        self.device: Vault = world.device(self.owner, transport=self.evil)
        self.memory: str = self.device.remember(BEFORE).id
        self.owner.vault.sync()  # what an owner is shown with a request is what their device has

    def grant(self, app: App, *, auto_accept: bool = False, **asking: Any) -> tuple[str, Access]:
        """A grant, approved on the device that is lied to."""
        request_id = ask(app, self.owner, **asking)
        self.device.requests(None)
        words = app.words
        grant_id = self.device.approve(request_id, words=words, auto_accept=auto_accept)
        return grant_id, app.access(request_id)

    def other_app(self) -> App:
        """A second app."""
        app: App = self.world.app("B", "https://b.example")
        return app

    def list_for(self, grant_id: str, change: Callable[[list[Any]], object]) -> None:
        """Change the list of what a grant holds, and have the device read it again."""

        def counted(grants: list[dict[str, Any]]) -> None:
            for item in grants:
                if item["grant_id"] == grant_id:
                    item["wraps_changed"] = -2

        self.evil.rewrite["/grants"] = counted
        self.evil.rewrite[f"/grants/{grant_id}/wraps"] = lambda page: change(page[1])
        self.owner.vault.sync()
        self.owner.vault.remember("by another device")
        self.device.sync()

    def slip_in(self, grant_id: str, mine: Access, theirs: Access) -> None:
        """List the memory's key, which some app has, wrapped under another grant by its app."""
        theirs.refresh()
        known = theirs._shelf.one(self.memory)
        assert known.key is not None
        wrapping = access_flows._wrapping(mine._held)
        wrap = wrap_memory_key(known.header, known.key, wrapping, random=os.urandom)
        item = [parse_id(self.memory), known.header.key_number, wrap]
        self.list_for(grant_id, lambda items: items.append(item))

    def opened(self, key: SecretBytes | None) -> set[str]:
        """What of all that the server ever kept opens with this key."""
        assert key is not None
        tables = {table["table"]: table for table in self.owner.vault.server_view()["tables"]}
        at = tables["entries"]["columns"].index("record")
        found = set()
        for row in tables["entries"]["rows"]:
            if row[at] is not None:
                header, envelope, *_ = msgspec.msgpack.decode(unb64(row[at]))
                try:
                    found.add(open_version(header, envelope, key).content)
                except OpenError:
                    continue
        return found


def emptied(items: list[Any]) -> None:
    """The server shows nothing of what a grant holds."""
    items.clear()
