"""Other embedding models, for those who bring them: same protocol, nothing imported before use.

``FastEmbedEmbedder`` and ``SentenceTransformersEmbedder`` run on this device, and may download a
model from a hub the first time, as those libraries do. ``ServedEmbedder`` sends text away.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from coffret_vault.search.embedder import Vectors, unit_vectors
from coffret_vault.search.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class FastEmbedEmbedder:
    """A model of the ``fastembed`` library (``pip install 'coffret[fastembed]'``)."""

    def __init__(self, model: str = "BAAI/bge-small-en-v1.5", **options: object) -> None:
        """Load ``model``; ``options`` go to ``fastembed.TextEmbedding`` (say, ``cache_dir``).

        Raises:
            EmbedderError: the library is not installed, or does not know the model.
        """
        library = _library("fastembed")
        self._model = _made(model, lambda: library.TextEmbedding(model, **options))
        self.model_id = f"fastembed/{model}"
        self.dimension = len(next(iter(self._model.embed(["dimension"]))))

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder``."""
        return _rows(self._model.embed(list(texts)), len(texts), self.dimension)

    def embed_query(self, text: str) -> Vectors:
        """See ``Embedder``; with the prefix that the model wants before a question, if any."""
        vector: Vectors = _rows(self._model.query_embed(text), 1, self.dimension)[0]
        return vector


class SentenceTransformersEmbedder:
    """A model of ``sentence-transformers`` (``pip install 'coffret[sentence-transformers]'``)."""

    def __init__(self, model: str, *, query_prompt: str | None = None, **options: object) -> None:
        """Load ``model``; ``options`` go to ``SentenceTransformer`` (say, ``local_files_only``).

        Args:
            model: name or folder.
            query_prompt: the name of the prompt that the model wants before a question.
            options: passed on.

        Raises:
            EmbedderError: the library is not installed, or cannot load the model.
        """
        library = _library("sentence_transformers")
        self._model = _made(model, lambda: library.SentenceTransformer(model, **options))
        self._prompt = query_prompt
        self.model_id = f"sentence-transformers/{model}"
        # The library has renamed the method that tells it, and lets it tell nothing.
        self.dimension = len(self._model.encode(["dimension"], show_progress_bar=False)[0])

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder``."""
        found = self._model.encode(list(texts), show_progress_bar=False)
        return _rows(found, len(texts), self.dimension)

    def embed_query(self, text: str) -> Vectors:
        """See ``Embedder``."""
        found = self._model.encode([text], prompt_name=self._prompt, show_progress_bar=False)
        vector: Vectors = _rows(found, 1, self.dimension)[0]
        return vector


class ServedEmbedder:
    """A model behind an OpenAI-compatible ``/embeddings`` URL.

    **The text of every memory and of every question leaves this process**, unencrypted unless the
    URL says ``https``, and whoever serves the URL can read and keep it. Use it for a model server
    of your own on this machine, and for nothing you would not tell the one who runs it.
    """

    def __init__(
        self,
        post: Callable[[str, dict[str, object]], Mapping[str, Any]],
        url: str,
        model: str,
        dimension: int,
    ) -> None:
        """Prepare, sending nothing yet.

        Args:
            post: sends a JSON body to a URL and answers the decoded JSON; raises on failure. This
                package has no network code of its own.
            url: for example ``http://127.0.0.1:11434/v1/embeddings``.
            model: the name the server knows the model by.
            dimension: how many numbers its vectors have.
        """
        self._post, self._url, self._model = post, url, model
        self.model_id = f"served/{model}/{dimension}"
        self.dimension = dimension

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder``. One request."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        answer = self._post(self._url, {"model": self._model, "input": list(texts)})
        try:
            entries = sorted(answer["data"], key=lambda entry: entry["index"])
            return _rows((entry["embedding"] for entry in entries), len(texts), self.dimension)
        except (KeyError, TypeError, ValueError, OverflowError):
            message = "The embedding server answered in another format."
            raise EmbedderError(message) from None

    def embed_query(self, text: str) -> Vectors:
        """See ``Embedder``."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector


def _library(name: str) -> Any:  # noqa: ANN401 - an optional library without types
    try:
        return importlib.import_module(name)
    except ImportError:
        extra = name.replace("_", "-")
        message = f"The library {extra} is not installed."
        raise EmbedderError(message, hint=f"pip install 'coffret[{extra}]'") from None


def _made(model: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - the library's own model
    try:
        return make()
    except (ValueError, OSError, RuntimeError) as error:
        message = f"The embedding model {model} cannot be loaded ({type(error).__name__})."
        raise EmbedderError(message) from error


def _rows(found: Any, count: int, dimension: int) -> Vectors:  # noqa: ANN401 - rows of any library
    rows = np.array([np.asarray(row, np.float32) for row in found], np.float32)
    if not count:
        return np.zeros((0, dimension), np.float32)
    return unit_vectors(rows, count=count, dimension=dimension)
