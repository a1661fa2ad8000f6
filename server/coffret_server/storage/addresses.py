"""The address of a database, and what is wrong with one that cannot be used."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_POSTGRESQL: Final = frozenset({"postgresql", "postgres"})
_FORMS: Final = (
    "COFFRET_DATABASE or --database has to look like sqlite:///file or"
    " postgresql://user@host/database"
)
_TLS: Final = ("sslmode", "ssl")
"""The word of libpq and asyncpg, and that of SQLAlchemy's driver."""
_YES: Final = frozenset({"true", "1", "yes", "on"})
_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})


class DatabaseError(Exception):
    """The database cannot be served; the message says what to do."""


@dataclass(frozen=True)
class Address:
    """A database: a file of SQLite's, or what asyncpg connects to."""

    path: Path | None
    dsn: str = field(default="", repr=False)  # may hold a password


def parse(url: str) -> Address:
    """The address that an operator gave.

    Raises:
        DatabaseError: it is none, or what it needs is not installed.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseError(_FORMS) from None
    backend = parsed.drivername.partition("+")[0]
    if backend in _POSTGRESQL:
        return _postgresql(parsed)
    if backend != "sqlite":
        raise DatabaseError(_FORMS)
    if parsed.database in {None, "", ":memory:"}:
        message = "SQLite needs a file: sqlite:///path/to/coffret.db"
        raise DatabaseError(message)
    return Address(Path(str(parsed.database)))


def _postgresql(parsed: URL) -> Address:
    if importlib.util.find_spec("asyncpg") is None:
        message = "PostgreSQL needs more: pip install 'coffret-server[postgresql]'"
        raise DatabaseError(message)
    given = [parsed.query[name] for name in _TLS if name in parsed.query]
    if len(given) > 1:
        message = "the database's address says both sslmode and ssl; sslmode is enough"
        raise DatabaseError(message)
    plain = parsed.set(drivername="postgresql").difference_update_query(_TLS)
    if given:
        mode = str(given[0]).lower()
        mode = "require" if mode in _YES else mode
        if mode not in _MODES:
            message = f"the database's sslmode has to be one of {', '.join(sorted(_MODES))}"
            raise DatabaseError(message)
        plain = plain.update_query_dict({"sslmode": mode})
    return Address(None, plain.render_as_string(hide_password=False))
