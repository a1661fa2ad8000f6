"""Gemini in a Google Takeout: ``MyActivity.json`` of "My Activity", Gemini Apps.

It is a list of what was asked and answered, newest first, which names no conversations: each
question with its answer is taken by itself, by its time. Other activity (a video watched, feedback
given) has the same shape and is left out.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import Imported, ImportSkipped
from coffret_vault.ingest.episodes import read_episodes
from coffret_vault.ingest.errors import SourceDamagedError, SourceEmptyError
from coffret_vault.ingest.html_text import text_of
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import printable_path
from coffret_vault.ingest.reading import decode_json, read_json
from coffret_vault.ingest.times import parse_time
from coffret_vault.ingest.turns import Conversation, Message, sender_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = "gemini"
NOT_ASKED = "an activity that is no question with an answer"
_OF_GEMINI = re.compile(r"gemini|bard", re.IGNORECASE)
_PROMPTED = re.compile(r"(?:Prompted|Asked)[\s\xa0]+")


class _Html(Unshown, msgspec.Struct):
    html: str = ""


class _Activity(Unshown, msgspec.Struct, rename="camel"):
    title: str = ""
    header: str = ""
    time: str | None = None
    products: list[str] = []
    safe_html_item: list[_Html] = []


def read_gemini(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read ``MyActivity.json`` of a Google Takeout.

    Raises:
        SourceDamagedError: the file is not a JSON list; one activity that cannot be read is
            skipped.
        SourceEmptyError: nothing of it was asked of Gemini.
    """
    data = read_json(path, limits.max_json_bytes)
    return gemini_activities(data, printable_path([path.name]), limits)


def gemini_activities(data: bytes, name: str, limits: Limits) -> Iterator[Imported]:
    """As :func:`read_gemini`, from the bytes of a file of this name."""
    found = list(_read_all(decode_json(data, list[msgspec.Raw]), name, limits))
    if all(isinstance(item, ImportSkipped) and item.reason == NOT_ASKED for item in found):
        detail = "nothing in it was asked of Gemini"
        raise SourceEmptyError(detail)
    return iter(found)


def _read_all(raws: list[msgspec.Raw], name: str, limits: Limits) -> Iterator[Imported]:
    for number, raw in enumerate(raws, 1):
        where = f"{name}, activity {number}"
        try:
            talk = _exchange(decode_json(raw, _Activity), limits)
        except SourceDamagedError as error:
            yield ImportSkipped(where, str(error))
            continue
        if talk is None:
            yield ImportSkipped(where, NOT_ASKED)
        else:
            yield from read_episodes(talk, limits)


def _exchange(activity: _Activity, limits: Limits) -> Conversation | None:
    """A question and its answer; None where it is something else.

    The word before a question is of the account's language, so only the English one is taken away.
    """
    if not any(map(_OF_GEMINI.search, (activity.header, *activity.products))):
        return None
    prompted = _PROMPTED.match(activity.title)
    asked = activity.title[prompted.end() :] if prompted else activity.title
    answers = [text_of(item.html, limits.max_content_bytes) for item in activity.safe_html_item]
    answer = "\n\n".join(filter(str.strip, answers))
    if not asked.strip() or not (answer or prompted):
        return None
    time = parse_time(activity.time)
    said = (("user", None, asked), ("assistant", "Gemini", answer))
    messages = [
        Message(id=role, sender=sender_name(who, role), text=text.strip(), time=time, role=role)
        for role, who, text in said
        if text.strip()
    ]
    stated = msgspec.json.encode([activity.time, activity.title])
    ident = hashlib.sha256(stated).hexdigest()[:16]
    return Conversation(kind=KIND, id=ident, title="", messages=messages)
