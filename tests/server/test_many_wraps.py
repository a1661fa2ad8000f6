"""One account alone, at work on one memory: what it may cost everybody else, who wait meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from coffret_server.control import listing
from coffret_server.data import owner as data
from server import forge
from server.stand import code
from server.test_scattered_grants import count_steps

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from server.stand import Stand

KEYS = 40
VERSIONS = 30


def _put(
    owner: forge.Owner, memory: uuid.UUID, versions: range, key_number: int = 0, **parts: Any
) -> dict[str, Any]:
    """An append of versions of one memory, each under a key of its own unless one is named."""
    heads = [
        forge.header(owner.account, memory, version, key_number=key_number or version)
        for version in versions
    ]
    return owner.put(*map(forge.record, heads), **parts)


async def _rows(stand: Stand) -> list[Sequence[Any]]:
    """The wraps that are stored, without the keys: of which memory, with which number."""

    async def job(tx: Any) -> Any:
        return await tx.all("SELECT memory_id, key_number, changed FROM grant_wraps")

    return [tuple(row) for row in await stand.app.state.services.storage.query(job)]


@pytest.mark.asyncio
async def test_a_grant_keeps_one_key_of_a_memory(stand: Stand) -> None:
    """Those of before are of no use to anybody: they go when the next comes, or are not taken."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, memory = await stand.grant(owner, app), forge.new_id()
    for version in range(1, 4):
        wraps = [[grant, memory, number, forge.wrapped()] for number in range(1, version + 1)]
        append = _put(owner, memory, range(version, version + 1), wraps=wraps)
        assert (await stand.append(owner, append)).is_success
        assert [row[1] for row in await _rows(stand)] == [version]
    await stand.share(owner, grant, memory)
    assert [row[1] for row in await _rows(stand)] == [3]


@pytest.mark.asyncio
async def test_a_version_under_another_key_than_a_grant_has_is_not_shown(stand: Stand) -> None:
    """Nor is it after the memory's next version: the grant has to be given the key."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, memory = await stand.grant(owner, app), forge.new_id()
    seen = []
    for version in range(1, 4):
        append = _put(owner, memory, range(version, version + 1), min(version, 2))
        assert (await stand.append(owner, append)).is_success
        if version == 1:
            await stand.share(owner, grant, memory)
        answer = await stand.get(f"/grants/{grant}/records", app.token)
        seen.append(len(msgspec.msgpack.decode(answer.content)[1]))
    assert seen == [1, 0, 0]


@pytest.mark.asyncio
async def test_many_versions_at_once_are_news_once(sqlite_stand: Stand) -> None:
    """An append of many versions changes what grants hold once, whatever number of keys came."""
    stand = sqlite_stand
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, memory = await stand.grant(owner, app), forge.new_id()
    assert (await stand.append(owner, _put(owner, memory, range(1, KEYS + 1)))).is_success
    wraps = [[grant, memory, number, forge.wrapped()] for number in range(1, KEYS + 1)]
    more = _put(owner, memory, range(KEYS + 1, KEYS + 2), KEYS, wraps=wraps)
    assert (await stand.append(owner, more)).is_success
    writer = stand.app.state.services.storage._writer
    before = writer.total_changes
    last = KEYS + 2 + VERSIONS
    assert (await stand.append(owner, _put(owner, memory, range(KEYS + 2, last), KEYS))).is_success
    # Of each version its entry, the record before it that is hidden, and the tag that changes.
    assert writer.total_changes - before < 6 * VERSIONS
    ((_, number, changed),) = await _rows(stand)
    assert (number, changed) == (KEYS, owner.tree.size - 1)


@pytest.mark.asyncio
async def test_what_waits_is_looked_for_once_however_much_is_rejected(sqlite_stand: Stand) -> None:
    """To reject the newest of many proposals first takes no longer than the oldest first."""
    stand, count = sqlite_stand, 300
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    steps = []
    for order in (1, -1):
        memory = forge.new_id()
        records = [
            app.memory(owner.account, grant, memory, version, tags=())
            for version in range(1, count + 1)
        ]
        body = app.put(owner.account, *records)
        assert (await stand.write(app, grant, body, owner)).is_success
        leaves = [
            owner.entry("reject", memory, version, forge.digest_of(item))
            for version, item in enumerate(records, 1)
        ]
        rejected = leaves[1:][::order]  # the first waits on
        taken = count_steps(stand.app.state.services.storage._writer)
        assert (await stand.append(owner, owner.append(*rejected))).is_success
        stand.app.state.services.storage._writer.set_progress_handler(None, 0)
        steps.append(len(taken))
        listed = (await stand.get("/memory-blobs", owner.token)).json()["items"]
        assert {item["memory_id"]: item["version"] for item in listed} == {str(memory): 1}
        assert (await stand.append(owner, owner.append(leaves[0]))).is_success
        account = (await stand.get("/accounts/me", owner.token)).json()
        assert account["usage"]["memories"] == 0
    assert steps[1] < 1.5 * steps[0]


@pytest.mark.asyncio
async def test_what_was_rejected_is_not_looked_through_again(sqlite_stand: Stand) -> None:
    """To reject the only proposal of a memory takes no longer after hundreds that were rejected."""
    stand, count = sqlite_stand, 300
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, memory = await stand.grant(owner, app), forge.new_id()
    versions = range(1, count + 1)
    records = [app.memory(owner.account, grant, memory, version) for version in versions]
    steps = []
    for some in (records[:1], records[1:-1], records[-1:]):
        body = app.put(owner.account, *some)
        assert (await stand.write(app, grant, body, owner)).is_success
        leaves = [
            owner.entry("reject", memory, version, forge.digest_of(item))
            for version, item in enumerate(records, 1)
            if item in some
        ]
        taken = count_steps(stand.app.state.services.storage._writer)
        assert (await stand.append(owner, owner.append(*leaves))).is_success
        stand.app.state.services.storage._writer.set_progress_handler(None, 0)
        steps.append(len(taken))
    assert steps[2] < 2 * steps[0]


@pytest.mark.asyncio
async def test_any_number_of_grants_are_given_one_key(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked up in parts, and one that is not there is told in any of these."""
    monkeypatch.setattr("coffret_server.append.SQLITE_VARIABLES", 2)
    owner, app = await stand.sign_up(), await stand.new_app()
    grants = [await stand.grant(owner, app) for _ in range(5)]
    memory = forge.new_id()
    wraps = [[grant, memory, 1, forge.wrapped()] for grant in grants]
    strange = [forge.new_id(), memory, 1, forge.wrapped()]
    answer = await stand.append(owner, _put(owner, memory, range(1, 2), wraps=[*wraps, strange]))
    assert code(answer) == (422, "invalid-input")
    assert (await stand.append(owner, _put(owner, memory, range(1, 2), wraps=wraps))).is_success
    assert len(await _rows(stand)) == len(grants)


