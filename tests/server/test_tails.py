"""What apps write behind the owner's newest head: how much is taken, and what covers it."""

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from coffret_server.data import writing
from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio
FULL = (429, "quota-exceeded")


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    """Three entries are as many as are taken."""
    with patch.object(writing, "TAIL_LIMIT", 3):
        yield


async def _write(stand: Stand, app: forge.App, grant: Any, owner: forge.Owner, count: int) -> Any:
    """The answer to so many new memories of an app's."""
    records = [app.memory(owner.account, grant) for _ in range(count)]
    return await stand.write(app, grant, app.put(owner.account, *records), owner)


async def test_a_tail_grows_so_far_and_no_further(stand: Stand) -> None:
    """All apps together fill it; what is refused leaves nothing, and says when to come again."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app("Other")
    grant, elsewhere = await stand.grant(owner, app), await stand.grant(owner, other)
    body = app.put(owner.account, *(app.memory(owner.account, grant) for _ in range(2)))
    assert (await stand.write(app, grant, body, owner)).status_code == 201
    size = owner.tree.size
    for _ in range(2):
        refused = await _write(stand, other, elsewhere, owner, 2)
        assert code(refused) == FULL
        assert int(refused.headers["retry-after"]) > 60
    assert (await stand.sync(owner))[0] == size
    assert (await _write(stand, other, elsewhere, owner, 1)).status_code == 201
    assert code(await _write(stand, app, grant, owner, 1)) == FULL
    again = await stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)
    assert msgspec.msgpack.decode(again.content)["indexes"] == [size - 2, size - 1]


async def test_a_proposed_deletion_is_of_the_tail_as_well(stand: Stand) -> None:
    """What has no record is an entry too."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    record = owner.memory()
    memory = forge.identity_of(record[0])[0]
    await stand.append(owner, owner.put(record))
    await stand.share(owner, grant, memory)
    assert (await _write(stand, app, grant, owner, 3)).status_code == 201
    leaf = app.leaf(owner.account, "delete", memory, 2, forge.digest_of(record))
    assert code(await stand.write(app, grant, {"leaves": [leaf]}, owner)) == FULL
    await stand.remember(owner)
    assert (await stand.write(app, grant, {"leaves": [leaf]}, owner)).status_code == 201


async def test_of_writings_at_once_as_many_are_taken_as_fit(stand: Stand) -> None:
    """The bound is looked at where the log is locked."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    size = owner.tree.size
    writings = [_write(stand, app, grant, owner, 1) for _ in range(12)]
    answers = await asyncio.gather(*writings)
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 9
    assert (await stand.sync(owner))[0] == size + 3


async def test_the_owner_is_never_refused_for_what_apps_wrote(stand: Stand) -> None:
    """Behind a full tail the owner writes, pauses and revokes; each of it makes room."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    await _write(stand, app, grant, owner, 3)
    await stand.remember(owner)
    await _write(stand, app, grant, owner, 3)
    assert (await stand.set_state(owner, grant, "paused", 2)).is_success
    assert (await stand.set_state(owner, grant, "active", 3)).is_success
    assert (await _write(stand, app, grant, owner, 3)).status_code == 201
    assert (await stand.set_state(owner, grant, "revoked", 4)).is_success


async def test_a_head_alone_covers_a_tail(stand: Stand) -> None:
    """An append without entries is one; sent again it is the same, and the app goes on."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    await _write(stand, app, grant, owner, 3)
    head = owner.append()
    for _ in range(2):
        answer = await stand.append(owner, head)
        assert msgspec.msgpack.decode(answer.content) == {"size": owner.tree.size}
    assert (await stand.sync(owner))[:2] == [owner.tree.size, head["head"]]
    assert (await _write(stand, app, grant, owner, 3)).status_code == 201
    lost = await stand.send("POST", "/log", head, owner.token)
    assert msgspec.msgpack.decode(lost.content) == {"size": head["base"]}


async def test_a_size_gets_one_head(stand: Stand) -> None:
    """Where a head covers the log already, another of its size is as late as any append."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)

    def of_another_device() -> dict[str, Any]:
        return {**owner.append(), "head": owner.sign_head(owner.tree, at=9_999)}

    nothing = await stand.send("POST", "/log", of_another_device(), owner.token)
    assert code(nothing) == (409, "log-moved")
    await _write(stand, app, grant, owner, 2)
    two = [owner.append(), of_another_device()]
    answers = await asyncio.gather(
        *(stand.send("POST", "/log", append, owner.token) for append in two)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (lost,) = [answer for answer in answers if not answer.is_success]
    (won,) = [a for a, r in zip(two, answers, strict=True) if r.is_success]
    assert lost.json()["current"] == {"size": owner.tree.size, "head": won["head"]}
    assert (await stand.sync(owner))[:2] == [owner.tree.size, won["head"]]
