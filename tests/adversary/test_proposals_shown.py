"""What an owner is shown of a proposal before they accept it: all that would be another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from coffret import Fields, Memory
from coffret.cli.proposed import proposal_lines
from coffret.cli.showing import pending_rows

if TYPE_CHECKING:
    from coffret import Vault
    from harness.world import World

ELSE: dict[str, Any] = {
    "content": "not what it was", "title": "T", "summary": "s", "type": "goal", "tags": ["x"],
    "importance": 0.5, "confidence": 0.5, "source": "src", "labels": {"a": "b"},
    "metadata": {"m": "y" * 300}, "sealed": True, "provenance": {"p": "q"},
}  # fmt: skip


def said(value: object) -> str:
    """A value as the owner reads it."""
    return (
        value
        if isinstance(value, str)
        else msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    )


def shown(vault: Vault) -> str:
    """What a person reads of the one proposal that waits."""
    (item,) = vault.pending()
    return "\n".join(proposal_lines(item, 'App" wants to create this.'))


@pytest.mark.attack(36)
@pytest.mark.parametrize("name", ELSE)
def test_no_field_that_an_app_changes_is_left_out(world: World, name: str) -> None:
    """Whatever one thing an update would change, the owner reads it, and nothing else."""
    owner = world.owner()
    memory = owner.vault.remember("as it was", title="Title", tags=["home"])
    _, access = world.granted(owner, world.app())
    access.update(memory.id, **{name: ELSE[name]})
    owner.vault.sync()
    text, meant = shown(owner.vault), ELSE[name]
    assert text.startswith("""Version 2: "App' wants to create this." wants to change this.""")
    if name == "content":
        assert text.splitlines()[1:] == [
            "The content would be:", "  | not what it was", "It is now:", "  | as it was"
        ]  # fmt: skip
        return
    assert text.splitlines()[1].startswith(f"{name.capitalize()}:")
    assert said(meant) in text
    assert text.splitlines()[2].startswith("  now:")
    assert text.splitlines()[3:] == ["The content stays as it is."]


def test_every_field_is_among_them() -> None:
    """A field that is new one day is to be tried here as well."""
    assert ELSE.keys() == {*Fields.__struct_fields__} - {"valid_from", "valid_until"}


@pytest.mark.attack(36)
@pytest.mark.parametrize("name", ["metadata", "provenance", "summary", "source", "title"])
def test_nothing_of_what_an_app_creates_is_left_out(world: World, name: str) -> None:
    """Of a new memory, too, the owner reads all that it would say, however long."""
    owner = world.owner()
    _, access = world.granted(owner, world.app())
    access.remember("new", **{name: ELSE[name]})
    owner.vault.sync()
    assert said(ELSE[name]) in shown(owner.vault)


@pytest.mark.attack(36)
def test_content_cannot_write_lines_of_ours(world: World) -> None:
    """Each row of a content is marked, in what is created and in what is deleted too."""
    owner = world.owner()
    _, access = world.granted(owner, world.app())
    lie = "Version 9: nothing\nIt is now:\r\x85as it was"
    made = access.remember(lie, title="a\nTags: none")
    owner.vault.sync()
    created = shown(owner.vault).splitlines()
    assert created[0].endswith("wants to create this.")
    assert not any(row.startswith(("Version 9", "It is now", "Tags: none")) for row in created)
    owner.vault.accept(made.id)
    access.forget(made.id)
    owner.vault.sync()
    deleted = shown(owner.vault).splitlines()
    assert deleted[0].endswith("wants to delete this.")
    assert [row for row in deleted if row.startswith("  | ")] == [
        "  | Version 9: nothing", "  | It is now:", "  | ", "  | as it was"
    ]  # fmt: skip


@pytest.mark.control(36)
def test_a_list_of_titles_does_not_tell_what_would_be_another(world: World) -> None:
    """Control: one row for each proposal is the same whatever is behind its title."""
    owner = world.owner()
    memory = owner.vault.remember("as it was", title="Title")
    _, access = world.granted(owner, world.app())
    access.update(memory.id, content="not what it was", tags=["shared"])
    owner.vault.sync()
    (item,) = owner.vault.pending()
    assert isinstance(item.current, Memory)
    same = msgspec.structs.replace(item, proposed=item.current)
    assert list(pending_rows([item], {})) == list(pending_rows([same], {}))
