"""The recovery kit: what an owner prints and keeps. docs/spec/3-keys.md."""

from __future__ import annotations

import re

import msgspec

from coffret_vault.errors import FormatError, InputError
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, write_code
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.unshown import Unshown
from coffret_vault.primitives.secret import SecretBytes


class RecoveryKit(msgspec.Struct, frozen=True):
    """Everything that opens a vault without its devices. It is made on the device and never sent.

    Attributes:
        origin: the server's address.
        username: the owner's.
        account_id: 16 bytes.
        secret_key: needed beside the passphrase on a new device.
        recovery_code: opens the vault without passphrase and Secret Key.
        fingerprint: eight words for the owner's public keys.
        head: the log's head when the kit was made; a new device compares it.
    """

    origin: str
    username: str
    account_id: bytes
    secret_key: SecretBytes
    recovery_code: SecretBytes
    fingerprint: str
    head: str

    def __repr__(self) -> str:
        return f"<RecoveryKit {self.username}>"

    def secret_key_code(self) -> str:
        """The Secret Key as a person writes it down."""
        return write_code(SECRET_KEY, self.secret_key.reveal())

    def recovery_code_text(self) -> str:
        """The recovery code as a person writes it down."""
        return write_code(RECOVERY_CODE, self.recovery_code.reveal())

    def text(self) -> str:
        """The kit as a page to print. It holds secrets: it goes to the person and nowhere else."""
        return _PAGE.format(
            origin=self.origin,
            username=self.username,
            account=id_text(self.account_id),
            secret_key=self.secret_key_code(),
            recovery=self.recovery_code_text(),
            words=self.fingerprint,
            head="\n".join(f"    {line}" for line in self.head.rstrip().splitlines()),
        )


class ReadKit(Unshown, msgspec.Struct, frozen=True):
    """What a printed kit says: codes as they are written, not yet checked."""

    origin: str
    username: str
    account_id: bytes
    secret_key: str
    recovery_code: str


def read_kit(text: str) -> ReadKit:
    """The kit on a page as :meth:`RecoveryKit.text` prints it, whatever stands around it.

    Raises:
        InputError: something of it is missing.
    """
    try:
        return ReadKit(
            _value(text, "Server"),
            _value(text, "Username"),
            parse_id(_value(text, "Account")),
            _value(text, "Secret Key"),
            _value(text, "Recovery code"),
        )
    except FormatError:
        message = "that is not a recovery kit: the account is not an id"
        raise InputError(message) from None


def _value(text: str, label: str) -> str:
    found = re.search(rf"^[ \t]*{label}[ \t]{{2,}}(\S+)[ \t]*$", text, re.MULTILINE)
    if found is None:
        message = f"that is not a recovery kit: it has no line “{label}”"
        raise InputError(message)
    return found[1]


_PAGE = """\
COFFRET RECOVERY KIT: print it, keep it where you keep what must not be lost.
Nobody can make another one for you: the server keeps no copy and no key.

  Server         {origin}
  Username       {username}
  Account        {account}

  Secret Key     {secret_key}
     Asked for on every new device, together with your passphrase.

  Recovery code  {recovery}
     Opens the vault alone, if passphrase or Secret Key are lost. Whoever finds this page can too.

  Your fingerprint  {words}

  The log when this kit was made (a new device compares it, to notice a vault that was turned back):
{head}
"""
