"""Import: sources into drafts, without keys and without a network.

Each importer yields, item by item, a ``Draft`` or an ``ImportSkipped`` that says why there is
none. ``read_source`` finds the right one for a path.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coffret_vault.ingest.chatgpt import read_chatgpt
    from coffret_vault.ingest.chats import read_chats
    from coffret_vault.ingest.claude import read_claude
    from coffret_vault.ingest.detection import SourceKind, detect, read_source
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
    from coffret_vault.ingest.gemini import read_gemini
    from coffret_vault.ingest.graph import read_graph
    from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
    from coffret_vault.ingest.markdown import read_file, read_folder
    from coffret_vault.ingest.mem0 import read_mem0
    from coffret_vault.ingest.plan import Action, plan_import
    from coffret_vault.ingest.supermemory import read_supermemory

_HOMES = {
    "Action": "coffret_vault.ingest.plan",
    "DEFAULT_LIMITS": "coffret_vault.ingest.limits",
    "detect": "coffret_vault.ingest.detection",
    "Draft": "coffret_vault.ingest.draft",
    "ExportedMemory": "coffret_vault.ingest.export",
    "Imported": "coffret_vault.ingest.draft",
    "ImportSkipped": "coffret_vault.ingest.draft",
    "IngestError": "coffret_vault.ingest.errors",
    "Limits": "coffret_vault.ingest.limits",
    "plan_import": "coffret_vault.ingest.plan",
    "read_chatgpt": "coffret_vault.ingest.chatgpt",
    "read_chats": "coffret_vault.ingest.chats",
    "read_claude": "coffret_vault.ingest.claude",
    "read_everos": "coffret_vault.ingest.everos",
    "read_export": "coffret_vault.ingest.export",
    "read_file": "coffret_vault.ingest.markdown",
    "read_folder": "coffret_vault.ingest.markdown",
    "read_gemini": "coffret_vault.ingest.gemini",
    "read_graph": "coffret_vault.ingest.graph",
    "read_supermemory": "coffret_vault.ingest.supermemory",
    "read_mem0": "coffret_vault.ingest.mem0",
    "read_source": "coffret_vault.ingest.detection",
    "SourceDamagedError": "coffret_vault.ingest.errors",
    "SourceEmptyError": "coffret_vault.ingest.errors",
    "SourceKind": "coffret_vault.ingest.detection",
    "SourceMissingError": "coffret_vault.ingest.errors",
    "SourceTooLargeError": "coffret_vault.ingest.errors",
    "SourceUnknownError": "coffret_vault.ingest.errors",
    "write_export": "coffret_vault.ingest.export",
}

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
    "read_gemini",
    "read_graph",
    "read_mem0",
    "read_source",
    "read_supermemory",
    "write_export",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    """Look a name up in its module when it is first asked for: YAML and Markdown take a while."""
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)
