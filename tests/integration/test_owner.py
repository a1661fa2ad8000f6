"""What an owner does with their own vault, on one device and the next, both faces of the SDK."""

from __future__ import annotations

from base64 import b64decode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from coffret import Fields, NewMemory
from coffret_vault.errors import (
    ConflictError,
    CredentialsError,
    InputError,
    LockedError,
    NotFoundError,
)
from harness.world import PASSPHRASE
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.world import World

LONG_AGO = datetime(2019, 5, 4, 12, tzinfo=UTC)


def test_every_field_of_a_memory_comes_back_on_another_device(either: World) -> None:
    """All that a writer may say of a memory is the same on a device that logs in later."""
    owner = either.owner()
    written = owner.vault.remember(
        "We took the night train to Lisbon.",
        title="Night train",
        summary="A trip",
        type="experience",
        tags=["travel", "train"],
        importance=0.75,
        confidence=0.5,
        source="diary",
        labels={"user": "ana", "session": "7"},
        metadata={"seat": 12, "window": True, "with": ["Bo", None], "raw": b"\0\1"},
        valid_from=LONG_AGO,
        valid_until=LONG_AGO + timedelta(days=1),
        provenance={"by": "hand"},
        created=LONG_AGO,
    )
    read = either.device(owner).get(written.id)
    assert read == written
    assert (read.tags, read.created, read.author) == (("train", "travel"), LONG_AGO, "owner")


def test_a_batch_is_read_back_in_full(either: World) -> None:
    """A thousand memories written in batches are all there, on this device and on another."""
    owner = either.owner()
    new = [NewMemory(Fields(content=f"memory {number}")) for number in range(1_000)]
    written = owner.vault.remember_many(new)
    assert len({memory.id for memory in written}) == 1_000
    other = either.device(owner)
    assert {memory.content for memory in other.list()} == {f"memory {n}" for n in range(1_000)}
    assert other.status().memories == 1_000


def test_an_update_is_a_version_and_keeps_what_it_does_not_name(either: World) -> None:
    """A change makes the next version, leaves other fields alone, and is compared by version."""
    vault = either.owner().vault
    first = vault.remember("one", title="T", tags=["a"])
    second = vault.update(first.id, content="two", version=1)
    assert (second.version, second.title, second.tags) == (2, "T", ("a",))
    assert second.created == first.created
    with pytest.raises(ConflictError):
        vault.update(first.id, content="three", version=1)
    assert vault.get(first.id).content == "two"


def test_history_has_every_version_and_a_deletion_erases_the_records(either: World) -> None:
    """History lists all versions; after deletion the steps remain and the contents are gone."""
    vault = either.owner().vault
    memory = vault.remember("one")
    vault.update(memory.id, content="two")
    steps = vault.history(memory.id)
    assert [(step.version, step.memory and step.memory.content) for step in steps] == [
        (1, "one"),
        (2, "two"),
    ]
    vault.forget(memory.id)
    gone = vault.history(memory.id)
    assert [(step.deletion, step.memory) for step in gone] == [
        (False, None),
        (False, None),
        (True, None),
    ]
    with pytest.raises(NotFoundError):
        vault.get(memory.id)
    with pytest.raises(NotFoundError):
        vault.forget(memory.id)


def test_history_reads_what_another_device_wrote(either: World) -> None:
    """History asked for on a device that is behind first catches up; it is no false alarm."""
    owner = either.owner()
    memory = owner.vault.remember("one")
    other = either.device(owner)
    owner.vault.update(memory.id, content="two")
    assert [step.version for step in other.history(memory.id)] == [1, 2]


def test_list_filters_and_tags_count(either: World) -> None:
    """Each filter of a list narrows it as it says, and tags are counted over current memories."""
    vault = either.owner().vault
    vault.remember("a", tags=["x", "y"], type="fact", importance=0.2)
    vault.remember("b", tags=["x"], type="goal", importance=0.9)
    gone = vault.remember("c", tags=["y"])
    vault.forget(gone.id)
    assert [memory.content for memory in vault.list(tags=["x", "y"])] == ["a"]
    assert [memory.content for memory in vault.list(types=["goal", "fact"])] == ["b", "a"]
    assert [memory.content for memory in vault.list(importance=0.5)] == ["b"]
    assert list(vault.list(authors=["nobody"])) == []
    assert vault.tags() == {"x": 2, "y": 1}


def test_a_list_is_narrowed_as_a_search_is(either: World) -> None:
    """Whatever narrows a search narrows a list to the same memories, and several hold together."""
    vault = either.owner().vault
    vault.remember("sailing in the bay", created=LONG_AGO, tags=["sea"], importance=0.9)
    vault.remember("sailing lessons", tags=["sea", "plan"], type="goal", labels={"u": "ana"})
    vault.remember("sailing at night", tags=["sea"], importance=0.0, labels={"u": "ana", "s": "1"})
    day = LONG_AGO + timedelta(days=1)
    for narrowed, count in (
        ({}, 3),
        ({"labels": {"u": "ana"}}, 2),
        ({"labels": {"u": "ana", "s": "1"}}, 1),
        ({"labels": {"u": "an"}}, 0),
        ({"any_tags": ["plan", "nothing"]}, 1),
        ({"tags": ["sea", "plan"], "types": ["goal", "fact"]}, 1),
        ({"authors": ["owner"], "since": day}, 2),
        ({"until": day}, 1),
        ({"importance": 0}, 2),
        ({"labels": {"u": "ana"}, "importance": 0}, 1),
    ):
        listed = [memory.id for memory in vault.list(**narrowed)]
        hits = vault.search("sailing", **narrowed)
        assert (len(listed), sorted(listed)) == (count, sorted(hit.memory.id for hit in hits))


