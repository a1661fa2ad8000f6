"""Two accounts in which everything has the same ids: neither sees or touches the other's.

Devices choose the ids of memories, keyslots and key changes, and every log begins at 0. Whoever
means harm takes those of somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server import forge
from server.changes import Change, make, stage, wraps_of
from server.leaving import dump, erased, leave
from server.stand import Stand, place
from server.test_accounts import keyslots_body, put_keyslots
from server.test_app_writing import judge, wrap_of
from server.test_memories import change
from server.test_settings import put, settling

if TYPE_CHECKING:
    import uuid

pytestmark = pytest.mark.asyncio
IDS = [forge.new_id() for _ in range(7)]
CHANGE, SLOT = forge.new_id(), forge.new_id()
Rows = dict[str, list[tuple[Any, ...]]]


class Twin:
    """An owner, an app of theirs, and the grant between them."""

    def __init__(self, name: str, like: Twin | None = None) -> None:
        self.owner, self.app = forge.Owner(name), forge.App()
        self.grant = forge.new_id()
        self.request = b""
        for slot, other in zip(self.owner.slots, like.owner.slots if like else (), strict=False):
            slot.slot = other.slot

    async def join(self, stand: Stand) -> None:
        """Make the account and the app."""
        first = self.owner.first_append()
        answer = await stand.post("/accounts", self.owner.creation(first))
        assert answer.status_code == 201, answer.text
        self.owner.commit(first)
        for _ in range(2):
            await stand.log_in(self.owner)
        self.app = await stand.new_app()

    async def live(self, stand: Stand) -> None:
        """Use every call that changes something, once at least."""
        owner, app, ids = self.owner, self.app, IDS
        for memory in ids[:3]:
            await stand.remember(owner, memory=memory)
        again = owner.put(owner.memory(ids[0], 2, tags=("travel", owner.username)))
        assert (await change(stand, owner, "PUT", ids[0], again, '"1"')).is_success
        path, match = f"/memory-blobs/{ids[0]}", {"If-Match": '"1"'}
        repeated = await stand.send("PUT", path, again, owner.token, headers=match)
        assert repeated.is_success
        gone = owner.memory(ids[3])
        assert (await stand.append(owner, owner.put(gone))).is_success
        deletion = owner.append(owner.entry("delete", ids[3], 2, forge.digest_of(gone)))
        assert (await change(stand, owner, "DELETE", ids[3], deletion, '"1"')).is_success
        self.grant = await stand.grant(owner, app)
        await stand.share(owner, self.grant, *ids[:3])
        await self.settle(stand, 1)
        made = [app.memory(owner.account, self.grant, memory) for memory in ids[4:]]
        made.append(app.memory(owner.account, self.grant, ids[0], 3))
        assert (await stand.write(app, self.grant, app.put(owner.account, *made), owner)).is_success
        accepted = await judge(stand, owner, "accept", made[0], accepts=[wrap_of(made[0])])
        assert accepted.is_success
        unwraps = [[self.grant, ids[2]]]
        assert (await judge(stand, owner, "reject", made[1], unwraps=unwraps)).is_success
        await self._change_passphrase(stand)
        await self._pause_and_resume(stand)
        assert (await self.stage(stand, self.wraps()[:1])).is_success
        self.request = await stand.ask(app, owner)

    async def settle(self, stand: Stand, version: int) -> None:
        """Settle something for the vault."""
        append = self.owner.append(*settling(self.owner, version))
        assert (await put(stand, self.owner, append)).status_code == 204
        self.owner.commit(append)

    async def _change_passphrase(self, stand: Stand) -> None:
        owner, (old, recovery) = self.owner, self.owner.slots
        new = forge.Keyslot(owner.account, slot=SLOT)
        leaves = [
            owner.entry("keyslot", new.slot, 1, forge.hash_of(new.raw())),
            owner.entry("keyslot-remove", old.slot, 1, forge.hash_of(old.raw())),
        ]
        body, append = keyslots_body(owner, [new, recovery], leaves)
        assert (await put_keyslots(stand, owner, body)).status_code == 204
        owner.commit(append)
        owner.slots = [new, recovery]

    async def _pause_and_resume(self, stand: Stand) -> None:
        owner = self.owner
        for version, state in ((2, "paused"), (3, "active")):
            tree, head = owner.tree.copy(), owner.head
            assert (await stand.set_state(owner, self.grant, state, version)).is_success
            now = owner.tree, owner.head
            owner.tree, owner.head = tree, head  # the answer was lost, and it is sent again
            assert (await stand.set_state(owner, self.grant, state, version)).is_success
            owner.tree, owner.head = now

    def wraps(self) -> list[tuple[uuid.UUID, int, bytes]]:
        """New wraps of all memory keys that are the owner's."""
        return [(memory, 1, forge.wrapped()) for memory in (*IDS[:3], IDS[4])]

    async def stage(self, stand: Stand, wraps: list[tuple[uuid.UUID, int, bytes]]) -> Any:
        """Stage some of them."""
        begun = Change(self.owner)
        begun.id = CHANGE
        return await stage(stand, begun, *wraps)

    async def end(self, stand: Stand) -> None:
        """Change keys, delete what is there, and leave."""
        owner = self.owner
        begun = Change(owner)
        begun.id, begun.grants = CHANGE, {self.grant: (4, owner.statements[self.grant])}
        assert (await self.stage(stand, self.wraps())).is_success
        assert (await make(stand, begun)).status_code == 204
        assert len(await wraps_of(stand, owner)) == 5
        begun.after.commit(begun.append())
        self.owner = owner = begun.after
        assert (await leave(stand, owner)).status_code == 204
        await erased(stand, owner)

    async def answers(self, stand: Stand) -> dict[str, bytes]:
        """All that the two can read."""
        grant, asked = f"/grants/{self.grant}", "/access-requests"
        paths = ["/sync", "/sync?from=5&limit=3", "/log", "/log?from=5&limit=3", "/tags", "/grants"]
        paths += [f"/memory-blobs/{memory}" for memory in IDS]
        paths += [f"/memory-blobs/{memory}/versions" for memory in IDS]
        paths += [f"/memory-blobs/{IDS[0]}?version={number}" for number in (1, 2, 3, 4)]
        paths += [f"/memory-blobs{query}" for query in ("", "?tags=travel", "?importance=0.1")]
        paths += ["/accounts/me", "/accounts/me/memory-keys", "/accounts/me/successions"]
        paths += ["/log/proof?index=4&size=9", "/log/proof?first=4&size=9", "/auth/sessions"]
        paths += ["/accounts/me/server-view", f"/accounts/me/server-view?after={place(1)}"]
        paths += [grant, f"{grant}/wraps", asked]
        await stand.get(f"{grant}/records", self.app.token)  # from now on it was read
        found = {path: await stand.get(path, self.owner.token) for path in paths}
        paths = ["/grants", grant, f"{grant}/head", f"{grant}/records", asked]
        found |= {f"app {path}": await stand.get(path, self.app.token) for path in paths}
        return {path: each.content if each.is_success else b"" for path, each in found.items()}

    async def rows(self, stand: Stand) -> Rows:
        """Every row of the account."""
        account = self.owner.account.bytes
        tables = (await dump(stand)).items()
        return {name: [row for row in rows if account in row] for name, rows in tables}


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("leaving", [0, 1])
async def test_accounts_with_the_same_ids_keep_apart(
    stand: Stand, *, lower: bool, leaving: int
) -> None:
    """What one account does, and is, changes no row and no answer of another with the same ids.

    Nor does it that one of them leaves, whichever came first.
    """
    first = Twin("ana")
    second = Twin("bob", first)
    while (second.owner.account < first.owner.account) != lower:
        second = Twin("bob", first)
    await first.join(stand)
    await first.live(stand)
    answers, rows = await first.answers(stand), await first.rows(stand)
    await second.join(stand)
    await second.live(stand)
    await second.settle(stand, 2)  # its log is longer now
    assert await first.rows(stand) == rows
    assert await first.answers(stand) == answers
    gone, kept = (first, second)[leaving], (second, first)[leaving]
    answers, rows = await kept.answers(stand), await kept.rows(stand)
    await gone.end(stand)
    assert await kept.rows(stand) == rows
    assert await kept.answers(stand) == answers
