"""Run one case about exports through ``coffret_vault``."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from coffret_vault.ingest.draft import ImportSkipped
from coffret_vault.ingest.export import read_export

Values = dict[str, Any]


def read(given: Values) -> Values:
    """The memories of an export, which lines were skipped, and whether it is whole."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "export.jsonl"
        path.write_bytes(given["file"].encode())
        found = list(read_export(path))
    skipped = [item for item in found if isinstance(item, ImportSkipped)]
    lines = [re.search(r"line ([0-9]+)\Z", item.source) for item in skipped]
    memories = [item for item in found if not isinstance(item, ImportSkipped)]
    return {
        "memories": [_shown(msgspec.to_builtins(memory)) for memory in memories],
        "skipped": [int(line[1]) for line in lines if line],
        "whole": None not in lines,
    }


def _shown(memory: Values) -> Values:
    return memory | {"tags": list(memory["tags"])}


OPERATIONS = {"read-export": read}
