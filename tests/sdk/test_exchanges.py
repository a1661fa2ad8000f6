"""The ids of exchanges: the same again for the same words, and nothing to those without the key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from coffret.exchanges import named
from coffret_vault.ingest.messages import read_messages

KEY, OTHER = b"k" * 32, b"o" * 32
talks = st.lists(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "assistant"]),
        st.sampled_from(["yes", "no", "yes no", "Ana: yes"]),
    ),
    min_size=1,
    max_size=8,
)


def ids(messages: list[dict[str, Any]], key: bytes = KEY, **of: Any) -> list[bytes]:
    """The ids of a conversation's exchanges."""
    return [item.id for item in named(key, read_messages(messages, **of))]


@given(talks, talks)
def test_a_conversation_that_grows_keeps_its_ids(talk: Any, more: Any) -> None:
    """All exchanges but the last have the ids that they had, and the last had its own before."""
    before = named(KEY, read_messages(talk, session="s"))
    after = named(KEY, read_messages(talk + more, session="s"))
    every = {identifier for item in after for identifier in item.ids}
    assert {item.id for item in before} <= every
    assert {item.id for item in before[:-1]} <= {item.id for item in after}


@given(talks, st.integers(0, 7))
def test_a_window_of_a_conversation_has_its_ids(talk: Any, first: int) -> None:
    """Where only the last messages are sent, whole exchanges among them are known again."""
    begins = [n for n in range(1, len(talk)) if talk[n]["role"] == "user"]
    begins = [n for n in begins if talk[n - 1]["role"] != "user"]
    if begins:
        window = talk[begins[first % len(begins)] :]
        assert set(ids(window, session="s")) <= set(ids(talk, session="s"))


@given(talks, talks)
def test_other_words_have_other_ids(one: Any, two: Any) -> None:
    """Two exchanges have one id only where the same was said by the same in the same order."""
    mine = {
        item.id: [(m.role, m.text) for m in item.exchange.messages]
        for item in named(KEY, read_messages(one, session="s"))
    }
    for item in named(KEY, read_messages(two, session="s")):
        words = [(m.role, m.text) for m in item.exchange.messages]
        assert (item.id in mine) == (words in mine.values())


def test_ids_are_of_a_key_a_conversation_and_its_people() -> None:
    """Another key, session, agent or user gives other ids: no guess is confirmed by an id."""
    talk = [{"role": "user", "content": "yes"}]
    every = [
        ids(talk, session="s"),
        ids(talk, OTHER, session="s"),
        ids(talk, session="t"),
        ids(talk),
        ids(talk, session="s", agent="a"),
        ids(talk, session="s", user="a"),
        ids([{"role": "assistant", "content": "yes"}], session="s"),
        ids([{"role": "user", "content": "yes", "name": "Ana"}], session="s"),
    ]
    assert len({tuple(found) for found in every}) == len(every)
    assert all(UUID(bytes=found[0]).version == 8 for found in every)


def test_what_is_said_twice_is_named_once() -> None:
    """The same question with the same answer, again in one conversation, is one memory."""
    talk = [{"role": "user", "content": "yes"}, {"role": "assistant", "content": "no"}]
    assert len(ids(talk * 3, session="s")) == 1
