"""Chat exports become readable episodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from coffret_vault.ingest import (
    Draft,
    ImportSkipped,
    Limits,
    SourceDamagedError,
    SourceEmptyError,
    read_chatgpt,
    read_chats,
    read_claude,
    read_everos,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coffret_vault.ingest import Imported

T0 = 1_714_651_200
"""2024-05-02, noon UTC, in seconds."""


def save(root: Path, whole: object, name: str = "chats.json") -> Path:
    """Write JSON, or text as it is."""
    path = root / name
    path.write_text(whole if isinstance(whole, str) else json.dumps(whole), encoding="utf-8")
    return path


def split(items: Iterator[Imported]) -> tuple[list[Draft], list[ImportSkipped]]:
    """Sort what an importer yields."""
    every = list(items)
    return (
        [item for item in every if isinstance(item, Draft)],
        [item for item in every if isinstance(item, ImportSkipped)],
    )


def turn(text: str, at: float = 0, role: str = "user", **more: object) -> dict[str, object]:
    """A message in the own shape, ``at`` hours after noon."""
    return {"role": role, "content": text, "time": T0 + at * 3600, **more}


def test_a_conversation_reads_as_sender_and_text(tmp_path: Path) -> None:
    """Names, title, tags, times and participants of a short conversation arrive."""
    talk = {
        "id": "c1",
        "title": "Dinner\u202e plans",
        "tags": ["Food"],
        "messages": [
            turn("Octopus?", sender="Ana", id="m1"),
            turn("Yes.\n\nAt eight.", 0.5, "assistant"),
        ],
    }
    (draft,), skipped = split(read_chats(save(tmp_path, {"conversations": [talk]})))
    assert skipped == []
    assert draft == Draft(
        key="chat:c1#m1",
        source="chat:c1",
        content="Ana: Octopus?\n\nAssistant: Yes.\n\nAt eight.",
        title="Dinner plans",
        tags=("food",),
        labels={"session": "c1", "participants": "Ana, Assistant"},
        created=T0 * 1_000_000,
        updated=(T0 + 1800) * 1_000_000,
    )


@pytest.mark.parametrize(
    ("messages", "title"),
    [
        ([turn("Hi"), turn("Hello", role="assistant")], "Conversation with Assistant, 2024-05-02"),
        ([turn("Hi", role="friend", sender="Rui")], "Conversation with Rui, 2024-05-02"),
        ([turn("Note to self")], "Conversation with Me, 2024-05-02"),
        ([{"content": "Undated"}], "Conversation with Someone"),
        (
            [turn("x", role="x", sender=name) for name in ("A", "B")],
            "Conversation with A and B, 2024-05-02",
        ),
        (
            [turn("x", role="x", sender=name) for name in "ABCDE"],
            "Conversation with A, B, C and 2 more, 2024-05-02",
        ),
    ],
)
def test_a_conversation_without_title_gets_a_neutral_one(
    tmp_path: Path, messages: list[object], title: str
) -> None:
    """Names and a date are all that a made-up title says."""
    (draft,), _ = split(read_chats(save(tmp_path, messages)))
    assert draft.title == title


def test_silence_starts_a_new_episode(tmp_path: Path) -> None:
    """A gap longer than the limit cuts, one of exactly the limit does not."""
    messages = [turn("a"), turn("b", 6), turn("c", 12.01), {"content": "d"}, turn("e", 30)]
    talk = {"id": "c", "title": "T", "messages": messages}
    drafts, _ = split(read_chats(save(tmp_path, talk)))
    assert [(draft.title, draft.content) for draft in drafts] == [
        ("T", "Me: a\n\nMe: b"),
        ("T (2024-05-03)", "Me: c\n\nSomeone: d"),
        ("T (2024-05-03)", "Me: e"),
    ]
    assert [draft.key for draft in drafts] == ["chat:c#1", "chat:c#3", "chat:c#5"]


def test_a_long_conversation_is_cut_before_a_person_speaks(tmp_path: Path) -> None:
    """An answer stays with its question until the episode is twice its size."""
    limits = Limits(episode_chars=100)
    messages = [
        turn("q" * 60),
        turn("a" * 90, role="assistant"),
        turn("q" * 30),
        turn("a" * 180, role="assistant"),
    ]
    drafts, _ = split(read_chats(save(tmp_path, messages), limits=limits))
    assert [draft.content.count(": ") for draft in drafts] == [2, 1, 1]


def test_a_very_long_message_is_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    """The parts of one turn are episodes with keys of their own."""
    text = "word " * 200
    drafts, _ = split(read_chats(save(tmp_path, [turn(text)]), limits=Limits(episode_chars=100)))
    assert sum(draft.content.count("word") for draft in drafts) == 200
    assert len({draft.key for draft in drafts}) == len(drafts) == 5


def test_keys_survive_a_longer_export(tmp_path: Path) -> None:
    """More messages later extend the last episode and add new ones; no key changes."""
    messages = [turn(str(number), number * 4) for number in range(10)]
    before, _ = split(read_chats(save(tmp_path, messages[:7])))
    after, _ = split(read_chats(save(tmp_path, messages)))
    assert [draft.key for draft in after][: len(before)] == [draft.key for draft in before]


def test_json_lines_are_grouped_by_conversation(tmp_path: Path) -> None:
    """One message a line, interleaved conversations, and a bad line costs only itself."""
    lines = [
        json.dumps(turn("a1", conversation="a")),
        "not json",
        json.dumps(turn("b1", conversation="b")),
        "",
        json.dumps(turn("a2", 1, conversation="a")),
        json.dumps({"role": "user"}),
    ]
    drafts, skipped = split(read_chats(save(tmp_path, "\n".join(lines), "log.jsonl")))
    assert [draft.content for draft in drafts] == ["Me: a1\n\nMe: a2", "Me: b1"]
    assert [item.source for item in skipped] == ["log.jsonl, line 2", "log.jsonl, line 6"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "user"}, "missing required field `content`"),
        ({"content": " \n"}, "a message without text"),
        ({"content": 5}, "Expected `str`, got `int`"),
        ("words", "Expected `object`, got `str`"),
    ],
)
def test_a_bad_message_costs_only_itself(tmp_path: Path, message: object, reason: str) -> None:
    """The others are imported, and the bad one is named with its position."""
    talk = {"messages": [turn("good"), message]}
    (draft,), (item,) = split(read_chats(save(tmp_path, {"conversations": [talk]})))
    assert draft.content == "Me: good"
    assert item.source == "chats.json, conversation 1, message 2"
    assert reason in item.reason


def test_a_bad_conversation_costs_only_itself(tmp_path: Path) -> None:
    """Conversations of another shape, or without messages, are named."""
    talks = [{"messages": 5}, {"id": "x"}, 7, {"messages": []}, {"messages": [turn("good")]}]
    (draft,), skipped = split(read_chats(save(tmp_path, {"conversations": talks})))
    assert draft.content == "Me: good"
    assert [item.source for item in skipped] == [
        f"chats.json, conversation {number}" for number in (1, 2, 3, 4)
    ]


def test_half_an_emoji_does_not_cost_the_file(tmp_path: Path) -> None:
    """A lone surrogate escape becomes U+FFFD; whole pairs and escaped backslashes stay."""
    text = r'[{"content": "a \ud83d b \ud83d\ude00 c \\ud83d d \ude00 end of it"}]'
    (draft,), _ = split(read_chats(save(tmp_path, text)))
    assert draft.content == "Someone: a \ufffd b 😀 c \\ud83d d \ufffd end of it"


@pytest.mark.parametrize("read", [read_chats, read_chatgpt, read_claude, read_everos])
@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,", "5", '"text"', "\xff", "[" * 100_000, '{"a": ' * 100_000, "null"],
)
def test_damaged_files_are_refused_with_our_error(
    tmp_path: Path, read: Callable[[Path], Iterator[Imported]], text: str
) -> None:
    """What is not JSON of the right outer shape never shows a parser's own exception."""
    with pytest.raises(SourceDamagedError):
        list(read(save(tmp_path, text)))


