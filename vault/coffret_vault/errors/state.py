"""How things stand does not allow it: what is not there, changed first, or not granted."""

from __future__ import annotations

from coffret_vault.errors.base import CoffretError


class NotFoundError(CoffretError):
    """There is no such thing in this vault."""

    code = "not-found"
    exit_code = 6
    http_status = 404


class AccountDeletedError(CoffretError):
    """This account was deleted at the server; what is on this device stays."""

    code = "account-deleted"
    exit_code = 6

    def __init__(self, detail: str = "", *, hint: str = "", signed: bool = False) -> None:
        """Args as for every error, and ``signed``: whether the account's own keys said so."""
        super().__init__(detail, hint=hint)
        self.signed = signed


class ConflictError(CoffretError):
    """Someone else changed it first, or it exists already."""

    code = "conflict"
    exit_code = 7
    http_status = 409


class RequestPendingError(ConflictError):
    """The owner has not decided about this request yet."""

    code = "request-pending"


class RequestEndedError(ConflictError):
    """This request is over and led to no grant."""

    code = "request-ended"

    def __init__(self, detail: str = "", *, hint: str = "", state: str = "") -> None:
        """Args as for every error, and ``state``: denied, cancelled, lapsed or superseded."""
        super().__init__(detail, hint=hint)
        self.state = state


class GrantError(CoffretError):
    """The grant does not cover this."""

    code = "not-granted"
    exit_code = 8
    http_status = 403


class GrantActivatingError(GrantError):
    """The grant is not ready yet: the owner's device is still handing over its keys."""

    code = "grant-activating"
    http_status = 403


class GrantExpiredError(GrantError):
    """The grant has expired."""

    code = "grant-expired"
    http_status = 403


class GrantPausedError(GrantError):
    """The owner has paused the grant."""

    code = "grant-paused"
    http_status = 403


class GrantRevokedError(GrantError):
    """The owner has revoked the grant."""

    code = "grant-revoked"
    http_status = 403


class OwnerGoneError(GrantError):
    """The owner deleted their account, and with it the grant; forget what you keep of theirs."""

    code = "owner-gone"
    http_status = 410
