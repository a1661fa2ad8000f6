"""Ids as callers give them."""

from __future__ import annotations

from uuid import UUID

from coffret_vault.errors import InputError


def given_id(given: object) -> str:
    """An id that a caller gave, as a text or a ``UUID``, as it is written everywhere.

    Whether it is one at all, and whose, is for whoever looks it up.

    Raises:
        InputError: it is neither of the two.
    """
    if not isinstance(given, str | UUID):
        message = "an id is a text"
        raise InputError(message)
    return str(given).strip().lower()
