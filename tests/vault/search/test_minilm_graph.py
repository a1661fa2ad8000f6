"""The default model's own graph: what it answers is what the published one does, nearly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime  # type: ignore[import-untyped]

from coffret_vault.search import minilm
from coffret_vault.search.minilm import MiniLmEmbedder
from coffret_vault.search.minilm_graph import LONGEST, PIECES, minilm_graph
from coffret_vault.search.wordpiece import WordPiece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret_vault.search.embedder import Vectors

TEXTS = (
    "We ate octopus by the river in Lisbon.",
    "The violin lesson is on Thursday at six, and the bow needs new hair before that.",
    "Ärztin sagt: weniger Kaffee, mehr Schlaf; Termin am 4. Dezember",
    "x",
    "invoice 2024-117, 4,310.55 EUR, due in 30 days " * 40,
)


def _published(texts: Sequence[str]) -> Vectors:
    """The vectors of the published graph, which counts in floats."""
    pieces = minilm._VOCABULARY.read_text("utf-8").rstrip("\n").split("\n")
    tokenizer = WordPiece(pieces)
    session = onnxruntime.InferenceSession(minilm._installed_weights().read_bytes())
    rows = []
    for text in texts:
        numbers = np.array([tokenizer.encode(text, limit=LONGEST)])
        feed = {"input_ids": numbers, "attention_mask": numbers**0, "token_type_ids": numbers * 0}
        row = session.run(["last_hidden_state"], feed)[0][0].mean(axis=0)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows, np.float32)


def test_it_is_the_published_model() -> None:
    """Each vector is as good as that of the published graph, for texts short, long and foreign."""
    own = MiniLmEmbedder(threads=1).embed_documents(TEXTS)
    assert (np.vecdot(own, _published(TEXTS)) > 0.97).all()


def test_it_keeps_the_weights_in_eight_bits() -> None:
    """The graph is no larger than the published file: nothing of it was widened to floats."""
    weights = minilm._installed_weights().read_bytes()
    assert len(minilm_graph(weights)) < 1.02 * len(weights)


def test_a_text_may_be_as_long_as_the_model_allows() -> None:
    """All its places are there: the longest text, and the shortest, have finite vectors."""
    session = minilm._open_session(minilm_graph(minilm._installed_weights().read_bytes()))
    for count in (1, LONGEST):
        (vector,) = session.run(None, {PIECES: np.full((1, count), 2_000)})[0]
        assert np.isfinite(vector).all()
        assert vector.any()
