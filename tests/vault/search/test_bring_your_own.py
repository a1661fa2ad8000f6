"""Embedders that people bring: the same protocol, clear errors, nothing sent unasked."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from coffret_vault.search.bring_your_own import (
    FastEmbedEmbedder,
    SentenceTransformersEmbedder,
    ServedEmbedder,
)
from coffret_vault.search.errors import EmbedderError


class FakeModel:
    """Behaves like the models of both libraries: a text's vector is about its length."""

    def __init__(self, name: str, **options: object) -> None:
        """Know one name."""
        if name == "unknown":
            message = "no such model"
            raise ValueError(message)
        self.options = options

    def embed(self, texts: list[str]) -> Any:
        """Unnormalised vectors, one at a time."""
        return (np.array([len(text), 1, 2.0]) for text in texts)

    def query_embed(self, text: str) -> Any:
        """The same for a question."""
        return self.embed([text])

    def encode(self, texts: list[str], **_: object) -> Any:
        """The same as one array."""
        return np.array(list(self.embed(texts)))


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the optional libraries."""
    fast, sentence = ModuleType("fastembed"), ModuleType("sentence_transformers")
    fast.TextEmbedding = FakeModel  # type: ignore[attr-defined]
    sentence.SentenceTransformer = FakeModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastembed", fast)
    monkeypatch.setitem(sys.modules, "sentence_transformers", sentence)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("kind", [FastEmbedEmbedder, SentenceTransformersEmbedder])
def test_a_library_s_vectors_become_unit_rows(kind: Any) -> None:
    """Both adapters answer float32 rows of length 1, and name the model they come from."""
    embedder = kind("small")
    rows = embedder.embed_documents(["a", "bcd"])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(embedder.embed_query("bcd"), rows[1])
    assert embedder.embed_documents([]).shape[0] == 0
    assert embedder.model_id.endswith("/small")
    assert embedder.dimension == 3


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("kind", [FastEmbedEmbedder, SentenceTransformersEmbedder])
def test_an_unknown_model_is_named(kind: Any) -> None:
    """A model that the library cannot load is an error of ours, with its name."""
    with pytest.raises(EmbedderError, match="unknown"):
        kind("unknown")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(FastEmbedEmbedder, "fastembed"), (SentenceTransformersEmbedder, "sentence_transformers")],
)
def test_a_missing_library_is_named(kind: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library the error says what to install."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EmbedderError) as caught:
        kind("small")
    assert "pip install" in caught.value.hint


def test_a_served_model_gets_one_request_and_keeps_the_order() -> None:
    """Texts go to the given function once, and answers are put in the order of the texts."""
    sent = []

    def post(url: str, body: dict[str, object]) -> dict[str, Any]:
        sent.append((url, body))
        entries = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 0]}]
        return {"data": entries}

    embedder = ServedEmbedder(post, "http://127.0.0.1:1/v1/embeddings", "m", 2)
    assert sent == []
    assert embedder.embed_documents([]).shape == (0, 2)
    np.testing.assert_allclose(embedder.embed_documents(["a", "b"]), [[1, 0], [0, 1]])
    assert sent == [("http://127.0.0.1:1/v1/embeddings", {"model": "m", "input": ["a", "b"]})]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": None},
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": "x"}]},
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0, float("nan")]}]},
        {"data": [{"index": 0, "embedding": [1.0, 10**400]}]},
        {"data": []},
    ],
)
def test_an_odd_answer_of_a_server_is_an_embedder_error(answer: dict[str, Any]) -> None:
    """Whatever a server answers, it is vectors of the right shape or a clear error."""
    with pytest.raises(EmbedderError):
        ServedEmbedder(lambda _url, _body: answer, "http://127.0.0.1:1", "m", 2).embed_query("x")