@pytest.mark.parametrize("read", [read_chats, read_chatgpt, read_claude])
def test_an_empty_list_is_a_clear_error(
    tmp_path: Path, read: Callable[[Path], Iterator[Imported]]
) -> None:
    """A file without conversations says so."""
    with pytest.raises(SourceEmptyError):
        list(read(save(tmp_path, [])))


def node(
    name: str, parent: str | None, role: str, parts: list[object], **message: object
) -> dict[str, object]:
    """A node of ChatGPT's tree."""
    said = {
        "id": f"id-{name}",
        "author": {"role": role},
        "create_time": T0 + len(name),
        "content": {"content_type": "text", "parts": parts},
        **message,
    }
    return {"id": name, "parent": parent, "children": [], "message": said}


def test_chatgpt_imports_the_branch_last_shown(tmp_path: Path) -> None:
    """Abandoned branches, system prompts, tools and hidden messages are left out."""
    nodes: list[dict[str, object]] = [
        {"id": "root", "parent": None, "children": ["sys"], "message": None},
        node("sys", "root", "system", ["You are helpful."]),
        node("q", "sys", "user", ["Which train?"]),
        node("old", "q", "assistant", ["The slow one."]),
        node("tool", "q", "tool", ["{}"]),
        node("call", "tool", "assistant", ["search()"], recipient="browser"),
        node(
            "hide", "call", "user", ["x"], metadata={"is_visually_hidden_from_conversation": True}
        ),
        node("new", "hide", "assistant", ["The fast one.", {"asset_pointer": "file"}]),
    ]
    talk = {
        "title": "Trains",
        "conversation_id": "c9",
        "current_node": "new",
        "mapping": {str(item["id"]): item for item in nodes},
    }
    (draft,), skipped = split(read_chatgpt(save(tmp_path, [talk])))
    assert skipped == []
    assert draft.content == "Me: Which train?\n\nAssistant: The fast one.\n\n[attachment]"
    assert (draft.title, draft.key) == ("Trains", "chatgpt:c9#id-q")


