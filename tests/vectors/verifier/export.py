"""Exports, from docs/spec/4-records.md, Export."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from vectors.verifier.objects import check_tags
from vectors.verifier.refusal import UNKNOWN_SETTING, Refused, require

Values = dict[str, Any]
_LAST = 253_402_300_799_999_999
_TEXTS = ("key", "source", "content", "title", "summary", "type")
_DEFAULTS: Values = {
    "title": "",
    "summary": "",
    "type": "contextual",
    "tags": [],
    "importance": None,
    "confidence": None,
    "labels": {},
    "metadata": {},
    "created": None,
    "updated": None,
    "id": None,
    "version": None,
    "status": None,
    "author": None,
    "reviewed_by": None,
    "reviewed_at": None,
    "sealed": False,
    "valid_from": None,
    "valid_until": None,
    "provenance": {},
    "imported": None,
}


def _json(line: str) -> Values:
    def no_constant(_: str) -> None:
        raise ValueError

    try:
        found = json.loads(line, parse_constant=no_constant)
    except ValueError:
        require(condition=False)
        raise
    require(isinstance(found, dict))
    checked: Values = _whole(found)
    return checked


def _whole(value: Any) -> Any:
    """With U+FFFD for halves of characters."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def read(given: Values) -> Values:
    """The memories, the lines that are none, and whether the last line says their number."""
    text = given["file"].removeprefix("\ufeff")
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    require(lines)
    header = _json(lines[0][1])
    require(header.get("format") == "coffret-export" and type(header.get("version")) is int)
    require(header["version"] == 1, UNKNOWN_SETTING)
    memories: list[Values] = []
    skipped: list[int] = []
    ends: list[int] = []
    behind = count = 0
    for number, line in lines[1:]:
        behind += bool(ends)
        try:
            if line.lstrip().startswith('{"end"'):
                end: Any = _json(line).get("end")
                require(type(end) is int)
                ends.append(end)
                continue
            count += 1
            memories.append(_memory(_json(line)))
        except Refused:
            skipped.append(number)
    whole = ends == [count] and not behind
    return {"memories": memories, "skipped": skipped, "whole": whole}


def _memory(line: Values) -> Values:
    require({"key", "source", "content"} <= line.keys())
    known = _DEFAULTS | {n: v for n, v in line.items() if n in _DEFAULTS or n in _TEXTS}
    require(all(isinstance(known[name], str) for name in _TEXTS))
    require(known["content"].strip() and len(known["content"].encode()) <= 1 << 20)
    title, tags = known["title"], known["tags"]
    require(len(unicodedata.normalize("NFC", title).encode()) <= 512 and "\0" not in title)
    require(type(tags) is list and len(tags) <= 64 and all(isinstance(tag, str) for tag in tags))
    check_tags(tags)
    require(all(len(unicodedata.normalize("NFC", tag).encode()) <= 64 for tag in tags))
    for name in ("importance", "confidence"):
        value = known[name]
        require(value is None or (type(value) in {int, float} and 0 <= value <= 1))
    for name in ("created", "updated"):
        require(known[name] is None or (type(known[name]) is int and 0 <= known[name] <= _LAST))
    for name in ("version", "reviewed_at", "valid_from", "valid_until"):
        require(known[name] is None or type(known[name]) is int)
    for name in ("id", "status", "author", "reviewed_by", "imported"):
        require(known[name] is None or isinstance(known[name], str))
    for name in ("labels", "provenance"):
        require(isinstance(known[name], dict))
        require(all(isinstance(item, str) for item in known[name].values()))
    require(isinstance(known["metadata"], dict) and _depth(known["metadata"]) <= 32)
    require(type(known["sealed"]) is bool)
    require(known["imported"] is None or re.fullmatch("[0-9a-f]{64}", known["imported"]))
    return known


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
