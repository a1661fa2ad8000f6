"""The server's own addresses, in the one form in which devices sign them (docs/spec/3-keys.md)."""

import re
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")  # a name in ASCII (IDNs as xn--), or IPv6
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LONGEST: Final = 300
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_WILDCARDS: Final = {"": ("127.0.0.1",), "0.0.0.0": ("127.0.0.1",), "::": ("127.0.0.1", "[::1]")}  # noqa: S104 - recognised, not listened on


def normal_origin(text: str) -> str:
    """An origin as devices say it: lower case, without its default port or a slash.

    Raises:
        ValueError: no device could use it.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    extra = parts.username or parts.password or parts.query or parts.fragment
    known = parts.scheme in _DEFAULT_PORTS and _HOST.fullmatch(parts.hostname or "")
    if not known or extra or parts.path.strip("/") or len(text) > _LONGEST:
        message = "an origin looks like https://host or https://host:port, without a path"
        raise ValueError(message)
    return _write(parts.scheme, _bracketed(parts.hostname or ""), port)


def own_address(host: str, port: int) -> str:
    """Where a server listens, as an address."""
    return f"http://{_bracketed(host)}:{port}"


def default_origins(host: str, port: int) -> tuple[str, ...]:
    """By which origins a server is known that was told none: those of its own machine."""
    names = (*_WILDCARDS.get(host, (_bracketed(host).lower(),)), "localhost")
    return tuple(dict.fromkeys(_write("http", name, port) for name in names))


def is_refused_by_devices(origin: str) -> bool:
    """Whether devices talk to nobody there: plain http to another machine than their own."""
    host = origin.partition("://")[2]
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return origin.startswith("http://") and name not in _LOOPBACK


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _write(scheme: str, host: str, port: int | None) -> str:
    suffix = "" if port in {None, _DEFAULT_PORTS[scheme]} else f":{port}"
    return f"{scheme}://{host}{suffix}"
