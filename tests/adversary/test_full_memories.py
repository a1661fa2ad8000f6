"""Memories that an app fills to the brim: the owner's device adds to them, and they still fit.

One of them would otherwise keep its key for good, and with it whatever is written again beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret.flows import rekeying
from coffret.flows.freshness import is_stale
from coffret.flows.memories import next_version
from coffret_vault.errors import ConflictError, TooLargeError
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import (
    MAX_CONTENT,
    MAX_OWN_PAYLOAD,
    MAX_PAYLOAD,
    MAX_TAG,
    MAX_TAGS,
    MAX_TITLE,
    Payload,
    serialize_payload,
)
from coffret_vault.ingest import read_export
from harness.world import ask

if TYPE_CHECKING:
    from pathlib import Path

    from coffret import Access
    from harness.world import Owner, World

SHOWN = {
    "title": "t" * MAX_TITLE,
    "tags": [f"{number:02}".ljust(MAX_TAG, "x") for number in range(MAX_TAGS)],
    "importance": 0.123456,
}


def _full(size: int = MAX_PAYLOAD) -> dict[str, Any]:
    """What an app says to fill a payload of so many bytes; what it shows is beside that."""
    content, summary = "y" * MAX_CONTENT, "s" * 70_000
    least = Payload(format=1, content=content, summary=summary, type="fact")
    summary += "s" * (size - len(serialize_payload(least)))
    return {"content": content, "summary": summary, "type": "fact", "sealed": False, **SHOWN}


def _writes(access: Access, size: int = MAX_PAYLOAD) -> str:
    said = _full(size)
    return access.remember(said.pop("content"), **said).id


def _all_fresh(owner: Owner) -> bool:
    state = owner.vault._state
    return not any(is_stale(state, memory) for _, memory in state.store.states())


def _granted(world: World, owner: Owner) -> Access:
    _, access = world.granted(owner, world.app(), everything=True, auto_accept=True)
    return access


def _other_ends(world: World, owner: Owner) -> None:
    grant_id, _ = world.granted(owner, world.app("Other"), scopes={"read"})
    owner.vault.revoke(grant_id)


@pytest.mark.attack(61)
@pytest.mark.parametrize("sealed", [False, True])
def test_a_full_memory_has_fresh_keys_as_all_others(
    world: World, tmp_path: Path, *, sealed: bool
) -> None:
    """With its app's mark, and sealed with all that it showed, it fits; so it does in an export."""
    owner = world.owner()
    owner.vault.set_settings(sealed=sealed)
    access = _granted(world, owner)
    memory_id = _writes(access)
    owner.vault.sync()
    assert not owner.vault.pending()
    for number in range(3):
        owner.vault.remember(f"mine {number}")
    _other_ends(world, owner)
    assert owner.vault.sync().unwritten == ()
    owner.vault.rotate()
    assert _all_fresh(owner)
    found, said = owner.vault.get(memory_id), _full()
    assert found.provenance["written_by"]
    assert (found.summary, found.title) == (said["summary"], said["title"])
    assert found.sealed is sealed
    assert owner.vault.update(memory_id, importance=0.5).importance == 0.5
    assert memory_id in {memory.id for memory in access.memories()}
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(owner.vault.export()))
    assert world.owner().vault.import_drafts(read_export(path)).created == 4


@pytest.mark.attack(61)
def test_a_full_change_of_what_was_imported_keeps_its_marks(world: World, tmp_path: Path) -> None:
    """The marks of an import fit beside everything else."""
    owner = world.owner()
    (tmp_path / "a.md").write_text("# A\n\nfirst\n")
    owner.vault.import_paths([tmp_path])
    owner.vault.set_settings(sealed=True)
    access = _granted(world, owner)
    (before,) = owner.vault.list()
    access.update(before.id, **{**_full(), "source": "", "provenance": {}})
    owner.vault.sync()
    (found,) = owner.vault.list()
    assert found.content.startswith("yy")
    marks = {"import_key", "import_digest", "import_run", "import_written"}
    assert marks | {"written_by"} == set(found.provenance)
    assert owner.vault.import_paths([tmp_path]).unchanged == 1


@pytest.mark.control(61)
def test_without_the_room_it_keeps_its_key(world: World) -> None:
    """Control: where the owner's payloads end where an app's do, the app's mark does not fit."""
    owner = world.owner()
    _writes(_granted(world, owner))
    owner.vault.sync()
    with patch("coffret_vault.records.seal.MAX_OWN_PAYLOAD", MAX_PAYLOAD):
        _other_ends(world, owner)
        with pytest.raises(ConflictError):
            owner.vault.rotate()
    assert not _all_fresh(owner)


@pytest.mark.attack(61)
@pytest.mark.parametrize("size", [MAX_PAYLOAD + 1, MAX_OWN_PAYLOAD])
def test_an_app_does_not_take_the_owner_s_room(world: World, size: int) -> None:
    """A payload that is larger than an app's may be opens nowhere, and stops nothing."""
    owner = world.owner()
    access = _granted(world, owner)
    with patch("coffret_vault.records.seal.MAX_PAYLOAD", MAX_OWN_PAYLOAD):
        memory_id = _writes(access, size)
    access.remember("another")
    owner.vault.sync()
    (waiting,) = owner.vault.pending()
    assert (waiting.memory_id, waiting.proposed) == (memory_id, None)
    with pytest.raises(ConflictError):
        owner.vault.accept(memory_id)
    assert [memory.content for memory in owner.vault.list()] == ["another"]
    owner.vault.reject(memory_id)


class _Stuck:
    """A device that can write all memories again but one."""

    def __init__(self, memory_id: str) -> None:
        """Begin with which."""
        self._memory_id = parse_id(memory_id)

    def __call__(self, state: Any, identifier: bytes, *arguments: Any, **options: Any) -> Any:
        """Seal the next version of any other."""
        if identifier == self._memory_id:
            raise TooLargeError
        return next_version(state, identifier, *arguments, **options)


@pytest.mark.attack(61)
def test_one_that_cannot_be_written_again_keeps_no_other_from_it(world: World) -> None:
    """Revoking, syncing and rotating go on, and say which it is; nobody new is given its key."""
    owner = world.owner()
    made = [owner.vault.remember(f"mine {number}").id for number in range(4)]
    world.granted(owner, world.app(), everything=True)
    with patch.object(rekeying, "next_version", _Stuck(made[1])):
        _other_ends(world, owner)
        assert owner.vault.sync().unwritten == (made[1],)
        with pytest.raises(ConflictError, match=made[1]):
            owner.vault.rotate()
        request_id = ask(third := world.app("Third"), owner)
        owner.vault.requests()
        with pytest.raises(ConflictError, match=made[1]):
            owner.vault.approve(request_id, words=third.words)
    state = owner.vault._state
    stale = [id_text(name) for name, memory in state.store.states() if is_stale(state, memory)]
    assert stale == [made[1]]
    assert owner.vault.sync().unwritten == ()
    assert _all_fresh(owner)
