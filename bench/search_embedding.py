"""The default embedder: texts a second, milliseconds a question, and the tokenizer by itself.

Beside it the graph that was published with the model's weights (docs/adr/0040).

    python bench/search_embedding.py [--texts 160] [--words 75]

Texts are made of English words; 75 words are about 100 tokens. If the library ``tokenizers`` and a
``tokenizer.json`` of the model are at hand (``--tokenizer PATH``), it is measured beside ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from coffret_vault.search import MiniLmEmbedder, minilm
from coffret_vault.search.wordpiece import WordPiece

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret_vault.search.embedder import Vectors

_SAMPLE = """
we walked along the river in the evening and talked about the house that grandmother had sold
before the winter while children were playing football near bridge someone remembered how cold
water was yesterday morning doctor recommended less coffee more sleep appointment moved
thursday december train ticket costs forty euros restaurant reservation anniversary surprise
violin lesson unfortunately rain
"""
WORDS = _SAMPLE.split()


def texts_of(count: int, words: int) -> list[str]:
    """Texts of about ``words`` words, half as long to half as long again."""
    rng = random.Random(4)  # noqa: S311 - sample data
    return [
        " ".join(rng.choices(WORDS, k=rng.randint(words // 2, words + words // 2)))
        for _ in range(count)
    ]


class Published(MiniLmEmbedder):
    """The same model by the graph that was published with its weights, which counts in floats."""

    def load(self) -> None:
        """As ever, but for the graph."""
        with patch.object(minilm, "minilm_graph", bytes):
            super().load()

    def _run(self, pieces: Sequence[int]) -> Vectors:
        numbers = np.array([pieces], np.int64)
        feed = {"input_ids": numbers, "attention_mask": numbers**0, "token_type_ids": numbers * 0}
        mean: Vectors = self._session.run(["last_hidden_state"], feed)[0][0].mean(axis=0)
        return mean


def embedding(texts: list[str]) -> None:
    """Print texts a second, milliseconds a question, and how alike the two graphs' vectors are."""
    importlib.import_module("onnxruntime")  # for a tenth of a second, whose the first would be
    found = []
    for name, kind, threads in (
        ("the published graph", Published, 1),
        ("our own", MiniLmEmbedder, 1),
        ("our own", MiniLmEmbedder, 2),
    ):
        embedder = kind(threads=threads)
        start = time.perf_counter()
        embedder.load()
        loaded = time.perf_counter()
        found.append(embedder.embed_documents(texts))
        rate = len(texts) / (time.perf_counter() - loaded)
        taken = []
        for text in texts[:60]:
            asked = time.perf_counter()
            embedder.embed_query(" ".join(text.split()[:10]) + "?")
            taken.append((time.perf_counter() - asked) * 1e3)
        print(
            f"{name}, {threads} at a time: loaded in {(loaded - start) * 1e3:.0f} ms, "
            f"{rate:.1f} texts/s, a question of ten words in {statistics.median(taken):.1f} ms"
        )
    alike = np.vecdot(found[0], found[1])
    print(f"cosines between the two: {alike.mean():.4f}, the least {alike.min():.4f}")


def tokenizing(texts: list[str], reference: Path | None) -> None:
    """Print texts a second of our tokenizer, cold and warm, and of the reference."""
    pieces = minilm._VOCABULARY.read_text("utf-8").rstrip("\n").split("\n")  # noqa: SLF001
    wordpiece = WordPiece(pieces)

    def own(text: str) -> list[int]:
        return wordpiece.encode(text, limit=256)

    encoders: dict[str, Callable[[str], object]] = {"own": own, "own, words met before": own}
    if reference is not None and importlib.util.find_spec("tokenizers"):
        from tokenizers import Tokenizer  # type: ignore[import-not-found]  # noqa: PLC0415

        theirs = Tokenizer.from_file(str(reference))
        encoders["tokenizers"] = lambda text: theirs.encode(text).ids
    for name, encode in encoders.items():
        start = time.perf_counter()
        for text in texts:
            encode(text)
        print(f"tokenizer, {name}: {len(texts) / (time.perf_counter() - start):,.0f} texts/s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=160)
    parser.add_argument("--words", type=int, default=75)
    parser.add_argument("--tokenizer", type=Path)
    options = parser.parse_args()
    texts = texts_of(options.texts, options.words)
    embedding(texts)
    tokenizing(texts_of(2_000, options.words), options.tokenizer)


if __name__ == "__main__":
    main()
