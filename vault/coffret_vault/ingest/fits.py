"""Whether a draft that another program wrote fits into a vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import FormatError, TooLargeError
from coffret_vault.formats.layout import write_text
from coffret_vault.formats.memory import (
    MAX_OWN_PAYLOAD,
    MAX_TAG,
    MAX_TAGS,
    MAX_TITLE,
    PAYLOAD_FORMAT,
    Payload,
    check_tags,
    serialize_payload,
)
from coffret_vault.ingest.errors import SourceDamagedError

if TYPE_CHECKING:
    from coffret_vault.ingest.draft import Draft
    from coffret_vault.ingest.limits import Limits

_FRAME = 4096
"""Room for what a vault adds to the payload of a draft."""


_MANY_TAGS = "more or longer tags than a memory may have"


def check_fits(draft: Draft, limits: Limits) -> None:
    """Refuse what a vault would refuse, before anything of it is stored.

    Raises:
        SourceDamagedError: says which rule it breaks.
    """
    reason = _misfit(draft, limits)
    if reason:
        raise SourceDamagedError(reason)


def _misfit(draft: Draft, limits: Limits) -> str:
    if not draft.content.strip():
        return "empty"
    if len(draft.content.encode()) > limits.max_content_bytes:
        return "longer than a memory may be"
    return _bad_title(draft) or _bad_tags(draft) or _bad_values(draft)


def _bad_title(draft: Draft) -> str:
    try:
        fits = len(write_text(draft.title)) <= MAX_TITLE  # NFC may be longer
    except FormatError:
        fits = False
    return "" if fits else "a title that is too long or holds U+0000"


def _bad_tags(draft: Draft) -> str:
    if len(draft.tags) > MAX_TAGS:
        return _MANY_TAGS
    try:
        check_tags(frozenset(draft.tags))
        sizes = [len(write_text(tag)) for tag in draft.tags]
    except FormatError as error:
        return str(error)
    return _MANY_TAGS if max(sizes, default=0) > MAX_TAG else ""


def _bad_values(draft: Draft) -> str:
    inside = Payload(format=PAYLOAD_FORMAT, content=draft.content, metadata=dict(draft.metadata))
    try:
        size = len(msgspec.msgpack.encode(draft))
        serialize_payload(inside, MAX_OWN_PAYLOAD)
    except TooLargeError:
        return "longer than a memory may be"
    except (FormatError, OverflowError, RecursionError):
        return "metadata with a number beyond 64 bits, or nested too deeply"
    return "longer than a memory may be" if size > MAX_OWN_PAYLOAD - _FRAME else ""
