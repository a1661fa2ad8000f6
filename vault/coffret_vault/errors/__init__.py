"""Every error that Coffret raises on purpose.

::

    CoffretError
     ├─ InputError            what was asked for makes no sense (a bad tag, an empty memory)
     │   ├─ CodeTypoError     a Secret Key or recovery code that was mistyped
     │   ├─ WordsError        eight words that are not those of the keys at hand
     │   ├─ AppUnconfirmedError an app that nothing shows to be who it says it is
     │   ├─ ClockError        this device's clock is far from the server's
     │   └─ TooLargeError     over a published size cap
     ├─ FormatError           bytes that are not what the specification says
     │   ├─ UnknownSuiteError a cryptographic suite that this version does not know
     │   └─ UnknownSettingError a setting of the vault that it does not know
     ├─ OpenError             an envelope or a wrapped key that does not open; says nothing more
     ├─ CredentialsError      passphrase, Secret Key or recovery code does not fit
     │   └─ KeysChangedError  they were changed on another device; log in again
     ├─ LockedError           the keys are not in memory
     ├─ TrustError            the server, or an app, showed something that cannot be true
     │   ├─ BadSignatureError a signature does not verify
     │   ├─ WeakKeyError      a public key for which any message would verify
     │   ├─ WeakKdfError      the server named passphrase parameters outside our limits
     │   ├─ AppKeyChangedError an app shows other keys than those that were approved
     │   ├─ AppDomainError    an app's own domain names other apps than this one
     │   └─ OwnerKeyChangedError an owner shows other keys than this app knew
     ├─ NotFoundError         no such memory, grant, request, app or account
     ├─ AccountDeletedError   the account is no more at the server
     ├─ ConflictError         someone else changed it first, or it exists already
     │   ├─ RequestPendingError an owner has not decided about a request
     │   └─ RequestEndedError a request that led to no grant; carries ``state``
     ├─ GrantError            a grant does not cover this
     │   ├─ GrantActivatingError
     │   ├─ GrantExpiredError
     │   ├─ GrantPausedError
     │   ├─ GrantRevokedError
     │   └─ OwnerGoneError    its owner deleted their account
     ├─ StoreError            the local store cannot be read or written
     │   ├─ StoreDamagedError
     │   │   └─ StoreAlteredError something in it that this vault did not put there
     │   ├─ StoreFullError
     │   └─ StoreMovedError   another process of this device was quicker
     ├─ IndexDamagedError     the search index cannot be used and is rebuilt
     ├─ NetworkError          the server did not answer
     │   └─ TimedOutError
     └─ ServerError           the server answered with a problem of its own
         ├─ SessionError      the session or token is missing, expired or revoked
         │   └─ SessionEndedError
         ├─ ForbiddenError    the server does not allow it
         ├─ RateLimitedError  too many requests; carries ``retry_after`` seconds
         └─ QuotaError        the account is full

``code`` is stable and is what programs compare; ``exit_code`` is what the CLI returns;
``http_status`` is the status with which a server answers with that code, where it does: it is no
class's for being its parent's. The first line of a class docstring is the sentence that a person
reads. No message ever holds a key, a token, a passphrase or plaintext.
"""

from __future__ import annotations

from coffret_vault.errors.base import CoffretError
from coffret_vault.errors.given import (
    AppUnconfirmedError,
    ClockError,
    CodeTypoError,
    CredentialsError,
    FormatError,
    InputError,
    KeysChangedError,
    LockedError,
    OpenError,
    TooLargeError,
    UnknownSettingError,
    UnknownSuiteError,
    WordsError,
)
from coffret_vault.errors.local import (
    IndexDamagedError,
    StoreAlteredError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreMovedError,
)
from coffret_vault.errors.remote import (
    ForbiddenError,
    NetworkError,
    QuotaError,
    RateLimitedError,
    ServerError,
    SessionEndedError,
    SessionError,
    TimedOutError,
)
from coffret_vault.errors.state import (
    AccountDeletedError,
    ConflictError,
    GrantActivatingError,
    GrantError,
    GrantExpiredError,
    GrantPausedError,
    GrantRevokedError,
    NotFoundError,
    OwnerGoneError,
    RequestEndedError,
    RequestPendingError,
)
from coffret_vault.errors.trust import (
    AppDomainError,
    AppKeyChangedError,
    BadSignatureError,
    OwnerKeyChangedError,
    TrustError,
    WeakKdfError,
    WeakKeyError,
)

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
    "ForbiddenError",
    "FormatError",
    "GrantActivatingError",
    "GrantError",
    "GrantExpiredError",
    "GrantPausedError",
    "GrantRevokedError",
    "IndexDamagedError",
    "InputError",
    "KeysChangedError",
    "LockedError",
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
    "WordsError",
]
