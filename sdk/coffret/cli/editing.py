"""Let a person edit a memory in their editor, through a file that nobody else can read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from coffret.cli.form import changes_in, write_form
from coffret.cli.leftovers import scratch_folder
from coffret_vault.errors import InputError, NetworkError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from coffret.cli.desk import Desk
    from coffret_vault.records.memory import Fields


class _Sheet(NamedTuple):
    """The file that is edited, and what holds its folder."""

    path: Path
    held: tuple[int, ...]


@contextmanager
def edited(desk: Desk, fields: Fields) -> Iterator[dict[str, Any]]:
    """What a person changes of these fields, to be saved in this context; empty when nothing.

    A form that cannot be read is shown again, as it was left, if there is somebody to show it to.
    What was written is not lost with an error, here or in the context: it goes to the terminal.

    Raises:
        InputError: there is no editor, it failed, or the form cannot be read.
    """
    command = _editor(desk.environment, interactive=desk.asker.interactive)
    form = write_form(fields)
    left = form
    try:
        with _private_file(desk.places.runtime, form) as sheet:
            try:
                changes = _read(desk, command, sheet, fields)
            finally:
                with suppress(OSError):  # an editor may have removed it
                    left = sheet.path.read_bytes().decode("utf-8", "backslashreplace")
        yield changes
    except BaseException as error:
        if left != form:
            _give_back(desk, error, left)
        raise


@contextmanager
def given_back(desk: Desk, text: str) -> Iterator[None]:
    """Show a person again what came by standard input, where it is not saved in this context.

    Where standard error is no terminal, whoever wrote it has it, and no log is to have it too.
    """
    try:
        yield
    except BaseException as error:
        if text.strip() and sys.stderr.isatty():
            _give_back(desk, error, text)
        raise


def _give_back(desk: Desk, error: BaseException, text: str) -> None:
    # Else it may be there, or come there yet.
    sure = not (isinstance(error, NetworkError) or desk.has_begun())
    with suppress(OSError):  # a terminal that was closed
        desk.out.note(f"This {'was not' if sure else 'may not have been'} saved:\n\n{text}")


def _read(desk: Desk, command: list[str], sheet: _Sheet, fields: Fields) -> dict[str, Any]:
    while True:
        _run(command, sheet)
        try:
            return changes_in(sheet.path.read_text("utf-8"), fields)
        except (InputError, UnicodeDecodeError) as error:
            fault = error if isinstance(error, InputError) else InputError("it is not UTF-8")
            if not desk.asker.interactive:
                raise fault from None
            desk.out.error(fault)
            if not desk.asker.confirm("Edit it again?"):
                raise fault from None


def _editor(environment: Mapping[str, str], *, interactive: bool) -> list[str]:
    named = environment.get("VISUAL") or environment.get("EDITOR")
    if not (named or interactive):  # one that was named may be a program that needs no terminal
        message = "there is no terminal to open an editor at"
        raise InputError(message, hint="Give the content, or - to read standard input.")
    try:
        command = shlex.split(named or ("notepad" if os.name == "nt" else "vi"))
    except ValueError:  # a quotation without an end
        command = []
    if not command or shutil.which(command[0]) is None:
        message = "there is no editor to be found"
        raise InputError(message, hint="Set EDITOR, or give the content as an argument.")
    return command


def _run(command: list[str], sheet: _Sheet) -> None:
    words = [*command, os.fspath(sheet.path)]
    try:
        # The editor holds the folder too: it is no leftover while somebody writes in it.
        finished = subprocess.run(words, check=False, pass_fds=sheet.held)  # noqa: S603 - theirs
    except OSError:
        message = "the editor could not be started"
        raise InputError(message) from None
    if finished.returncode:
        message = "the editor ended with an error; nothing was changed"
        raise InputError(message)


@contextmanager
def _private_file(runtime: Path, text: str) -> Iterator[_Sheet]:
    """A file in a folder of its own, which takes an editor's swap and backup files with it."""
    try:
        with scratch_folder(runtime) as (folder, held):
            path = folder / "memory.md"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(path, flags, 0o600), "wb") as out:
                out.write(text.encode("utf-8", "surrogatepass"))
            yield _Sheet(path, held)
    except OSError:
        message = "the file to be edited cannot be written or read"
        raise StoreError(message) from None