def test_a_list_is_of_a_source(either: World, tmp_path: Path) -> None:
    """A folder, a file, or a source as it is; never another whose name begins like it."""
    vault = either.owner().vault
    for name in ("notes", "notes2"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.md").write_text(f"# A\n\n{name} sub\n")
        (tmp_path / name / "b.md").write_text(f"# B\n\n{name} b\n")
    vault.import_paths([tmp_path / "notes", tmp_path / "notes2"])
    vault.remember("by hand", source="a talk with Bo", labels={"u": "ana"})
    for source, count in (
        ("notes", 2),
        ("notes/", 2),
        ("markdown:notes", 2),
        ("markdown", 4),
        ("notes/sub", 1),
        ("notes/b.md", 1),
        ("notes/b", 0),
        ("note", 0),
        ("a talk with Bo", 1),
        ("a talk", 0),
    ):
        assert len(list(vault.list(source=source))) == count
        assert len(vault.search("sub", source=source)) == count
    assert len(list(vault.list(source="a talk with Bo", labels={"u": "ana"}))) == 1
    assert list(vault.list(source="notes", labels={"u": "ana"})) == []
    assert list(vault.search("sub", source="notes", labels={"u": "ana"})) == []
    (one,) = vault.list(source="notes/b.md")
    vault.update(one.id, source="a talk with Bo")
    assert len(vault.search("sub", source="a talk with Bo")) == 2
    assert list(vault.search("sub", source="notes/b.md")) == []
    with pytest.raises(InputError, match="source"):
        vault.search("sub", source="/")


@pytest.mark.parametrize(
    "narrowed",
    [{"tags": "x"}, {"labels": {"u": 1}}, {"importance": 2}, {"since": "now"}, {"source": " /"}],
    ids=str,
)
def test_a_list_that_says_nothing_sensible_is_refused(
    either: World, narrowed: dict[str, Any]
) -> None:
    """Another kind or out of bounds is an error; what only a search knows is one too."""
    vault = either.owner().vault
    with pytest.raises(InputError):
        vault.list(**narrowed)
    for unknown in ("mode", "min_similarity", "author"):
        with pytest.raises(TypeError, match=unknown):
            vault.list(**{unknown: None})  # type: ignore[arg-type]


def test_every_filter_of_a_search_holds(either: World) -> None:
    """A search answers only what fits all of its filters, and says why each was found."""
    vault = either.owner().vault
    old = vault.remember("sailing in the bay", created=LONG_AGO, tags=["sea"], importance=0.9)
    new = vault.remember("sailing lessons", tags=["sea", "plan"], type="goal", labels={"u": "ana"})
    vault.remember("baking bread", tags=["kitchen"])

    def found(**wanted: object) -> set[str]:
        return {hit.memory.id for hit in vault.search("sailing", **wanted)}  # type: ignore[arg-type]

    assert {old.id, new.id} <= found()
    assert found(tags=["sea", "plan"]) == {new.id}
    assert found(any_tags=["plan", "nothing"]) == {new.id}
    assert found(types=["goal"]) == {new.id}
    assert found(labels={"u": "ana"}) == {new.id}
    assert found(importance=0.5) == {old.id}
    assert found(until=LONG_AGO + timedelta(days=1)) == {old.id}
    assert found(since=LONG_AGO + timedelta(days=1), tags=["sea"]) == {new.id}
    assert found(authors=["nobody"]) == set()
    hits = vault.search("sailing", limit=1, mode="words")
    assert len(hits) == 1
    assert hits[0].words == ("sailing",)
    assert "words" in hits[0].why
    with pytest.raises(InputError):
        vault.search("  ")


def test_search_follows_updates_and_deletions_from_elsewhere(either: World) -> None:
    """What another device changed or deleted is found, or not, after the next sync."""
    owner = either.owner()
    changed = owner.vault.remember("an apple orchard")
    gone = owner.vault.remember("a pear orchard")
    other = either.device(owner)
    assert len(other.search("orchard", mode="words")) == 2
    owner.vault.update(changed.id, content="a quince garden")
    owner.vault.forget(gone.id)
    other.sync()
    assert other.search("orchard", mode="words") == []
    assert [hit.memory.id for hit in other.search("quince", mode="words")] == [changed.id]


def test_the_index_is_taken_up_again_by_the_next_program(either: World) -> None:
    """A vault opened again searches from its sealed index, without the model seeing memories."""
    owner = either.owner()
    owner.vault.remember("the lighthouse keeper")
    owner.vault.search("lighthouse")
    folder = owner.vault.folder
    owner.vault.close()
    model = HashingEmbedder()

    again = either.closing(either.face.open(folder, **either.around(embedder=lambda: model)))
    again.unlock(PASSPHRASE, owner.secret_key)
    assert [hit.memory.content for hit in again.search("lighthouse")] == ["the lighthouse keeper"]
    assert model.texts == ["lighthouse"]


def test_a_vault_unlocks_and_reads_offline(either: World) -> None:
    """Opening, unlocking, reading and searching need no server; locked, nothing is shown."""
    owner = either.owner()
    memory = owner.vault.remember("offline")
    folder = owner.vault.folder
    owner.vault.close()
    vault = either.closing(either.face.open(folder, **either.around()))
    assert vault.is_locked
    with pytest.raises(LockedError):
        vault.get(memory.id)
    with pytest.raises(LockedError):
        vault.search("offline")
    with pytest.raises(CredentialsError):
        vault.unlock("wrong", owner.secret_key)
    vault.unlock(PASSPHRASE, owner.secret_key)
    assert vault.get(memory.id).content == "offline"
    vault.lock()
    with pytest.raises(LockedError):
        vault.sync()


def test_recovery_gives_a_new_passphrase_and_ends_the_old_one(either: World) -> None:
    """The recovery code alone opens everything; afterwards only the new secrets do."""
    owner = either.owner()
    memory = owner.vault.remember("precious")
    code = owner.kit.recovery_code_text()
    vault, secret_key = either.face.recover(
        either.url, owner.username, code, "a new one", either.place(), **either.around()
    )
    either.closing(vault)
    assert vault.get(memory.id).content == "precious"
    with pytest.raises(CredentialsError):
        either.device(owner)
    again = either.closing(
        either.face.login(
            either.url, owner.username, "a new one", secret_key, either.place(), **either.around()
        )
    )
    assert again.get(memory.id).content == "precious"
    owner.vault.sync()
    folder = owner.vault.folder
    owner.vault.close()
    old = either.closing(either.face.open(folder, **either.around()))
    with pytest.raises(CredentialsError):
        old.unlock(PASSPHRASE, owner.secret_key)
    old.unlock("a new one", secret_key)
    assert old.get(memory.id).content == "precious"


def test_names_and_folders_are_taken_once(either: World) -> None:
    """A username and a folder each hold one vault; the second is refused and changes nothing."""
    owner = either.owner()
    place = either.place()
    with pytest.raises(ConflictError):
        either.face.create(either.url, owner.username, "x", place, **either.around())
    with pytest.raises(ConflictError):
        either.face.create(either.url, "somebody", "x", owner.vault.folder, **either.around())
    with pytest.raises(NotFoundError):
        either.face.open(place)
    owner.vault.remember("still here")


def test_the_server_view_shows_what_is_kept(either: World) -> None:
    """The server's own account of a vault has its titles and none of its contents."""
    vault = either.owner().vault
    vault.remember("the content", title="The title")
    shown = b"".join(_raw(vault.server_view()))
    assert b"The title" in shown
    assert b"the content" not in shown


def test_the_server_view_has_every_row_and_what_is_readable(either: World) -> None:
    """More rows than a page has are all shown, or as many as asked for, with what leaks in each."""
    vault = either.owner().vault
    titles = {f"title {number}" for number in range(600)}
    vault.remember_many([NewMemory(Fields(content="content", title=name)) for name in titles])
    vault.remember("hidden", title="unseen", sealed=True)
    entries = _entries(vault.server_view())
    assert len(entries["rows"]) == entries["total"] > 601
    shown = [item for item in entries["readable"] if item is not None]
    assert {item["title"] for item in shown} == {*titles, ""}
    assert [item["title"] for item in shown if item["sealed"]] == [""]
    assert len(_entries(vault.server_view(501))["rows"]) == 501
    assert not _entries(vault.server_view(0))["rows"]


def _entries(view: dict[str, Any]) -> dict[str, Any]:
    (found,) = (table for table in view["tables"] if table["table"] == "entries")
    return dict(found)


def _raw(value: Any) -> Iterator[bytes]:
    """Every text in a JSON value, and what it stands for in base64."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _raw(item)
    elif isinstance(value, str):
        yield value.encode()
        with suppress(ValueError):
            yield b64decode(value, validate=True)


def test_status_says_where_the_vault_stands(either: World) -> None:
    """Status counts memories and entries, and names the account."""
    owner = either.owner()
    owner.vault.remember("one")
    status = owner.vault.status()
    assert (status.username, status.memories, status.pending) == (owner.username, 1, 0)
    assert status.entries == 4
    assert status.fingerprint == owner.kit.fingerprint
    assert not status.locked


def test_a_list_is_one(either: World) -> None:
    """What is listed has a length and places, and is there when it is looked through again."""
    vault = either.owner().vault
    made = [vault.remember(text).id for text in ("first", "second")]
    found, ids = vault.list(), vault.memory_ids()
    assert (len(found), found[0].content) == (2, "second")
    assert [memory.id for memory in found] == [memory.id for memory in found] == made[::-1]
    assert list(ids) == sorted(made) == list(ids)