def test_chatgpt_damage_is_survived(tmp_path: Path) -> None:
    """A cycle, a missing current node, a broken message and an empty tree each end well."""
    cycle = {"a": node("a", "b", "user", ["x"]), "b": node("b", "a", "assistant", ["y"])}
    broken = {"a": {"id": "a", "message": {"author": 5}}, "b": node("b", "a", "user", ["z"])}
    talks = [
        {"id": "1", "current_node": "b", "mapping": cycle},
        {"id": "2", "current_node": "gone", "mapping": broken},
        {"id": "3", "mapping": {}},
        {"id": "4", "mapping": 5},
    ]
    drafts, skipped = split(read_chatgpt(save(tmp_path, talks)))
    assert [draft.content for draft in drafts] == ["Me: x\n\nAssistant: y", "Me: z"]
    assert [item.source for item in skipped] == [
        "chats.json, conversation 2, message 1",
        "chats.json, conversation 3",
        "chats.json, conversation 4",
    ]


def test_claude_imports_words_and_names_of_files(tmp_path: Path) -> None:
    """Text blocks of both sides count, tool use does not, attachments appear by name."""
    talk = {
        "uuid": "u1",
        "name": "",
        "chat_messages": [
            {
                "uuid": "m1",
                "sender": "human",
                "text": "See this",
                "content": [],
                "created_at": "2024-05-02T12:00:00Z",
                "attachments": [{"file_name": "lease.pdf", "extracted_content": "..."}],
            },
            {
                "uuid": "m2",
                "sender": "assistant",
                "text": "fallback",
                "content": [
                    {"type": "tool_use", "name": "x"},
                    {"type": "text", "text": "It is fine."},
                ],
            },
            {"uuid": "m3", "sender": "assistant", "text": ""},
        ],
    }
    (draft,), skipped = split(read_claude(save(tmp_path, [talk])))
    assert skipped == []
    assert draft.content == "Me: See this\n\n[attachment: lease.pdf]\n\nAssistant: It is fine."
    assert (draft.title, draft.key) == ("Conversation with Assistant, 2024-05-02", "claude:u1#m1")


def test_everos_names_people_and_groups(tmp_path: Path) -> None:
    """In a group nobody is taken for the owner, and full names are used."""
    whole = {
        "session_meta": {
            "name": "Team",
            "group_id": "g1",
            "tags": ["Work"],
            "user_details": {
                "u1": {"full_name": "Ana Reis", "role": "user"},
                "u2": {"full_name": "Rui", "role": "user"},
            },
        },
        "conversation_list": [
            {"message_id": "1", "sender": "u1", "content": "Ready?", "create_time": T0},
            {"message_id": "2", "sender": "u2", "content": "Yes."},
            {"message_id": "3", "sender": "u3", "sender_name": "Eva", "content": "No."},
        ],
    }
    (draft,), _ = split(read_everos(save(tmp_path, whole)))
    assert draft.content == "Ana Reis: Ready?\n\nRui: Yes.\n\nEva: No."
    assert (draft.title, draft.key, draft.tags) == ("Team", "everos:g1#1", ("work",))
    assert draft.labels["group"] == "g1"
