"""What the server, or an app, showed cannot be true."""

from __future__ import annotations

from coffret_vault.errors.base import CoffretError


class TrustError(CoffretError):
    """Something was shown that cannot be true; nothing was changed here."""

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
