"""Exports as they are downloaded: a ZIP archive, with what ChatGPT or Claude wrote in its files.

Only JSON that is known by its shape is read, in memory: nothing is unpacked to the disk, so no name
in an archive means a place there. What a file of it inflates to is bounded, whatever it states, and
so is all that is read.
"""

from __future__ import annotations

import struct
import zlib
from io import FileIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from coffret_vault.ingest.draft import Imported, ImportSkipped
from coffret_vault.ingest.errors import (
    IngestError,
    SourceDamagedError,
    SourceMissingError,
    SourceTooLargeError,
    SourceUnknownError,
)
from coffret_vault.ingest.limits import DEFAULT_LIMITS, MIB, Limits
from coffret_vault.ingest.names import printable_path
from coffret_vault.ingest.reading import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Part = Callable[[bytes, str, Limits], Iterator[Imported]]
    """Reads the bytes of a file of this name."""

NOT_TAKEN = "not a part of an export that is imported"
_ENCRYPTED = 1
_INFLATED = frozenset((ZIP_STORED, ZIP_DEFLATED))
_MOST_TABLE = 32 * MIB
"""Bytes of an archive's table of contents; each file in it takes 46 and its name, and in memory
some ten times that."""
_BROKEN = (  # what zipfile raises for bytes that are not what it expects
    BadZipFile,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


def read_archive(
    path: Path, part_of: Callable[[bytes], Part | None], *, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Imported]:
    """Read the files of an export that is still in its archive.

    Args:
        path: the archive.
        part_of: what reads a file with these bytes; None where nothing does.
        limits: sizes and caps.

    Raises:
        SourceMissingError: it is not there, or may not be read.
        SourceDamagedError: it is no archive, is damaged or encrypted.
        SourceTooLargeError: it holds too many files, or too much.
        SourceUnknownError: nothing in it is of an export.
    """
    try:
        with _Archive(path, "rb", opener=opened) as file, ZipFile(file) as archive:
            file.is_open = True
            found = list(_read_all(archive, path.name, part_of, limits))
    except OSError as error:
        raise SourceMissingError from error
    except _BROKEN:
        detail = "it is not a ZIP archive that can be read"
        raise SourceDamagedError(detail) from None
    if all(isinstance(item, ImportSkipped) and item.reason == NOT_TAKEN for item in found):
        raise SourceUnknownError(hint="unpack the archive and import the folder or file in it")
    return iter(found)


class _Archive(FileIO):
    """An archive's file. Until its table of contents is there, no more is read of it at once."""

    is_open = False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.is_open and (size or 0) > _MOST_TABLE:
            detail = "the archive's table of contents is too long"
            raise SourceTooLargeError(detail, hint="unpack it, and import it in parts")
        return super().read(size) or b""


def _read_all(
    archive: ZipFile, name: str, part_of: Callable[[bytes], Part | None], limits: Limits
) -> Iterator[Imported]:
    infos = archive.infolist()
    if len(infos) > limits.max_files:
        detail = f"the archive holds more than {limits.max_files} files"
        raise SourceTooLargeError(detail)
    left = limits.max_archive_bytes
    for info in infos:
        inside = PurePosixPath(info.filename)
        if info.filename.endswith("/"):  # a folder; is_dir() does not take an empty name
            continue
        where = printable_path([name, *inside.parts])
        data = b""
        if inside.suffix.lower() == ".json" and not inside.name.startswith("."):
            data = _inflated(archive, info, min(left, limits.max_json_bytes))
            left -= len(data)
        part = _part(part_of, data)
        if part is None:
            yield ImportSkipped(where, NOT_TAKEN)
            continue
        try:
            yield from part(data, where, limits)
        except IngestError as error:
            yield ImportSkipped(where, str(error))


def _part(part_of: Callable[[bytes], Part | None], data: bytes) -> Part | None:
    try:
        return part_of(data) if data else None
    except IngestError:  # of no kind, empty, or no JSON
        return None


def _inflated(archive: ZipFile, info: ZipInfo, cap: int) -> bytes:
    if info.flag_bits & _ENCRYPTED:
        detail = "it is encrypted"
        raise SourceDamagedError(detail, hint="unpack it and import what is in it")
    if info.compress_type not in _INFLATED:
        detail = "it is compressed in a way that is not read"
        raise SourceDamagedError(detail, hint="unpack it and import what is in it")
    with archive.open(info) as file:
        data = file.read(cap + 1)  # what the archive says of the size is not believed
    if len(data) > cap:
        detail = f"a file in the archive is larger than {cap // MIB} MiB"
        raise SourceTooLargeError(detail, hint="unpack it, and import it in parts")
    return data
