"""A memory as a person edits it: Markdown under a front matter of its fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.errors import InputError
from coffret_vault.formats.unshown import Unshown

if TYPE_CHECKING:
    from coffret_vault.records.memory import Fields

_SHOWN = ("title", "summary", "type", "tags", "importance", "confidence", "source", "labels")


class _Form(Unshown, msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    title: str = ""
    summary: str = ""
    type: str = "contextual"
    tags: list[str] = []
    importance: float | None = None
    confidence: float | None = None
    source: str = ""
    labels: dict[str, str] = {}
    sealed: bool = False


def write_form(fields: Fields) -> str:
    """The form for a memory's fields. Every value is written as JSON, which YAML reads."""
    lines = [f"{name}: {_value(getattr(fields, name))}" for name in (*_SHOWN, "sealed")]
    return "\n".join(("---", *lines, "---", fields.content, ""))


def _value(value: object) -> str:
    plain = msgspec.to_builtins(value)
    text = json.dumps(plain, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(plain)


def read_form(text: str) -> dict[str, Any]:
    """Every field of a form.

    Raises:
        InputError: it is not one any more; the message says why.
    """
    from coffret_vault.ingest.front_matter import split_front_matter  # noqa: PLC0415 - YAML: when used

    stated, content = split_front_matter(text.replace("\r\n", "\n"))
    if not stated:
        message = "the lines between --- and --- are not readable"
        raise InputError(message)
    given: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    try:
        form = msgspec.convert(given, _Form)
    except msgspec.ValidationError as error:
        message = f"the fields between --- and --- are not right: {error}"
        raise InputError(message) from None
    return {"content": content.removesuffix("\n"), **msgspec.structs.asdict(form)}


def changes_in(text: str, before: Fields) -> dict[str, Any]:
    """What of a form differs from the fields it was made of. Errors as :func:`read_form`."""
    new = read_form(text)
    old = read_form(write_form(before))
    return {name: value for name, value in new.items() if old.get(name) != value}
