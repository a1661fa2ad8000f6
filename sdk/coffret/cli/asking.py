"""Ask the person: secrets hidden, from files or line by line where there is no terminal."""

from __future__ import annotations

import os
import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from coffret_vault.errors import CodeTypoError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SHORT = 12
_YES = frozenset(("y", "yes"))
_MOST = 4096
_END = 3  # a line's end, and one byte more to see that it is longer
_TRIES = 3
_NO_TEXT = "the {} is not text in this terminal's encoding"


class Secret(NamedTuple):
    """A kind of secret: what it is called, and the variable that names a file with it."""

    name: str
    variable: str


PASSPHRASE = Secret("passphrase", "COFFRET_PASSPHRASE_FILE")
SECRET_KEY = Secret("Secret Key", "COFFRET_SECRET_KEY_FILE")
NEW_PASSPHRASE = Secret("new passphrase", "COFFRET_NEW_PASSPHRASE_FILE")
RECOVERY_CODE = Secret("recovery code", "COFFRET_RECOVERY_CODE_FILE")
DEVELOPER_KEY = Secret("developer key", "COFFRET_DEVELOPER_KEY_FILE")


class Asker:
    """Answers from a person at a terminal, from files, or from the lines of standard input."""

    def __init__(self, note: Callable[[str], None], environment: Mapping[str, str]) -> None:
        """Remarks go to ``note``."""
        self._note = note
        self._environment = environment
        self._files: dict[Secret, str] = {}
        self._stdin_taken = False

    @property
    def interactive(self) -> bool:
        """Whether a person is at a terminal."""
        return sys.stdin.isatty()

    def use_file(self, secret: Secret, path: str | None) -> None:
        """Take a secret from this file."""
        if path:
            self._files[secret] = path

    def has_file(self, what: Secret) -> bool:
        """Whether a file is named for a secret."""
        return bool(self._files.get(what) or self._environment.get(what.variable))

    def asks(self, what: Secret) -> bool:
        """Whether a person is asked for a secret, and can be asked again."""
        return self.interactive and not self.has_file(what)

    def secret(self, what: Secret) -> str:
        """A secret that exists.

        Raises:
            InputError: there is none to be had.
        """
        found = self._from_file(what)
        if found is None:
            found = self._hidden(what) if self.interactive else self._line(what)
        if not found:
            message = f"the {what.name} is empty"
            raise InputError(message)
        return found

    def code(self, what: Secret, read: Callable[[str], object]) -> str:
        """A secret with a check in it, which a person at a terminal may type again.

        Raises:
            CodeTypoError: its check does not fit, which ``read`` says.
            InputError: there is none to be had.
        """
        for _ in range(_TRIES - 1 if self.asks(what) else 0):
            typed = self.secret(what)
            try:
                read(typed)
            except CodeTypoError as error:
                self._note(f"{str(error).rstrip('.')}. {error.hint} Once more:")
            else:
                return typed
        typed = self.secret(what)
        read(typed)
        return typed

    def new_passphrase(self, what: Secret = PASSPHRASE) -> str:
        """A passphrase that is being chosen; at a terminal, it is asked for twice.

        Raises:
            InputError: it is empty, or the second is another.
        """
        from_file = self._from_file(what)
        chosen = self.secret(what) if from_file is None else from_file
        if not chosen.strip():
            message = "the passphrase is empty"
            raise InputError(message)
        if from_file is None and self.interactive and _typed("The same again: ", what) != chosen:
            message = "the two passphrases differ"
            raise InputError(message)
        if len(chosen) < _SHORT:
            self._note("That passphrase is short: five or six random words are easy to keep.")
        return chosen

    def keep_for_content(self) -> None:
        """Read no secret from standard input: it is the content, which is read later."""
        self._stdin_taken = True

    def content(self) -> str:
        """All of standard input, as text.

        Raises:
            InputError: it is not UTF-8.
        """
        self.keep_for_content()
        try:
            return sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            message = "standard input is not UTF-8 text"
            raise InputError(message) from None

    def text(self, question: str, default: str = "") -> str:
        """A line from the person.

        Raises:
            InputError: nobody is there to ask, or what was typed is no text.
        """
        if not self.interactive:
            message = f"{question}: nobody is there to ask"
            raise InputError(message, hint="Give it as an option.")
        sys.stderr.write(f"{question} [{default}]: " if default else f"{question}: ")
        sys.stderr.flush()
        try:
            return sys.stdin.readline().strip() or default
        except UnicodeDecodeError:  # of a terminal with another encoding
            message = _NO_TEXT.format("answer")
            raise InputError(message) from None

    def confirm(self, question: str) -> bool:
        """Yes or no; no, unless it is said.

        Raises:
            InputError: nobody is there to ask.
        """
        self.check_person()
        return self.text(f"{question} [y/N]").lower() in _YES

    def check_person(self) -> None:
        """Go on if somebody can say yes.

        Raises:
            InputError: nobody is there to ask.
        """
        if not self.interactive:
            message = "this needs a yes, and nobody is there to ask"
            raise InputError(message, hint="Add --yes.")

    def _from_file(self, what: Secret) -> str | None:
        name = self._files.get(what) or self._environment.get(what.variable)
        if not name:
            return None
        try:
            path = Path(name).expanduser()
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                line = file.readline(_MOST + _END)
        except (OSError, RuntimeError):  # or nobody's home
            message = f"the file with the {what.name} cannot be read"
            raise InputError(message) from None
        if path.is_file() and mode & 0o077 and hasattr(os, "getuid"):
            self._note(f"Others can read the file with the {what.name}: chmod 600")
        return _decoded(line, what)

    def _hidden(self, what: Secret) -> str:
        return _typed(f"{what.name[0].upper()}{what.name[1:]}: ", what).strip("\r\n")

    def _line(self, what: Secret) -> str:
        if self._stdin_taken:
            message = f"the {what.name} is needed, and standard input is the content"
            raise InputError(message, hint=f"Run coffret unlock first, or set {what.variable}.")
        line = sys.stdin.buffer.readline(_MOST + _END)
        if not line:
            message = f"the {what.name} is needed, and nobody is there to ask"
            raise InputError(message, hint=f"Give it on standard input, or set {what.variable}.")
        return _decoded(line, what)


def _typed(question: str, what: Secret) -> str:
    try:
        return getpass(question)
    except UnicodeDecodeError:  # it shows what was typed
        message = _NO_TEXT.format(what.name)
        raise InputError(message) from None


def _decoded(line: bytes, what: Secret) -> str:
    if len(line.rstrip(b"\r\n")) > _MOST:
        message = f"the {what.name} is longer than {_MOST:,} bytes"
        raise InputError(message, hint="Its first line is taken: look whether it is the right one.")
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        message = f"the {what.name} is not UTF-8 text"
        raise InputError(message) from None
