"""How much an account takes up at its server, by the server's word. docs/spec/7-http.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import Count, decode_json
from coffret.flows.session import get

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState


class Usage(msgspec.Struct, frozen=True):
    """What an account takes up at its server, and what it may.

    Attributes:
        memories: those that are there, with what waits for the owner.
        bytes: of their records, sealed and padded, all versions that are kept, of what grants say,
            and 250 for each key that one was given.
        quota_memories: as many it may have.
        quota_bytes: as large may be what is counted.
    """

    memories: Count
    bytes: Count
    quota_memories: Count
    quota_bytes: Count


class _Account(msgspec.Struct, frozen=True):
    usage: Usage


def usage(state: VaultState) -> Flow[Usage]:
    """Ask the server. It is for people to read: nothing that a device does depends on it.

    Raises:
        FormatError: the answer says nothing of it.
    """
    return decode_json((yield from get(state, "/accounts/me")), _Account).usage
