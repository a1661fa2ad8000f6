"""Exchanges of a conversation as new memories, whose ids say the same conversation again.

For owners and apps: whoever writes has a secret key of its own. The id of an exchange follows from
that key, the conversation's name and what was said, so it tells a server nothing, not even whether
a guess is right; and whoever adds the conversation again finds what is there by its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.memories import NewMemory
from coffret_vault.ingest.messages import Exchange  # msgspec reads the annotations at run time
from coffret_vault.primitives.mac import mac
from coffret_vault.records.memory import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coffret_vault.ingest.messages import Read

_ID = 16


class Named(msgspec.Struct, frozen=True):
    """An exchange, and the ids that it had or has as it grew by one message after another.

    Attributes:
        exchange: what was said.
        ids: of its first message alone, of its first two, and so on: the last is that of all.
    """

    exchange: Exchange
    ids: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"<Named {len(self.ids)}>"

    @property
    def id(self) -> bytes:
        """The id of the exchange as it is now."""
        return self.ids[-1]

    def new(self, *, sealed: bool | None) -> NewMemory:
        """The memory that it becomes."""
        draft = self.exchange.draft
        fields = Fields(
            content=draft.content,
            title=draft.title,
            tags=draft.tags,
            source=draft.source,
            labels=dict(draft.labels),
            sealed=sealed,
        )
        return NewMemory(fields, memory_id=self.id)


def named(key: bytes, read: Read) -> list[Named]:
    """The exchanges that were read, each once, with their ids.

    What is said twice in one conversation, word for word, is one memory: who sends a window of a
    conversation that moves on cannot be told from who says a thing again.

    Args:
        key: 32 secret bytes, used for nothing else.
        read: the exchanges of one conversation.
    """
    found: dict[bytes, Named] = {}
    for exchange in read.exchanges:
        item = Named(exchange, tuple(_ids(key, read.session, exchange)))
        found.setdefault(item.id, item)
    return list(found.values())


def _ids(key: bytes, session: str, exchange: Exchange) -> Iterator[bytes]:
    labels = exchange.draft.labels
    token = mac(key, _encoded((session, labels.get("agent", ""), labels.get("user", ""))))
    for message in exchange.messages:
        # Each token is the key's word for all before it; its length sets it apart from the rest.
        token = mac(key, token + _encoded((message.role, message.sender, message.text)))
        yield _uuid(token)


def _encoded(texts: Sequence[str]) -> bytes:
    return msgspec.msgpack.encode(tuple(texts))


def _uuid(token: bytes) -> bytes:
    """A UUIDv8 (RFC 9562): bits of our own but for those that say so."""
    made = bytearray(token[:_ID])
    made[6] = 0x80 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return bytes(made)
