"""Exports: a whole file, and what is wrong in the lines of others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from coffret_vault.formats.layout import id_text
from coffret_vault.ingest.draft import Draft
from coffret_vault.ingest.export import ExportedMemory, write_export
from vectors import ours_export
from vectors.making.book import Book, steady
from vectors.making.samples import ACCOUNT_ID, APP_ID, CREATED, MEMORY_ID, UPDATED

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST = Draft(key="k", source="s", content="x")
_FULL = ExportedMemory(
    key=f"coffret:{id_text(ACCOUNT_ID)}/{id_text(MEMORY_ID)}",
    source="chat",
    content="Caf\u00e9 in Lisbon \u2708\ufe0f\nby the river",
    title="Caf\u00e9",
    summary="A caf\u00e9",
    type="preference",
    tags=("travel", "food"),
    importance=0.25,
    confidence=1.0,
    labels={"session": "chat-7"},
    metadata={"n": [1, -1, 0.5, None, True], "deep": {"a": {}}},
    created=CREATED,
    updated=UPDATED,
    id=id_text(MEMORY_ID),
    version=3,
    status="approved",
    author=id_text(APP_ID),
    reviewed_by="owner",
    reviewed_at=UPDATED,
    sealed=True,
    valid_from=-1,
    valid_until=UPDATED,
    provenance={"importer": "markdown"},
    imported=steady("imported", 32).hex(),
)
_HEADER = '{"format":"coffret-export","version":1}\n'


def _line(**changes: Any) -> str:
    """A memory; a change to None leaves a field out, or is null where that may be."""
    return json.dumps({"key": "k", "source": "s", "content": "x"} | changes) + "\n"


def _file(*lines: str, end: int | None = None) -> str:
    count = len(lines) if end is None else end
    return _HEADER + "".join(lines) + f'{{"end":{count}}}\n'


def _written(*memories: Draft) -> str:
    return b"".join(write_export(memories)).decode()


def export_book() -> Book:
    """Exports, read line by line: what is no memory is skipped, and a cut is told."""
    book = Book("export", "4-records", "Exports: the memories in them, and whether they are whole.")
    for name, text in (*_whole(), *_skipping(), *_not_whole()):
        given = {"file": text}
        book.accept(name, "read-export", given, **ours_export.read(given))
    for name, text in _headless():
        book.refuse(f"a file: {name}", "read-export", {"file": text}, "malformed")
    later = _file(_line()).replace('"version":1', '"version":2')
    book.refuse("a later version", "read-export", {"file": later}, "unknown-setting")
    return book


def _whole() -> Iterator[tuple[str, str]]:
    yield "no memories", _written()
    yield "everything", _written(_FULL, _LEAST)
    yield "fields that nobody knows", _file(_line(mood="good"))
    yield "empty lines", _file("\n", _line(), " \t\n", end=1)
    yield "no end of the last line", _file(_line())[:-1]
    yield "a byte order mark", "\ufeff" + _file(_line())
    yield "lines that end with two bytes", _file(_line()).replace("\n", "\r\n")
    nulls = ("importance", "confidence", "created", "updated", "id", "version", "status", "author")
    others = ("reviewed_by", "reviewed_at", "valid_from", "valid_until", "imported")
    yield "null for what is not known", _file(_line(**dict.fromkeys((*nulls, *others))))
    yield "a field twice, of which the last counts", _file('{"key":"j",' + _line()[1:])
    yield (
        "as large as it may be",
        _file(_line(title="x" * 512, tags=["y" * 64] + [str(at) for at in range(63)])),
    )
    yield "nested as deep as it may be", _file(_line(metadata=_nested(32)))
    yield "half a character", _file(_line().replace('"x"', '"\\ud800"'))


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def _skipping() -> Iterator[tuple[str, str]]:
    """With a line that is no memory, between two that are."""
    for name, line in _wrong_lines():
        yield name, _file(_line(key="before"), line, _line(key="after"))


def _wrong_lines() -> Iterator[tuple[str, str]]:
    yield "no JSON", "{\n"
    yield "a list", "[]\n"
    yield "more behind it", _line()[:-1] + "{}\n"
    yield "a number that is not finite", _line(importance=0.5).replace("0.5", "NaN")
    for name in ("key", "source", "content"):
        line = {"key": "k", "source": "s", "content": "x"}
        del line[name]
        yield f"without {name}", json.dumps(line) + "\n"
        yield f"null for {name}", _line(**{name: None})
        yield f"a number for {name}", _line(**{name: 1})
    yield "blank content", _line(content=" \u3000\n")
    yield "a title of 513 bytes", _line(title="x" * 513)
    yield "a title with U+0000", _line(title="\0")
    yield "65 tags", _line(tags=[str(at) for at in range(65)])
    yield "an empty tag", _line(tags=[""])
    yield "a tag of 65 bytes", _line(tags=["x" * 65])
    yield "a tag with a control character", _line(tags=["a\nb"])
    yield "tags that are a text", _line(tags="travel")
    yield "null for tags", _line(tags=None)
    for name in ("importance", "confidence"):
        for value in (-0.1, 1.5, "0.5", True):
            yield f"{name} {value!r}", _line(**{name: value})
    for name in ("created", "updated"):
        for value in (-1, 253_402_300_800_000_000, 1.5, "2025"):
            yield f"{name} {value!r}", _line(**{name: value})
    for name in ("labels", "provenance"):
        yield f"{name} with a number", _line(**{name: {"a": 1}})
        yield f"{name} in a list", _line(**{name: ["a"]})
    yield "metadata in a list", _line(metadata=[])
    yield "metadata nested too deeply", _line(metadata=_nested(33))
    yield "sealed that is a number", _line(sealed=1)
    yield "a version that is text", _line(version="1")
    good = steady("imported", 32).hex()
    for name, digest in (
        ("of 63 digits", good[1:]),
        ("in capitals", good.upper()),
        ("with a newline", good + "\n"),
    ):
        yield f"a digest {name}", _line(imported=digest)


def _not_whole() -> Iterator[tuple[str, str]]:
    whole = _file(_line(), _line(key="j"))
    yield "its last line left out", whole.replace('{"end":2}\n', "")
    yield "cut in its last line", whole[:-4]
    yield "cut in a memory", whole[: len(_HEADER) + 8]
    yield "only its first line", _HEADER
    yield "a memory left out", _file(_line(), end=2)
    yield "a memory more", _file(_line(), _line(), end=1)
    yield "an end that is text", whole.replace('"end":2', '"end":"2"')
    yield "an end twice", whole + '{"end":2}\n'
    yield "a memory behind its end", whole + _line()
    yield "an end before its memories", _HEADER + '{"end":1}\n' + _line()
    yield "two files in one", whole + whole


def _headless() -> Iterator[tuple[str, str]]:
    whole = _file(_line())
    yield "nothing", ""
    yield "only empty lines", "\n\n"
    yield "no first line", whole.removeprefix(_HEADER)
    yield "another format", whole.replace("coffret-export", "export")
    yield "no version", whole.replace(',"version":1', "")
    yield "a version that is text", whole.replace('"version":1', '"version":"1"')
    yield "no JSON", whole.replace(_HEADER, "coffret-export\n")
    yield "a list for a first line", whole.replace(_HEADER, '["coffret-export",1]\n')
