"""Two engines behind one interface: SQLite in the process, and PostgreSQL."""

from coffret_server.storage.base import DuplicateRowError, Storage, Tx, session_tx
from coffret_server.storage.open import open_storage

__all__ = ["DuplicateRowError", "Storage", "Tx", "open_storage", "session_tx"]
