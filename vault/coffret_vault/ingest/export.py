r"""Coffret's own export: JSONL, lossless, readable by any program.

::

    {"format":"coffret-export","version":1}
    {"key":"…","source":"…","content":"…","title":"…",…,"id":"…","status":"approved"}
    {"end":1}

The first line names the format and its version. Each further line is a memory: the fields of
``Draft``, times in microseconds since 1970 UTC, and what a vault adds (``ExportedMemory``). The
last line gives their number, so that a file cut short is noticed. Text is UTF-8, lines end with
``\n``, unknown fields are ignored, fields that hold their default may be missing.

The file is plaintext: whoever has it can read every memory in it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated

import msgspec

from coffret_vault.ingest.draft import Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import SourceDamagedError, SourceMissingError, SourceUnknownError
from coffret_vault.ingest.fits import check_fits
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import printable_path
from coffret_vault.ingest.reading import decode_json, json_lines, read_json, read_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = "coffret-export"
VERSION = 1
_MAX_HEADER = 256
_DIGEST = r"\A[0-9a-f]{64}\Z"
CUT_SHORT = "the export was cut short: its last line is missing"
MISCOUNTED = "the export is not whole: its last line counts other lines than there are"


class ExportedMemory(Draft, frozen=True, kw_only=True):
    """A draft with what the vault it came from knew of it.

    Attributes:
        id: the memory's id in that vault.
        version: its version there, from 1.
        status: ``pending_review``, ``approved`` or ``rejected``.
        author: ``owner`` or an app's id.
        reviewed_by: who accepted or rejected it.
        reviewed_at: when, microseconds UTC.
        sealed: title, importance and tags were kept from the server.
        valid_from: when what it says began to be true, microseconds UTC.
        valid_until: when it ceased to be.
        provenance: how it came about, for machines.
        imported: the digest of the piece of a source that an import last wrote into it (SHA-256, in
            hex), if one did.
    """

    id: str | None = None
    version: int | None = None
    status: str | None = None
    author: str | None = None
    reviewed_by: str | None = None
    reviewed_at: int | None = None
    sealed: bool = False
    valid_from: int | None = None
    valid_until: int | None = None
    provenance: dict[str, str] = msgspec.field(default_factory=dict)
    imported: Annotated[str, msgspec.Meta(pattern=_DIGEST)] | None = None

    @property
    def digest(self) -> str:
        """As of any draft; where it says when that is true, of this as well."""
        valid, said = (self.valid_from, self.valid_until), super().digest
        if valid == (None, None):
            return said
        return hashlib.sha256(msgspec.json.encode((said, *valid))).hexdigest()


def is_digest(text: str) -> bool:
    """Whether it is one as :attr:`Draft.digest` is, and an export may say it."""
    return re.fullmatch(_DIGEST, text) is not None


class _Header(msgspec.Struct):
    format: str
    version: int


class _End(msgspec.Struct):
    end: int


def write_export(memories: Iterable[Draft]) -> Iterator[bytes]:
    """The lines of an export, each with its line end, as the memories come.

    Args:
        memories: drafts, or ``ExportedMemory`` to keep what only the vault knows.
    """
    yield msgspec.json.encode(_Header(FORMAT, VERSION)) + b"\n"
    count = 0
    for memory in memories:
        yield msgspec.json.encode(memory) + b"\n"
        count += 1
    yield msgspec.json.encode(_End(count)) + b"\n"


def is_export(path: Path) -> bool:
    """Whether the first line of a file is that of an export; no more than that is read."""
    try:
        first = read_start(path, _MAX_HEADER).partition(b"\n")[0]
        return decode_json(first, _Header).format == FORMAT
    except (SourceMissingError, SourceDamagedError):
        return False


def read_export(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read an export; its memories are ``ExportedMemory``.

    A line that cannot be read is skipped. A file that was cut short ends with one skipped item
    that says so.

    Raises:
        SourceDamagedError: the first line is no header.
        SourceUnknownError: a version that this program does not know.
    """
    lines = json_lines(read_json(path, limits.max_json_bytes))
    _, first = next(lines, (0, b""))
    header = decode_json(first, _Header)
    if header.format != FORMAT:
        detail = "its first line is not that of a Coffret export"
        raise SourceDamagedError(detail)
    if header.version != VERSION:
        detail = f"version {header.version} of the export format is not known; update Coffret"
        raise SourceUnknownError(detail)
    return _read_lines(lines, printable_path([path.name]), limits)


def _read_lines(
    lines: Iterator[tuple[int, bytes]], name: str, limits: Limits
) -> Iterator[Imported]:
    count = 0
    end: _End | None = None
    is_behind = False
    for number, line in lines:
        is_behind = is_behind or end is not None
        try:
            end = _ending(line)
            if end is None:
                count += 1
                yield _memory(line, limits)
        except SourceDamagedError as error:
            yield ImportSkipped(f"{name}, line {number}", str(error))
    if end is None:
        yield ImportSkipped(name, CUT_SHORT)
    elif end.end != count or is_behind:
        yield ImportSkipped(name, MISCOUNTED)


def _ending(line: bytes) -> _End | None:
    return decode_json(line, _End) if line.lstrip().startswith(b'{"end"') else None


def _memory(line: bytes, limits: Limits) -> ExportedMemory:
    memory = decode_json(line, ExportedMemory)
    check_fits(memory, limits)
    return memory
