"""Every error that Coffret raises on purpose: docs/errors.md has the table.

Example::

    from coffret import errors

    try:
        access = app.access(request)
    except errors.GrantPausedError:
        ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coffret_vault.errors import (
    AccountDeletedError,
    AppDomainError,
    AppKeyChangedError,
    AppUnconfirmedError,
    BadSignatureError,
    ClockError,
    CodeTypoError,
    CoffretError,
    ConflictError,
    CredentialsError,
    ForbiddenError,
    FormatError,
    GrantActivatingError,
    GrantError,
    GrantExpiredError,
    GrantPausedError,
    GrantRevokedError,
    IndexDamagedError,
    InputError,
    KeysChangedError,
    LockedError,
    NetworkError,
    NotFoundError,
    OpenError,
    OwnerGoneError,
    OwnerKeyChangedError,
    QuotaError,
    RateLimitedError,
    RequestEndedError,
    RequestPendingError,
    ServerError,
    SessionEndedError,
    SessionError,
    StoreAlteredError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreMovedError,
    TimedOutError,
    TooLargeError,
    TrustError,
    UnknownSettingError,
    UnknownSuiteError,
    WeakKdfError,
    WeakKeyError,
    WordsError,
)
from coffret_vault.ingest.errors import (
    IngestError,
    SourceDamagedError,
    SourceEmptyError,
    SourceMissingError,
    SourceTooLargeError,
    SourceUnknownError,
)

if TYPE_CHECKING:
    from coffret_vault.grants.words import WordListError
    from coffret_vault.search.errors import EmbedderError, ModelDamagedError

_HOMES = {
    "EmbedderError": "coffret_vault.search.errors",
    "ModelDamagedError": "coffret_vault.search.errors",
    "WordListError": "coffret_vault.grants.words",
}
"""Where those are whose modules load numbers or ciphers: they are loaded when asked for."""

__all__ = [
    "AccountDeletedError",
    "AppDomainError",
    "AppKeyChangedError",
    "AppUnconfirmedError",
    "BadSignatureError",
    "ClockError",
    "CodeTypoError",
    "CoffretError",
    "ConflictError",
    "CredentialsError",
    "EmbedderError",
    "ForbiddenError",
    "FormatError",
    "GrantActivatingError",
    "GrantError",
    "GrantExpiredError",
    "GrantPausedError",
    "GrantRevokedError",
    "IndexDamagedError",
    "IngestError",
    "InputError",
    "KeysChangedError",
    "LockedError",
    "ModelDamagedError",
    "NetworkError",
    "NotFoundError",
    "OpenError",
    "OwnerGoneError",
    "OwnerKeyChangedError",
    "QuotaError",
    "RateLimitedError",
    "RequestEndedError",
    "RequestPendingError",
    "ServerError",
    "SessionEndedError",
    "SessionError",
    "SourceDamagedError",
    "SourceEmptyError",
    "SourceMissingError",
    "SourceTooLargeError",
    "SourceUnknownError",
    "StoreAlteredError",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "StoreMovedError",
    "TimedOutError",
    "TooLargeError",
    "TrustError",
    "UnknownSettingError",
    "UnknownSuiteError",
    "WeakKdfError",
    "WeakKeyError",
    "WordListError",
    "WordsError",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)
