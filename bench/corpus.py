"""Made memories, the same in every run: 40 words each, a title, tags, a type, an importance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.search_latency import MadeEmbedder, corpus
from coffret import Fields, NewMemory
from coffret_vault.search import MiniLmEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret_vault.search import Document


def documents(count: int) -> list[Document]:
    """Documents whose words are as frequent as in English."""
    return corpus(count)


def memories(found: Sequence[Document]) -> list[NewMemory]:
    """The documents as memories to be written; about 0.4 KB of text each."""
    return [
        NewMemory(
            Fields(
                content=document.content,
                title=document.title,
                tags=tuple(document.tags),
                type=document.type,
                importance=document.importance,
            )
        )
        for document in found
    ]


class StandInEmbedder(MadeEmbedder):
    """Made vectors under the built-in model's name, so that it takes the index for its own.

    Embedding 10,000 texts would take minutes and is not what is measured.
    """

    model_id = MiniLmEmbedder().model_id
