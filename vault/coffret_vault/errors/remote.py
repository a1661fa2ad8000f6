"""The server was not reached, or answered with a problem of its own."""

from __future__ import annotations

from coffret_vault.errors.base import CoffretError


class NetworkError(CoffretError):
    """The server could not be reached."""

    code = "unreachable"
    exit_code = 10


class TimedOutError(NetworkError):
    """The server did not answer in time."""

    code = "timed-out"


class ServerError(CoffretError):
    """The server answered with an error."""

    code = "server-error"
    exit_code = 11
    http_status = 500
    retry_after: float = 0.0
    """Seconds to wait before the next try, where the server said so."""


class SessionError(ServerError):
    """The session or token is missing, expired or revoked; log in again."""

    code = "unauthenticated"
    exit_code = 4
    http_status = 401


class SessionEndedError(SessionError):
    """This device's session was ended; unlock the vault to log in again."""

    code = "session-ended"
    http_status = 401


class ForbiddenError(ServerError):
    """The server does not allow this."""

    code = "forbidden"
    exit_code = 8
    http_status = 403


class RateLimitedError(ServerError):
    """Too many requests; try again later."""

    code = "rate-limited"
    http_status = 429

    def __init__(self, detail: str = "", *, hint: str = "", retry_after: float = 1.0) -> None:
        """Args as for every error, and ``retry_after``: seconds to wait before the next try."""
        super().__init__(detail, hint=hint)
        self.retry_after = retry_after


class QuotaError(ServerError):
    """The account has reached its quota."""

    code = "quota-exceeded"
    http_status = 429
