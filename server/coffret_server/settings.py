"""What an operator can set, by argument or by environment.

What is wrong is refused when the server starts, by the name of the setting; never by its value,
which may be a secret.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Final

from coffret_server.origins import normal_origin

PREFIX: Final = "COFFRET_"
MEGABYTE: Final = 1024 * 1024
_DAY: Final = 86_400
_MOST: Final = {
    "session_seconds": 3_650 * _DAY,
    "token_seconds": 900,
    "body_seconds": 3_600,
    "stop_seconds": 3_600,
    "quota_memories": 10**12,
    "quota_bytes": 10**18,
    "kept_bytes": 10**15,
}
_MOST_OF_OTHERS: Final = 10**9
_KEY: Final = re.compile(r"([0-9A-Fa-f]{2}){32,}")
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"", "0", "false", "no", "off"})
_CLIENTS: Final = frozenset(
    {
        "COFFRET_HOME",
        "COFFRET_VAULT",
        "COFFRET_SERVER",
        "COFFRET_DEVICE",
        "COFFRET_PASSPHRASE_FILE",
        "COFFRET_NEW_PASSPHRASE_FILE",
        "COFFRET_SECRET_KEY_FILE",
        "COFFRET_RECOVERY_CODE_FILE",
        "COFFRET_DEVELOPER_KEY_FILE",
    }
)
"""What the command `coffret` reads, on a machine that has both."""
_ALIKE: Final = 0.8
"""How much a name is like a setting's that is taken for a slip."""


@dataclass(frozen=True)
class Settings:
    """The settings of a server. Each is also read from `COFFRET_<NAME>`.

    Attributes:
        database: `sqlite:///file` or `postgresql://…`.
        origins: the origins by which devices know this server; a login is signed for one of them.
        jwt_key: hex of the key that signs app tokens, of 32 bytes or more; made and kept in the
            database if empty.
        session_seconds: how long a login lasts, at most 10 years.
        token_seconds: how long an app's token lasts, at most 900.
        quota_memories: memories of an account.
        quota_bytes: bytes of records of an account, and of what its grants say and hold.
        waiting_entries: what apps wrote under a grant and the owner has not decided about.
        waiting_bytes: bytes of its records; of both, never more than a quarter of the quota.
        auth_rate: requests a minute of one address for challenges, logins and tokens.
        open_rate: requests a minute of one address that nobody's token came with.
        account_rate: requests a minute of one account or app.
        failure_rate: wrong tokens and keys a minute of one address.
        lookup_rate: owners looked up by username a minute, by one app or account, and from one
            address.
        registration_rate: developers and apps that come a day from one address, in one process.
        login_failures: failed logins to an account from an address, at once; five times as many
            from an address, ten times as many to an account.
        request_rate: access requests of one app to one owner a day.
        kept_bytes: bytes of bodies and answers that a process keeps at once, of all callers: a
            fourth of its memory is a good part.
        body_seconds: how long a body may be silent, and when it has to have come at some pace.
        stop_seconds: how long requests that are being answered are waited for at the end.
        trust_forwarded: take the client's address from X-Forwarded-For (behind a proxy only).
    """

    database: str = field(repr=False)  # a URL may hold a password
    origins: tuple[str, ...] = ()
    jwt_key: str = field(default="", repr=False)
    session_seconds: int = 30 * _DAY
    token_seconds: int = 900
    quota_memories: int = 1_000_000
    quota_bytes: int = 20 * 1024 * MEGABYTE
    waiting_entries: int = 10_000
    waiting_bytes: int = 512 * MEGABYTE
    auth_rate: int = 300
    open_rate: int = 1_200
    account_rate: int = 120_000
    failure_rate: int = 60
    lookup_rate: int = 300
    registration_rate: int = 300
    login_failures: int = 10
    request_rate: int = 20
    kept_bytes: int = 1024 * MEGABYTE
    body_seconds: int = 30
    stop_seconds: int = 30
    trust_forwarded: bool = False

    def __post_init__(self) -> None:
        """Refuse what no limit, time or key can be.

        Raises:
            ValueError: by the setting's name.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            most = _MOST.get(item.name, _MOST_OF_OTHERS)
            if type(value) is int and not 1 <= value <= most:
                message = f"{_named(item.name)} has to be from 1 to {most}"
                raise ValueError(message)
        if self.jwt_key and not _KEY.fullmatch(self.jwt_key):
            message = f"{_named('jwt_key')} has to be 32 bytes or more in hexadecimal"
            raise ValueError(message)

    @classmethod
    def from_environment(
        cls,
        given: Mapping[str, Any],
        environment: Mapping[str, str] = os.environ,
        default_database: str = "",
    ) -> "Settings":
        """Settings from the environment; what is given wins over it.

        Raises:
            ValueError: a value is none of its setting, or a name is nearly a setting's.
        """
        values: dict[str, Any] = {"database": default_database}
        for item in fields(cls):
            name = _named(item.name)
            if (text := environment.get(name)) is not None:
                values[item.name] = _read(name, str(item.type), text)
        for name in unknown_names(environment):
            if meant := get_close_matches(name.removeprefix(PREFIX).lower(), _NAMES, 1, _ALIKE):
                message = f"there is no setting {name}; is {_named(meant[0])} meant?"
                raise ValueError(message)
        values |= {name: value for name, value in given.items() if value is not None}
        if "origins" in values:
            values["origins"] = _origins(values["origins"])
        return cls(**values)

    def with_origins(self, origins: tuple[str, ...]) -> "Settings":
        """The same settings, known to devices by these origins."""
        return replace(self, origins=origins)


_NAMES: Final = tuple(item.name for item in fields(Settings))


def unknown_names(environment: Mapping[str, str] = os.environ) -> list[str]:
    """What is set under our prefix and is nobody's: the operator may take it for a setting."""
    known = {*map(_named, _NAMES), *_CLIENTS}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _named(name: str) -> str:
    return PREFIX + name.upper()


def _origins(given: tuple[str, ...]) -> tuple[str, ...]:
    if not given:
        message = f"{_named('origins')} is empty; leave it out, or say the address devices use"
        raise ValueError(message)
    try:
        return tuple(dict.fromkeys(map(normal_origin, given)))
    except ValueError as error:
        message = f"{_named('origins')} or --origin: {error}; several have spaces between them"
        raise ValueError(message) from None


def _read(name: str, kind: str, text: str) -> object:
    if kind in {"int", str(int)}:
        try:
            return int(text)
        except ValueError:
            message = f"{name} is not a whole number"
            raise ValueError(message) from None
    if kind in {"bool", str(bool)}:
        return _read_bool(name, text.strip().lower())
    if "tuple" in kind:
        return tuple(text.split())
    return text


def _read_bool(name: str, text: str) -> bool:
    if text not in _YES | _NO:
        message = f"{name} is neither yes nor no"
        raise ValueError(message)
    return text in _YES
