"""Search on the device: meaning and words, over opened memories that stay in this process."""

from __future__ import annotations

from coffret_vault.search.embedder import Embedder
from coffret_vault.search.minilm import MiniLmEmbedder

__all__ = ["Embedder", "MiniLmEmbedder"]
