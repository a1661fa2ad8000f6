"""Make an API key of an app, as its developer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import Bearer, Request, decode_json, encode_json, succeed
from coffret_vault.errors import InputError
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.unshown import Unshown

if TYPE_CHECKING:
    from collections.abc import Collection

    from coffret.flows.http import Flow

SCOPES = ("create", "delete", "read", "request", "update")


class NewKey(Unshown, msgspec.Struct, frozen=True):
    """A new API key; it is shown once.

    Attributes:
        key_id: by which it is listed and taken back.
        api_key: the key itself.
    """

    key_id: str
    api_key: str


class _New(Unshown, msgspec.Struct, frozen=True):
    api_key: Bearer
    key_id: str


def check_developer_key(developer_key: str) -> None:
    """Refuse what cannot go into a header.

    Raises:
        InputError: it cannot be a developer key.
    """
    if not (developer_key.isascii() and developer_key.isprintable()):
        message = "that is not a developer key: it has characters that no key has"
        raise InputError(message)


def keys_path(app_id: str) -> str:
    """Where an app's API keys are."""
    return f"/apps/{id_text(parse_id(app_id))}/keys"


def make_key(
    developer_key: str, app_id: str, scopes: Collection[str], seconds: int | None, once: bytes
) -> Flow[NewKey]:
    """Make a further API key; with the same ``once``, within a day, it is the same.

    Raises:
        NotFoundError: this developer has no such app.
        ConflictError: it has as many as it may have.
    """
    body = encode_json({"scopes": sorted(scopes), "seconds": seconds})
    headers = {"Idempotency-Key": id_text(once)}
    request = Request("POST", keys_path(app_id), body, token=developer_key, headers=headers)
    answer = decode_json(succeed((yield request)), _New)
    return NewKey(id_text(parse_id(answer.key_id)), answer.api_key)
