"""What an operator can set, by argument or by environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

PREFIX: Final = "COFFRET_"
MEGABYTE: Final = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """The settings of a server. Each is also read from `COFFRET_<NAME>`.

    Attributes:
        database: `sqlite:///file` or `postgresql://…`.
        origins: the origins by which devices know this server; a login is signed for one of them.
        jwt_key: hex of the key that signs app tokens; made and kept in the database if empty.
        session_seconds: how long a login lasts.
        token_seconds: how long an app's token lasts, at most 900.
        quota_memories: memories of an account.
        quota_bytes: bytes of records of an account.
        waiting_entries: what apps wrote under a grant and the owner has not decided about.
        waiting_bytes: bytes of its records; of both, never more than a quarter of the quota.
        auth_rate: requests a minute of one address for challenges, logins and tokens.
        open_rate: requests a minute of one address without a token.
        account_rate: requests a minute of one account or app.
        failure_rate: wrong tokens and keys a minute of one address.
        login_failures: failed logins to an account from an address, at once; five times as many
            from an address, ten times as many to an account.
        request_rate: access requests of one app to one owner a day.
        trust_forwarded: take the client's address from X-Forwarded-For (behind a proxy only).
    """

    database: str = field(repr=False)  # a URL may hold a password
    origins: tuple[str, ...] = ()
    jwt_key: str = field(default="", repr=False)
    session_seconds: int = 30 * 86_400
    token_seconds: int = 900
    quota_memories: int = 1_000_000
    quota_bytes: int = 20 * 1024 * MEGABYTE
    waiting_entries: int = 10_000
    waiting_bytes: int = 512 * MEGABYTE
    auth_rate: int = 300
    open_rate: int = 1_200
    account_rate: int = 120_000
    failure_rate: int = 60
    login_failures: int = 10
    request_rate: int = 20
    trust_forwarded: bool = False

    def __post_init__(self) -> None:
        """Refuse what no limit or time can be.

        Raises:
            ValueError: a rate, a time or a count is below 1.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            if type(value) is int and value < 1:
                message = f"{PREFIX}{item.name.upper()} has to be at least 1"
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
            ValueError: a number is not one, or below 1; it names the setting.
        """
        values: dict[str, Any] = {"database": default_database}
        for item in fields(cls):
            name = PREFIX + item.name.upper()
            if (text := environment.get(name)) is not None:
                values[item.name] = _read(name, str(item.type), text)
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)

    def with_origins(self, origins: tuple[str, ...]) -> "Settings":
        """The same settings, known to devices by these origins."""
        return replace(self, origins=origins)


def _read(name: str, kind: str, text: str) -> object:
    if kind in {"int", str(int)}:
        try:
            return int(text)
        except ValueError:
            message = f"{name} is not a whole number"
            raise ValueError(message) from None
    if kind in {"bool", str(bool)}:
        return text.lower() in {"1", "true", "yes"}
    if "tuple" in kind:
        return tuple(text.split())
    return text