@pytest.mark.asyncio
async def test_an_append_tells_only_so_many_grants(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be news to more grants than that, in whatever parts, is refused whole."""
    monkeypatch.setattr("coffret_server.news.WRAPS_LIMIT", 3)
    monkeypatch.setattr("coffret_server.news.SQLITE_VARIABLES", 1)
    owner, app = await stand.sign_up(), await stand.new_app()
    grants = [await stand.grant(owner, app) for _ in range(2)]
    memories = [await stand.remember(owner) for _ in range(2)]
    for grant in grants:
        await stand.share(owner, grant, memories[0])
    await stand.share(owner, grants[0], memories[1])
    before = await _rows(stand)
    both = [owner.memory(memory, 2) for memory in memories]
    assert (await stand.append(owner, owner.put(*both))).is_success
    told = await _rows(stand)
    assert told != before
    await stand.share(owner, grants[1], memories[1])
    before = await _rows(stand)
    both = [owner.memory(memory, 3) for memory in memories]
    assert code(await stand.append(owner, owner.put(*both))) == (413, "too-large")
    assert await _rows(stand) == before
    assert (await stand.append(owner, owner.put(both[0]))).is_success


@pytest.mark.asyncio
async def test_lists_of_small_things_end(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags, and versions of which nothing is left, come in bounded numbers; versions go on."""
    monkeypatch.setattr(listing, "TAGS_LIMIT", 3)
    monkeypatch.setattr(data, "VERSIONS_LIMIT", 4)
    owner, memory = await stand.sign_up(), forge.new_id()
    tags = [("b", "c"), ("a", "b", "c"), ("c",), ("d",), ("e",), ("a",)]
    for names in tags:
        await stand.remember(owner, tags=names)
    found = (await stand.get("/tags", owner.token)).json()
    assert found == [{"tag": tag, "memories": n} for tag, n in (("c", 3), ("a", 2), ("b", 2))]
    assert (await stand.append(owner, _put(owner, memory, range(1, 8), 1))).is_success
    path, shown = f"/memory-blobs/{memory}/versions", []
    for first in (1, 5):
        answer = await stand.get(f"{path}?from={first}", owner.token)
        shown.append([item[1] for item in msgspec.msgpack.decode(answer.content)])
    assert shown == [[1, 2, 3, 4], [5, 6, 7]]
