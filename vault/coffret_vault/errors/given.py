"""What was given makes no sense, or opens nothing: input, bytes, secrets."""

from __future__ import annotations

from coffret_vault.errors.base import CoffretError


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
