"""Files into text and JSON: size checked before reading, encodings strict, errors ours."""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
from typing import TYPE_CHECKING, TypeVar

import msgspec

from coffret_vault.ingest.errors import (
    SourceDamagedError,
    SourceMissingError,
    SourceTooLargeError,
)
from coffret_vault.ingest.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_UTF8 = "it is not UTF-8 text"
_BINARY = "it is a binary file"
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_LETTERS = re.compile(rb"[A-Za-z]")
_ACCENTED = re.compile(rb"[\x8a\x8c\x8e\x9a\x9c\x9e\x9f\xc0-\xff]")
_LETTERS_AN_ACCENT = 2
_SIGN_IN_WORD = re.compile(  # but for apostrophes, dashes, ellipses, soft hyphens and l\xb7l
    rb"[A-Za-z][\x80-\x84\x86-\x89\x8b\x95\x98\x99\x9b\xa1-\xac\xae-\xb3\xb5\xb6\xb8-\xbf][A-Za-z]"
)
_HIGH = re.compile(rb"[\x80-\xff]")
_IN_UTF8 = re.compile(rb"[\xc2-\xc5\xce-\xd1][\x80-\xbf]|\xe2[\x80-\xbf]{2}|\xf0\x9f[\x80-\xbf]{2}")
"""European letters, signs and emoji as UTF-8 has them; in Windows-1252 words hardly end so."""
_MANY_ACCENTED = re.compile(rb"[\xc0-\xff]{5}")
_BEGINS_LIST = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def opened(path: str, flags: int) -> int:
    """The descriptor of a regular file, for ``open(opener=…)``.

    What has the name by now may be a pipe, which nobody writes to: it is not waited for.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError
    return descriptor


def read_bytes(path: Path, cap: int, *, home: Path | None = None) -> bytes:
    """The bytes of a regular file of at most ``cap`` bytes.

    Args:
        path: the file.
        cap: how many.
        home: the folder, without links in its path, which it has to be in still: who can write
            there may have put a link in its place since it was found.

    Raises:
        SourceMissingError: it is not there, is no regular file, or may not be read.
        SourceTooLargeError: it is larger; nothing beyond the cap was read.
    """
    try:
        with open(path, "rb", opener=opened) as file:
            # Python makes room for all that is asked for, however short the file is.
            size = min(os.fstat(file.fileno()).st_size, cap)
            if home is not None and not _is_in(home, path, file.fileno()):
                raise SourceMissingError
            data = file.read(size + 1)
            if size < len(data) <= cap:  # it grew meanwhile, or is one that says it has no size
                data += file.read(cap + 1 - len(data))
    except (OSError, ValueError) as error:
        raise SourceMissingError from error
    if len(data) > cap:
        detail = f"the file is larger than {_size(cap)}"
        raise SourceTooLargeError(detail, hint="split it, or import it in parts")
    return data


def _is_in(home: Path, path: Path, descriptor: int) -> bool:
    real = path.resolve(strict=True)
    return real.is_relative_to(home) and os.path.samestat(real.lstat(), os.fstat(descriptor))


def read_json(path: Path, cap: int) -> bytes:
    """As :func:`read_bytes`, in UTF-8 where it is UTF-16 with a byte order mark.

    That is how PowerShell saves what a program prints.
    """
    return as_utf8(read_bytes(path, cap))


def as_utf8(data: bytes) -> bytes:
    """The same text in UTF-8, if it begins with the mark of UTF-16; else what was given."""
    if not data.startswith(_UTF16):
        return data
    try:
        return data.decode("utf-16").encode()
    except UnicodeError:
        detail = "it is not UTF-16 text"
        raise SourceDamagedError(detail) from None


def read_start(path: Path, most: int) -> bytes:
    """How a regular file begins: its first ``most`` bytes.

    Raises:
        SourceMissingError: it is not there, is no regular file, or may not be read.
    """
    try:
        with open(path, "rb", opener=opened) as file:
            return file.read(most)
    except (OSError, ValueError) as error:
        raise SourceMissingError from error


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"


def decode_text(data: bytes) -> str:
    r"""Text from UTF-8, UTF-16 with a byte order mark, or Windows-1252, with ``\n`` line ends.

    Windows-1252, of which Latin-1 is a part, has no mark: it is what is not UTF-8 and reads as a
    Western language would. Other old encodings would read as gibberish, and are refused.

    Raises:
        SourceDamagedError: it is in another encoding, or not text at all.
    """
    try:
        text = data.decode("utf-16") if data.startswith(_UTF16) else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = _western(data)
    if "\0" in text:
        raise SourceDamagedError(_BINARY)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _western(data: bytes) -> str:
    """Text in Windows-1252: few letters have accents, and no sign stands within a word.

    UTF-8 in which a byte is wrong, or that was cut off, is not: every accent of it would be two.
    """
    if _CONTROLS.search(data):
        raise SourceDamagedError(_BINARY)
    letters, accented = len(_LETTERS.findall(data)), len(_ACCENTED.findall(data))
    foreign = _SIGN_IN_WORD.search(data) or _MANY_ACCENTED.search(data) or _is_damaged_utf8(data)
    if accented * _LETTERS_AN_ACCENT > letters or foreign:
        raise SourceDamagedError(_NOT_UTF8, hint="save it as UTF-8")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        raise SourceDamagedError(_NOT_UTF8, hint="save it as UTF-8") from None


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether at least half of the bytes that are not ASCII make characters in UTF-8."""
    fitting = sum(map(len, _IN_UTF8.findall(data)))
    return fitting > 0 and 2 * fitting >= len(_HIGH.findall(data))


def decode_json(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON of a given shape.

    Half of an emoji, which some exports contain as an escape, becomes U+FFFD instead of costing
    the whole file.

    Raises:
        SourceDamagedError: it is not JSON, not of that shape, or nested too deeply.
    """
    raw = bytes(data).removeprefix(codecs.BOM_UTF8)
    try:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return msgspec.json.decode(_mended(raw), type=kind)
    except msgspec.ValidationError as error:
        raise SourceDamagedError(_shape_detail(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        detail = "it is not valid JSON"
        raise SourceDamagedError(detail) from None
    except RecursionError:
        detail = "its JSON is nested too deeply"
        raise SourceDamagedError(detail) from None


def decode_top(data: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | list[msgspec.Raw]:
    """The outermost object or list of a JSON file, its members still JSON.

    Raises:
        SourceDamagedError: it is not JSON, or neither of the two.
    """
    if is_list(bytes(data)):
        return decode_json(data, list[msgspec.Raw])
    return decode_json(data, dict[str, msgspec.Raw])


def is_list(data: bytes) -> bool:
    """Whether JSON begins as a list; else it is an object, or damaged."""
    return _BEGINS_LIST.match(data) is not None


def _mended(raw: bytes) -> bytearray:
    """The same with halves of emojis exchanged, in their place: both escapes have six bytes."""
    found = bytearray(raw)
    for match in _ESCAPE.finditer(raw):
        if match["lone"]:
            found[match.start() : match.end()] = rb"\ufffd"
    return found


def _shape_detail(error: msgspec.ValidationError) -> str:
    return f"not the expected shape: {error}"


def json_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The non-blank lines of a JSONL file with their numbers, from 1."""
    for number, line in enumerate(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)), 1):
        if line.strip():
            yield number, line.removesuffix(b"\n")
