"""Messages of chat APIs: what becomes an exchange, what is left out and named, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from coffret_vault.errors import InputError
from coffret_vault.ingest.messages import Exchange, read_messages


def said(role: str, content: Any = "words", **more: Any) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content, **more}


def contents(exchanges: tuple[Exchange, ...]) -> list[str]:
    """What the exchanges' memories say."""
    return [exchange.draft.content for exchange in exchanges]


def test_a_question_and_its_answers_are_one_memory() -> None:
    """A person's turn begins an exchange, in however many messages; answers go on with it."""
    read = read_messages(
        [
            said("assistant", "How may I help?"),
            said("user", "I eat no meat."),
            said("user", "What can I cook?"),
            said("assistant", "Lentils."),
            said("assistant", "Or rice."),
            said("user", "Thanks.", name="Ana"),
        ]
    )
    assert contents(read.exchanges) == [
        "Assistant: How may I help?",
        "Me: I eat no meat.\n\nMe: What can I cook?\n\nAssistant: Lentils.\n\nAssistant: Or rice.",
        "Ana: Thanks.",
    ]
    assert read.skipped == ()
    second = read.exchanges[1]
    assert [second.beginning(n) for n in (1, 3)] == [
        "Me: I eat no meat.",
        "Me: I eat no meat.\n\nMe: What can I cook?\n\nAssistant: Lentils.",
    ]
    assert second.beginning(4) == second.draft.content


def test_labels_source_and_tags_are_as_said() -> None:
    """The title says nothing of what was said: the server may read it."""
    read = read_messages(
        [said("user", "a secret"), said("assistant", "indeed")],
        session="s1",
        agent="helper",
        user="ana",
        tags=["health"],
    )
    (exchange,) = read.exchanges
    assert exchange.draft.labels == {
        "session": "s1",
        "agent": "helper",
        "user": "ana",
        "participants": "Me, Assistant",
    }
    assert (exchange.draft.source, exchange.draft.tags) == ("chat:s1", ("health",))
    assert exchange.draft.title == "Conversation"


def test_without_a_session_the_first_message_names_it() -> None:
    """It stays the same while the conversation grows, and is another where another begins it."""
    talk = [said("user", "one"), said("assistant", "two"), said("user", "three")]
    names = {read_messages(talk[:count]).session for count in (1, 2, 3)}
    assert len(names) == 1
    assert read_messages([said("user", "another")]).session not in names


def test_parts_are_texts_or_named() -> None:
    """Texts are joined; images leave a mark; machinery is left out; both are named."""
    read = read_messages(
        [
            said("system", "be kind"),
            said(
                "user", [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}]
            ),
            said("assistant", [{"type": "thinking", "thinking": "hm"}, {"type": "tool_use"}]),
            said("user", [{"type": "tool_result", "content": "42"}]),
            said("assistant", None, tool_calls=[{"id": "1"}]),
            said("tool", "43"),
            said("assistant", ["It is", {"type": "output_text", "text": "a cat."}]),
            said("assistant", [{"type": "refusal", "refusal": "No."}]),
        ]
    )
    assert contents(read.exchanges) == [
        "Me: look\n\n[attachment]\n\nAssistant: It is\n\na cat.\n\nAssistant: No."
    ]
    assert [item.source for item in read.skipped] == [
        "message 1",
        "message 2, part 2",
        "message 3, part 1",
        "message 3, part 2",
        "message 4, part 1",
        "message 5, tool calls",
        "message 6",
    ]
    assert all("be kind" not in item.reason for item in read.skipped)


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ("I eat no meat", "list of mappings"),
        (b"bytes", "list of mappings"),
        ({"role": "user", "content": "x"}, "list of mappings"),
        (None, "list of mappings"),
        (7, "list of mappings"),
        ([], "nobody says anything"),
        ([said("system")], "nobody says anything"),
        (["x"], "message 1 is no mapping"),
        ([said("user"), None], "message 2 is no mapping"),
        ([{"content": "x"}], "role of message 1"),
        ([said("narrator")], "role of message 1"),
        ([{"role": 7, "content": "x"}], "role of message 1"),
        ([{"role": "user"}], "message 1 says nothing"),
        ([said("user", "")], "message 1 says nothing"),
        ([said("user", " \n")], "message 1 says nothing"),
        ([said("user", [])], "message 1 says nothing"),
        ([said("assistant", None)], "message 1 says nothing"),
        ([said("user", 7)], "content of message 1"),
        ([said("user", {"text": "x"})], "content of message 1"),
        ([said("user", b"x")], "content of message 1"),
        ([said("user", [7])], "message 1, part 1"),
        ([said("user", ["x", {"text": "x"}])], "message 1, part 2"),
        ([said("user", [{"type": 7}])], "message 1, part 1"),
        ([said("user", [{"type": "text"}])], "message 1, part 1"),
        ([said("user", [{"type": "text", "text": 7}])], "message 1, part 1"),
        ([said("user", [{"type": "hologram", "text": "x"}])], "message 1, part 1"),
        ([said("user", "\ud800")], "message 1 is not Unicode"),
        ([said("user", name=7)], "name in message 1"),
        ([said("user", name="\ud800")], "name in message 1"),
        ([said("user"), said("assistant", "x" * 2**20)], "from message 1 on"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_message_is_refused(messages: Any, where: str) -> None:
    """With an error that says which one it is, and nothing of what it says."""
    with pytest.raises(InputError, match=where):
        read_messages(messages)


@pytest.mark.parametrize(
    "more",
    [
        {"session": ""},
        {"session": 7},
        {"agent": " "},
        {"user": "\ud800"},
        {"tags": "health"},
        {"tags": [7]},
        {"tags": [""]},
        {"tags": ["x" * 1_000]},
        {"tags": [str(n) for n in range(1_000)]},
        {"session": "x" * 3 * 2**20},
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_said_of_them_is_refused(more: dict[str, Any]) -> None:
    """A label that is blank or none, and tags that no memory may have."""
    with pytest.raises(InputError):
        read_messages([said("user")], **more)
