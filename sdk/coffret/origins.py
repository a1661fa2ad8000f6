"""Addresses of servers: which may be talked to, and by what way."""

from __future__ import annotations

from typing import Annotated
from urllib.request import getproxies, proxy_bypass

import msgspec

from coffret_vault.errors import InputError
from coffret_vault.formats.account import normal_origin

ANOTHER_ADDRESS = "Use an address that its operator gave you, or ask them to add this one."
_MOST_TOLD = 16
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "[::1]"))


def check_url(url: str) -> str:
    """The origin of a server's address.

    Raises:
        InputError: not an address, or plain http to anywhere but this machine.
    """
    origin = normal_origin(url)
    if origin.startswith("http://") and _host(origin) not in _LOOPBACK:
        message = "an address that is not this machine has to begin with https://"
        raise InputError(message)
    return origin


def _host(origin: str) -> str:
    rest = origin.partition("://")[2]
    return rest if rest.startswith("[") and rest.endswith("]") else rest.rsplit(":", 1)[0]


def proxy_of(origin: str) -> str | None:
    """The proxy that the environment names for a server; this machine is reached without one."""
    host = _host(origin)
    if host in _LOOPBACK or proxy_bypass(host):
        return None
    found = getproxies()
    proxy = found.get("https") or found.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


class _Ready(msgspec.Struct, frozen=True):
    origins: Annotated[list[str], msgspec.Meta(max_length=_MOST_TOLD)] = []


def told_origins(body: bytes) -> tuple[str, ...]:
    """By which origins a server says it is known (docs/spec/7-http.md); none where it does not say.

    That is to explain to a person what does not fit, and nothing else: a device signs for the
    address it was given, whatever a server says.
    """
    try:
        told = msgspec.json.decode(body, type=_Ready).origins
        return tuple(map(normal_origin, told))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, InputError):
        return ()


def elsewhere(url: str, told: tuple[str, ...]) -> str:
    """Why no login fits, where a server is known by other origins than this one; else nothing."""
    if not told or normal_origin(url) in told:
        return ""
    return f"the server is known by another address than this one: {', '.join(told)}"
