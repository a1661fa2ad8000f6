"""Search on the device: meaning and words, over opened memories that stay in this process."""

from __future__ import annotations

from coffret_vault.search.document import Document, Filters, Hit, Mode, Reason
from coffret_vault.search.embedder import Embedder
from coffret_vault.search.errors import EmbedderError, ModelDamagedError
from coffret_vault.search.index import SearchIndex, Stale, check_least, check_question
from coffret_vault.search.minilm import MiniLmEmbedder

__all__ = [
    "Document",
    "Embedder",
    "EmbedderError",
    "Filters",
    "Hit",
    "MiniLmEmbedder",
    "Mode",
    "ModelDamagedError",
    "Reason",
    "SearchIndex",
    "Stale",
    "check_least",
    "check_question",
]
