"""What the search asks of an embedding model, and the arithmetic that every embedder shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from coffret_vault.search.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Sequence

Vectors: TypeAlias = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Turns text into vectors whose inner product is their likeness in meaning.

    Bring your own by having these four members. Everything an embedder is given is plaintext.
    One that takes a while to load may have ``load()`` too: it is called without arguments, in a
    thread, before the first question, while the index is read.
    """

    @property
    def model_id(self) -> str:
        """Names the model and everything that changes its vectors; another id means a rebuild."""
        ...

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of ``texts``: shape ``(len(texts), dimension)``, each of length 1."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question: shape ``(dimension,)``, of length 1."""
        ...


class NoModel:
    """Stands where a model would, in an index that is searched by words alone."""

    model_id = "none"
    dimension = 1

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """All texts alike: nobody asks for their meaning."""
        return np.ones((len(texts), self.dimension), np.float32)

    def embed_query(self, text: str) -> Vectors:
        """As every other text."""
        unit: Vectors = self.embed_documents([text])[0]
        return unit


def unit_vectors(vectors: npt.ArrayLike, *, count: int, dimension: int) -> Vectors:
    """``vectors`` as float32 rows of length 1.

    Raises:
        EmbedderError: not of shape ``(count, dimension)``, or not all finite: such a vector would
            silently be found never, or always.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.shape != (count, dimension):
        message = f"The embedding model answered {rows.shape} instead of {(count, dimension)}."
        raise EmbedderError(message)
    if not np.isfinite(rows).all():
        message = "The embedding model answered numbers that are not finite."
        raise EmbedderError(message)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.float32(1e-12)), np.float32)
