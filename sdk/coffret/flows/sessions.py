"""The devices that are logged in: see them, end one, log this one out. docs/spec/7-http.md."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import Count, Request, decode_json, succeed, unb64
from coffret.flows.memories import read_id
from coffret.flows.session import ended, get, send
from coffret_vault.errors import FormatError, OpenError, SessionError
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.keyslots.session_names import open_session_name
from coffret_vault.records.memory import from_micros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState


class _Row(msgspec.Struct, frozen=True):
    session_id: str
    created: Count
    last_seen: Count
    address: str
    current: bool
    session_public_key: str = ""
    name: str | None = None


class SessionInfo(msgspec.Struct, frozen=True):
    """A device that is logged in, as the server says.

    Attributes:
        session_id: its id.
        created: when it logged in.
        last_seen: when it was last there, within five minutes.
        address: the network address from which it logged in.
        current: whether it is this device's.
        name: what the device calls itself, which no server can read or make up; empty where it
            has not said so yet, as when it has just entered. It is bound to a session's key, and
            which of the rows has that key is the server's word, as all else here: a server that
            lies can show a name beside another row.
    """

    session_id: str
    created: datetime
    last_seen: datetime
    address: str
    current: bool
    name: str = ""


_LONGEST_ADDRESS = 64


def sessions(state: VaultState) -> Flow[Sequence[SessionInfo]]:
    """Who is logged in, the oldest first.

    Raises:
        FormatError: the server's answer is not a list of sessions.
    """
    rows = decode_json((yield from get(state, "/auth/sessions")), list[_Row])
    return tuple(
        SessionInfo(
            session_id=id_text(parse_id(row.session_id)),
            created=from_micros(row.created),
            last_seen=from_micros(row.last_seen),
            address=_shown(row.address),
            current=row.current,
            name=_name(state, row),
        )
        for row in rows
    )


def _name(state: VaultState, row: _Row) -> str:
    """The name that one of the owner's devices gave itself; nothing for what does not open."""
    if row.name is None:
        return ""
    try:
        keys = unb64(row.session_public_key), unb64(row.name)
        return open_session_name(state.keys.keyring, *keys)
    except (FormatError, OpenError):
        return ""


def _shown(address: str) -> str:
    """An address without what could play tricks on a terminal."""
    return "".join(letter for letter in address if letter in _LETTERS)[:_LONGEST_ADDRESS]


_LETTERS = frozenset("0123456789abcdefABCDEF:.%unknow")


def end_session(state: VaultState, session_id: str) -> Flow[None]:
    """Log a device out. It forgets its keys when it next asks the server for something.

    Raises:
        NotFoundError: there is no such session.
    """
    path = f"/auth/sessions/{id_text(read_id(session_id))}"
    succeed((yield from send(state, Request("DELETE", path))))


def log_out(state: VaultState) -> Flow[None]:
    """End this device's session at the server, and lock the vault whatever that says.

    Raises:
        NetworkError: the server does not answer; the session lasts until it ends by itself.
    """
    session = state.session
    state.lock()
    if session is None:
        return
    response = yield from ended(session)
    if response.status != SessionError.http_status:  # else it had ended already
        succeed(response)
