"""A developer's own API: the API keys of their apps."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.apikeys import SCOPES, NewKey, check_developer_key, keys_path, make_key
from coffret.flows.http import Count, Request, decode_json, succeed
from coffret.flows.state import Ambient
from coffret.origins import check_url
from coffret.transport import SyncDriver
from coffret_vault.errors import InputError
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.records.memory import from_micros, maybe_moment

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from typing import Self

    import httpx

    from coffret.flows.http import Flow


class _Row(msgspec.Struct, frozen=True):
    key_id: str
    created: Count
    last_used: Count | None
    scopes: tuple[str, ...] = SCOPES
    expires: Count | None = None


class KeyInfo(msgspec.Struct, frozen=True):
    """An API key, without the key.

    Attributes:
        key_id: its id.
        created: when it was made.
        last_used: when it last gave a token.
        scopes: what it is good for.
        expires: when it ends; None for never.
    """

    key_id: str
    created: datetime
    last_used: datetime | None
    scopes: tuple[str, ...]
    expires: datetime | None


def _listed(developer_key: str, app_id: str) -> Flow[Sequence[KeyInfo]]:
    request = Request("GET", keys_path(app_id), token=developer_key)
    rows = decode_json(succeed((yield request)), list[_Row])
    return tuple(
        KeyInfo(
            key_id=id_text(parse_id(row.key_id)),
            created=from_micros(row.created),
            last_used=maybe_moment(row.last_used),
            scopes=tuple(sorted(set(row.scopes) & set(SCOPES))),
            expires=maybe_moment(row.expires),
        )
        for row in rows
    )


def _revoked(developer_key: str, app_id: str, key_id: str) -> Flow[None]:
    path = f"{keys_path(app_id)}/{id_text(parse_id(key_id))}"
    succeed((yield Request("DELETE", path, token=developer_key)))


def _deleted(developer_key: str, path: str) -> Flow[None]:
    succeed((yield Request("DELETE", path, token=developer_key)))


class Developer:
    """A developer at a server, by their key: sees to their apps and the API keys of these."""

    def __init__(
        self,
        url: str,
        developer_key: str,
        *,
        ambient: Ambient | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Work with the key that ``register_developer`` gave. No request is made.

        Raises:
            InputError: it cannot be a key.
        """
        check_developer_key(developer_key)
        self._key = developer_key
        self._ambient = ambient or Ambient()
        self._driver = SyncDriver(check_url(url), transport=transport)

    def __repr__(self) -> str:
        return "<Developer>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._driver.close()

    def api_keys(self, app_id: str) -> Sequence[KeyInfo]:
        """The API keys of an app, the oldest first.

        Raises:
            NotFoundError: this developer has no such app.
        """
        return self._driver.run(_listed(self._key, app_id))

    def new_api_key(
        self, app_id: str, *, scopes: Collection[str] = SCOPES, lasts: timedelta | None = None
    ) -> NewKey:
        """A further API key; ``App.use_api_key`` puts it to use.

        Args:
            app_id: the app.
            scopes: what it is to be good for: some of create, delete, read, request, update.
            lasts: how long, from a minute to ten years; None for no end.

        Raises:
            InputError: these cannot be its limits.
            ConflictError: an app has at most 20.
        """
        if not scopes or not set(scopes) <= set(SCOPES):
            message = f"scopes are some of {', '.join(SCOPES)}"
            raise InputError(message)
        seconds = None if lasts is None else int(lasts.total_seconds())
        once = self._ambient.new_id()
        return self._driver.run(make_key(self._key, app_id, scopes, seconds, once))

    def revoke_api_key(self, app_id: str, key_id: str) -> None:
        """Take an API key back, and the tokens that were given for it.

        Raises:
            NotFoundError: there is no such key.
        """
        self._driver.run(_revoked(self._key, app_id, key_id))

    def delete_app(self, app_id: str) -> None:
        """End an app for good: all its API keys and tokens, and what it has asked for and waits.

        Owners still see what it is, and what they had granted it; what it wrote is theirs. Delete
        what the app keeps of them, and its file: nothing opens for it any more.

        Raises:
            NotFoundError: this developer has no such app.
        """
        self._driver.run(_deleted(self._key, f"/apps/{id_text(parse_id(app_id))}"))

    def delete_developer(self) -> None:
        """Have the server forget this developer, name, contact and key.

        Raises:
            ConflictError: there are apps; delete them first.
        """
        self._driver.run(_deleted(self._key, "/developers/me"))
