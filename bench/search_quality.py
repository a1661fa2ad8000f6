"""How often search finds a right source: the demo's corpus and its own questions.

    python bench/search_quality.py

The real model, on the device's index: by meaning, by words, and by both, as people search. Then
what a least similarity costs and saves: right sources that are still among the first three, and
questions about nothing in the corpus that still get an answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from coffret_vault.ingest import Draft, read_source
from coffret_vault.search import Document, MiniLmEmbedder, SearchIndex

if TYPE_CHECKING:
    from coffret_vault.search import Mode

CORPUS = Path(__file__).parent.parent / "demo" / "corpus"
SOURCES = ("journal", "notes", "chats.json")
MODES: tuple[Mode, ...] = ("semantic", "words", "fused")
DEPTHS = (1, 3, 10)
LEAST = (None, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
FOREIGN = (
    "quantum chromodynamics",
    "how do I configure nginx as a reverse proxy",
    "population of Mongolia",
    "the rules of cricket",
    "syntax of a Rust lifetime",
    "when was the battle of Hastings",
    "opening hours of the Louvre",
    "consequences of the treaty of Westphalia",
    "mitochondrial DNA inheritance",
    "how to brew kombucha",
    "photosynthesis in cacti",
    "my tax return for Brazil",
)


def corpus() -> dict[bytes, Draft]:
    """Every memory of the corpus under an id."""
    read = (item for name in SOURCES for item in read_source(CORPUS / name))
    drafts = (item for item in read if isinstance(item, Draft))
    return {number.to_bytes(16): draft for number, draft in enumerate(drafts, 1)}


def indexed(drafts: dict[bytes, Draft]) -> SearchIndex:
    """The corpus as the index takes it."""
    index = SearchIndex(MiniLmEmbedder())
    index.put(
        Document(
            id=key,
            version=1,
            created=draft.created or draft.updated or 0,
            updated=draft.updated or draft.created or 0,
            title=draft.title,
            summary=draft.summary,
            content=draft.content,
            tags=draft.tags,
            type=draft.type,
            labels=draft.labels,
        )
        for key, draft in drafts.items()
    )
    return index


def places(
    index: SearchIndex, drafts: dict[bytes, Draft], mode: Mode, least: float | None = None
) -> list[int]:
    """For each question the place of its first right hit, from 1; beyond the last, if none is."""
    asked = json.loads((CORPUS / "questions.json").read_text())["questions"]
    found = []
    for item in asked:
        hits = index.search(item["question"], limit=DEPTHS[-1], mode=mode, min_similarity=least)
        right = [drafts[hit.id].source in item["sources"] for hit in hits]
        found.append(right.index(True) + 1 if any(right) else DEPTHS[-1] + 1)
    return found


def main() -> None:
    """Measure and print."""
    drafts = corpus()
    index = indexed(drafts)
    print(f"{len(drafts)} memories; questions with a right source among the first")
    print(f"{'':10}" + "".join(f"{depth:>6}" for depth in DEPTHS))
    for mode in MODES:
        found = places(index, drafts, mode)
        counts = [sum(place <= depth for place in found) for depth in DEPTHS]
        print(f"{mode:10}" + "".join(f"{count:>6}" for count in counts) + f"  of {len(found)}")
    print("\nleast similarity   right of the first 3   foreign questions answered")
    for least in LEAST:
        found = places(index, drafts, "fused", least)
        right = sum(place <= DEPTHS[1] for place in found)
        answered = sum(bool(index.search(text, min_similarity=least)) for text in FOREIGN)
        print(f"{least or 'none':>16}{right:>14} of {len(found)}{answered:>19} of {len(FOREIGN)}")


if __name__ == "__main__":
    main()
