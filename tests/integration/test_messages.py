"""A conversation is remembered from its messages: each exchange once, however often it is added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coffret import Talk as Said
from coffret.errors import ConflictError, InputError, LockedError, NetworkError

if TYPE_CHECKING:
    from coffret import Vault
    from harness.world import World

TALK = [
    {"role": "user", "content": "I am allergic to nuts."},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "What is for dinner?"},
    {"role": "assistant", "content": "Lentils."},
    {"role": "user", "content": "Again?"},
]
FIRST, SECOND = (
    "Me: I am allergic to nuts.\n\nAssistant: Noted.",
    ("Me: What is for dinner?\n\nAssistant: Lentils."),
)


def texts(vault: Vault) -> set[str]:
    """What the vault holds."""
    return {memory.content for memory in vault.list()}


def counts(report: Any) -> tuple[int, int, int, int]:
    """Created, updated, unchanged, forgotten."""
    return report.created, report.updated, report.unchanged, report.forgotten


def test_a_conversation_that_grows_is_added_once(either: World) -> None:
    """After every message, from either device, whole or its end alone: only what is new."""
    owner = either.owner()
    devices = [owner.vault, either.device(owner)]
    told, said = [], Said(session="s", agent="helper", user="ana", tags=["food"])
    for count in range(1, len(TALK) + 1):
        vault = devices[count % 2]
        vault.sync()
        report = vault.remember_messages(TALK[:count], **said)
        told.append(counts(report))
        assert counts(vault.remember_messages(TALK[:count], **said))[:2] == (0, 0)
    vault = devices[1]
    vault.sync()
    assert told == [(1, 0, 0, 0), (0, 1, 0, 0), (1, 0, 1, 0), (0, 1, 1, 0), (1, 0, 2, 0)]
    assert texts(vault) == {FIRST, SECOND, "Me: Again?"}
    assert counts(vault.remember_messages(TALK[2:], **said)) == (0, 0, 2, 0)
    report = vault.remember_messages(TALK, **said)
    assert report.session == "s"
    assert repr(report) == "<MessagesReport 0 created 0 updated 3 unchanged 0 forgotten>"
    assert [memory.content for memory in report.memories] == [FIRST, SECOND, "Me: Again?"]
    labels = {"session": "s", "agent": "helper", "user": "ana", "participants": "Me, Assistant"}
    assert report.memories[0].labels == labels
    assert (report.memories[0].source, report.memories[0].tags) == ("chat:s", ("food",))
    assert [hit.memory.content for hit in vault.search("nuts", limit=1)] == [FIRST]
    assert len(list(vault.list(labels={"user": "ana"}, source="chat:s"))) == 3


def test_conversations_are_told_apart(either: World) -> None:
    """By session, agent and user, or without a session by how they begin."""
    vault = either.owner().vault
    every = Said(session="a"), Said(session="b"), Said(session="a", user="ana"), Said()
    for said in every:
        assert vault.remember_messages(TALK[:2], **said).created == 1
    assert vault.remember_messages([{"role": "user", "content": "Hello"}]).created == 1
    assert counts(vault.remember_messages(TALK[:4])) == (1, 0, 1, 0)


def test_two_that_begin_alike_are_both_kept(either: World) -> None:
    """What went on otherwise, or begins again, overwrites nothing."""
    vault = either.owner().vault
    hi = {"role": "user", "content": "hi"}
    hello, hey = ({"role": "assistant", "content": text} for text in ("hello", "hey"))
    vault.remember_messages([hi], session="s")
    assert counts(vault.remember_messages([hi, hello, hi, hey, hi], session="s")) == (1, 1, 1, 0)
    assert texts(vault) == {"Me: hi\n\nAssistant: hello", "Me: hi\n\nAssistant: hey"}
    again = vault.remember_messages([hi, hello, hi, hey], session="s")
    assert counts(again) == (0, 0, 2, 0)


def test_what_the_owner_made_of_it_stays(either: World) -> None:
    """What was changed by hand is not written over, and what was forgotten does not come back."""
    vault = either.owner().vault
    first, second, third = vault.remember_messages(TALK, session="s").memories
    vault.update(first.id, content="Nuts: never.", title="Allergy")
    vault.update(third.id, content="Not again!")
    vault.forget(second.id)
    more = [*TALK, {"role": "assistant", "content": "Sorry."}]
    report = vault.remember_messages(more, session="s")
    assert counts(report) == (1, 0, 1, 1)
    assert texts(vault) == {
        "Nuts: never.",
        "Not again!",
        "Me: Again?\n\nAssistant: Sorry.",
    }
    assert len(report.memories) == 2


def test_an_answer_keeps_what_was_said_of_the_question(either: World) -> None:
    """When an exchange grows, the title, tags and labels that its owner gave it stay."""
    vault = either.owner().vault
    (asked,) = vault.remember_messages(TALK[:1], session="s").memories
    vault.update(asked.id, title="Allergy", tags=["health"], labels={**asked.labels, "x": "1"})
    (answered,) = vault.remember_messages(TALK[:2], session="s").memories
    assert (answered.id, answered.content, answered.version) == (asked.id, FIRST, 3)
    assert (answered.title, answered.tags, answered.labels["x"]) == ("Allergy", ("health",), "1")
    assert answered.labels["participants"] == "Me, Assistant"


def test_sealed_is_as_said_or_as_the_vault_has_it(either: World) -> None:
    """For all of a conversation; what is there stays as it is."""
    vault = either.owner().vault
    assert not vault.remember_messages(TALK[:2]).memories[0].sealed
    assert [m.sealed for m in vault.remember_messages(TALK[:4], sealed=True).memories] == [0, 1]
    vault.set_settings(sealed=True)
    assert vault.remember_messages(TALK[:2], session="s").memories[0].sealed


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([*TALK, {"role": "user", "content": ""}], {}),
        ([*TALK, {"role": "user", "content": [{"type": "hologram"}]}], {}),
        ([*TALK, "x"], {}),
        ([*TALK, {"role": "assistant", "content": "x" * 2**20}], {}),
        (TALK, {"session": ""}),
        (TALK, {"tags": "food"}),
        (TALK, {"sealed": "yes"}),
        ("text", {}),
        ([], {}),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_of_what_cannot_be_remembered_nothing_is_added(
    either: World, messages: Any, said: dict[str, Any]
) -> None:
    """One bad message, and none is written: the good ones before it neither."""
    vault = either.owner().vault
    with pytest.raises(InputError):
        vault.remember_messages(messages, **said)
    assert texts(vault) == set()
    with pytest.raises(TypeError, match="thread"):
        vault.remember_messages(TALK, thread="x")  # type: ignore[call-arg]


def test_a_locked_vault_remembers_nothing(either: World) -> None:
    """Without the keys there is no id to look for."""
    owner = either.owner()
    owner.vault.lock()
    with pytest.raises(LockedError):
        owner.vault.remember_messages(TALK)


def test_two_devices_that_add_the_same_at_once_add_it_once(world: World) -> None:
    """Neither has synced what the other wrote: the second finds it when it writes."""
    owner = world.owner()
    one, two = owner.vault, world.device(owner)
    assert counts(one.remember_messages(TALK[:3], session="s")) == (2, 0, 0, 0)
    report = two.remember_messages(TALK, session="s")
    assert [memory.content for memory in report.memories] == [FIRST, SECOND, "Me: Again?"]
    one.sync()
    assert texts(one) == texts(two) == {FIRST, SECOND, "Me: Again?"}


def test_interrupted_it_goes_on_when_called_again(world: World) -> None:
    """What was written by then is found again, and nothing is there twice."""
    vault = world.owner().vault
    roles = ("user", "assistant")
    talk = [{"role": role, "content": f"{role} {n}"} for n in range(6) for role in roles]
    vault.remember_messages([talk[0]], session="s")

    def stop(what: str, *_: int) -> None:
        if what == "memories":
            raise NetworkError

    with pytest.raises(NetworkError):
        vault.remember_messages(talk, stop, session="s")
    report = vault.remember_messages(talk, session="s")
    assert counts(report) == (0, 1, 5, 0)
    assert len(texts(vault)) == len(report.memories) == 6


def test_ids_say_nothing_without_the_key(world: World) -> None:
    """The same words in two vaults have ids that nothing in common tells."""
    one, two = (world.owner().vault.remember_messages(TALK, session="s") for _ in range(2))
    assert {m.content for m in one.memories} == {m.content for m in two.memories}
    assert not {m.id for m in one.memories} & {m.id for m in two.memories}


def test_a_memory_of_somebody_s_own_under_such_an_id_is_not_lost(world: World) -> None:
    """Where the owner wrote something else under the id of an exchange, that stays."""
    owner = world.owner()
    (there,) = owner.vault.remember_messages(TALK[:2], session="s").memories
    with pytest.raises(ConflictError):
        owner.vault.remember("else", memory_id=there.id)
    owner.vault.update(there.id, content="else")
    assert counts(owner.vault.remember_messages(TALK[:2], session="s")) == (0, 0, 1, 0)
    assert texts(owner.vault) == {"else"}
