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
     ├─ AccountDeletedError   the account is no more at the server (formats.deletion)
     ├─ ConflictError         someone else changed it first, or it exists already
     │   ├─ RequestPendingError an owner has not decided about a request
     │   └─ RequestEndedError a request that led to no grant; carries ``state``
     ├─ GrantError            a grant does not cover this
     │   ├─ GrantActivatingError
     │   ├─ GrantExpiredError
     │   ├─ GrantPausedError
     │   ├─ GrantRevokedError
     │   └─ OwnerGoneError    its owner deleted their account (formats.deletion)
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
class's for being its parent's. The
first line of a class docstring is the sentence that a person reads. No message ever holds a key,
a token, a passphrase or plaintext.
"""

from __future__ import annotations

from typing import ClassVar


class CoffretError(Exception):
    """Something went wrong in Coffret."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        """Inherit no status: a server answers with codes of its own alone."""
        super().__init_subclass__()
        if "http_status" not in vars(cls):
            cls.http_status = None

    def __init__(self, detail: str = "", *, hint: str = "") -> None:
        """Say what happened.

        Args:
            detail: what is particular to this case; the class sentence when empty.
            hint: what the person can do about it.
        """
        super().__init__(detail or self.sentence())
        self.hint = hint
        self.evidence = ""
        """The file that shows what happened, where one was written."""

    @classmethod
    def sentence(cls) -> str:
        """The first line of the class docstring: what a person reads."""
        return (cls.__doc__ or "").partition("\n")[0]


class InputError(CoffretError):
    """That input cannot be used."""

    code = "invalid-input"
    exit_code = 2
    http_status = 422


class CodeTypoError(InputError):
    """That code has a typing mistake in it: its check does not fit."""

    code = "code-typo"


class WordsError(InputError):
    """Those eight words are not the words of these keys."""

    code = "wrong-words"


class AppUnconfirmedError(InputError):
    """Nothing shows yet that this app is who it says it is."""

    code = "app-unconfirmed"


class ClockError(InputError):
    """The clock here is far from the server's: see which of them is wrong."""

    code = "wrong-clock"
    http_status = 422


class TooLargeError(InputError):
    """That is larger than Coffret allows."""

    code = "too-large"
    http_status = 413


class FormatError(CoffretError):
    """These bytes are not in the format that the specification describes."""

    code = "malformed"
    exit_code = 3
    http_status = 400


class UnknownSuiteError(FormatError):
    """This was made with a cryptographic suite that this version does not know; update Coffret."""

    code = "unknown-suite"
    http_status = 422


class UnknownSettingError(FormatError):
    """The vault has a setting that this version does not know; update Coffret."""

    code = "unknown-setting"


class OpenError(CoffretError):
    """This could not be opened."""

    code = "cannot-open"
    exit_code = 3


class CredentialsError(CoffretError):
    """The passphrase, Secret Key or recovery code is not right for this vault."""

    code = "wrong-credentials"
    exit_code = 4
    http_status = 401


class KeysChangedError(CredentialsError):
    """The vault's passphrase or keys were changed elsewhere."""

    code = "keys-changed"


class LockedError(CoffretError):
    """The vault is locked."""

    code = "locked"
    exit_code = 4


class TrustError(CoffretError):
    """The server showed something that cannot be true; nothing was changed here."""

    code = "untrustworthy"
    exit_code = 5


class BadSignatureError(TrustError):
    """A signature does not verify; nothing was changed here."""

    code = "bad-signature"
    http_status = 422


class WeakKeyError(TrustError):
    """A public key is one for which any message would verify; nothing was changed here."""

    code = "weak-key"
    http_status = 422


class WeakKdfError(TrustError):
    """The server named passphrase parameters outside the limits in this program."""

    code = "kdf-out-of-bounds"


class AppKeyChangedError(TrustError):
    """This app's keys are not the ones it had when you last approved it; its grants were ended."""

    code = "app-key-changed"


class AppDomainError(TrustError):
    """The app's own website names other apps or other keys; nothing was approved."""

    code = "app-domain"


class OwnerKeyChangedError(TrustError):
    """The owner's keys are not the ones that this app knows; nothing was changed here."""

    code = "owner-key-changed"


class NotFoundError(CoffretError):
    """There is no such thing in this vault."""

    code = "not-found"
    exit_code = 6
    http_status = 404


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


class StoreError(CoffretError):
    """The local store cannot be used."""

    code = "store"
    exit_code = 9


class StoreDamagedError(StoreError):
    """The local store is damaged; the server's copy is whole, so sync into a new one."""

    code = "store-damaged"


class StoreAlteredError(StoreDamagedError):
    """The local store holds something that this vault never made; nothing was done by it."""

    code = "store-altered"


class StoreFullError(StoreError):
    """The disk is full; what was done before stays, and nothing else was changed."""

    code = "disk-full"


class StoreMovedError(StoreError):
    """Another program changed the local store at the same time; try again."""

    code = "store-moved"


class IndexDamagedError(CoffretError):
    """The search index cannot be used and has to be rebuilt."""

    code = "index-damaged"
    exit_code = 9


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
