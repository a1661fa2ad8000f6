"""Import: sources into drafts, without keys and without a network.

Each importer yields, item by item, a ``Draft`` or an ``ImportSkipped`` that says why there is
none. ``read_source`` finds the right one for a path.
"""

from coffret_vault.ingest.chatgpt import read_chatgpt
from coffret_vault.ingest.chats import read_chats
from coffret_vault.ingest.claude import read_claude
from coffret_vault.ingest.detect import SourceKind, detect, read_source
from coffret_vault.ingest.draft import Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import (
    IngestError,
    SourceDamagedError,
    SourceEmptyError,
    SourceMissingError,
    SourceTooLargeError,
    SourceUnknownError,
)
from coffret_vault.ingest.everos import read_everos
from coffret_vault.ingest.export import ExportedMemory, read_export, write_export
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.markdown import read_file, read_folder
from coffret_vault.ingest.mem0 import read_mem0
from coffret_vault.ingest.plan import Action, plan_import, stale_keys

__all__ = [
    "DEFAULT_LIMITS",
    "Action",
    "Draft",
    "ExportedMemory",
    "ImportSkipped",
    "Imported",
    "IngestError",
    "Limits",
    "SourceDamagedError",
    "SourceEmptyError",
    "SourceKind",
    "SourceMissingError",
    "SourceTooLargeError",
    "SourceUnknownError",
    "detect",
    "plan_import",
    "read_chatgpt",
    "read_chats",
    "read_claude",
    "read_everos",
    "read_export",
    "read_file",
    "read_folder",
    "read_mem0",
    "read_source",
    "stale_keys",
    "write_export",
]
