"""The device's copy: SQLite that holds envelopes, wraps and log entries, and nothing opened."""

from coffret_vault.store.grants import GrantRow
from coffret_vault.store.memories import StoredRecord, Wanted
from coffret_vault.store.notes import is_of, open_note, seal_note
from coffret_vault.store.schema import decoded, is_in_use
from coffret_vault.store.seals import Sealing
from coffret_vault.store.store import Store, log_was_changed

__all__ = [
    "GrantRow",
    "Sealing",
    "Store",
    "StoredRecord",
    "Wanted",
    "decoded",
    "is_in_use",
    "is_of",
    "log_was_changed",
    "open_note",
    "seal_note",
]
