"""Messages of chat APIs: whatever is given, exchanges that a vault can take, or a refusal."""

from __future__ import annotations

import json
from typing import Any

from coffret.exchanges import named
from coffret_vault.errors import InputError
from coffret_vault.formats.author import OWNER
from coffret_vault.ingest.limits import Limits
from coffret_vault.ingest.messages import read_messages
from coffret_vault.ingest.reading import decode_json
from coffret_vault.records.seal import Stamp, seal_version
from fuzz.target import Target
from vectors.making.book import Steady
from vectors.making.samples import ACCOUNT_ID, CREATED, MEMORY_ID, secret

_LIMITS = Limits(max_content_bytes=2_000)
_STAMP = Stamp(ACCOUNT_ID, MEMORY_ID, 1, 1, OWNER, CREATED, CREATED)
_KEY = bytes(32)


def _check(data: bytes) -> None:
    """What is read can be sealed, and read again without its end gives the ids that it had."""
    try:
        given: Any = decode_json(data, Any)
        read = read_messages(given, session="s", limits=_LIMITS)
    except InputError:
        return
    items = named(_KEY, read)
    assert 0 < len(items) <= len(read.exchanges)
    every = {identifier for item in items for identifier in item.ids}
    for item in items:
        assert item.exchange.beginning(len(item.ids)) == item.exchange.draft.content
        for sealed in (False, True):
            fields, random = item.new(sealed=sealed).fields, Steady("messages")
            seal_version(_STAMP, fields, secret("messages"), random=random)
    try:
        shorter = read_messages(given[:-1], session="s", limits=_LIMITS)
    except InputError:
        return
    assert {item.id for item in named(_KEY, shorter)} <= every


def _seeds() -> list[bytes]:
    parts = [
        {"type": "text", "text": "words"},
        {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
        {"type": "thinking", "thinking": "hm"},
        "more",
    ]
    talks: list[object] = [
        [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "I eat no meat.", "name": "Ana"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            {"role": "tool", "content": "42"},
            {"role": "assistant", "content": "Noted."},
            {"role": "user", "content": parts},
        ],
        [{"role": "user", "content": [{"type": "hologram"}]}],
        [{"role": "user", "content": "\ud800"}],
        {"role": "user", "content": "x"},
        [],
    ]
    return [json.dumps(talk).encode() for talk in talks]


TARGETS = (Target("messages", _check, _seeds),)
