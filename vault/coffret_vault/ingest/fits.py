"""Whether a draft that another program wrote fits into a vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import FormatError
from coffret_vault.formats.memory import MAX_PAYLOAD, MAX_TAG, MAX_TAGS, MAX_TITLE, check_tags
from coffret_vault.ingest.errors import SourceDamagedError

if TYPE_CHECKING:
    from coffret_vault.ingest.draft import Draft
    from coffret_vault.ingest.limits import Limits

_FRAME = 4096
"""Room for what a vault adds to the payload of a draft."""


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
    if len(draft.title.encode()) > MAX_TITLE or "\0" in draft.title:
        return "a title that is too long or holds U+0000"
    return _bad_tags(draft) or _bad_values(draft)


def _bad_tags(draft: Draft) -> str:
    if len(draft.tags) > MAX_TAGS or any(len(tag.encode()) > MAX_TAG for tag in draft.tags):
        return "more or longer tags than a memory may have"
    try:
        check_tags(frozenset(draft.tags))
    except FormatError as error:
        return str(error)
    return ""


def _bad_values(draft: Draft) -> str:
    try:
        size = len(msgspec.msgpack.encode(draft))
    except (OverflowError, RecursionError):
        return "metadata with a number beyond 64 bits, or nested too deeply"
    return "longer than a memory may be" if size > MAX_PAYLOAD - _FRAME else ""
