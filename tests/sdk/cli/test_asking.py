"""What a person is asked for, and may mistype."""

from __future__ import annotations

import traceback
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING

import pytest

from coffret.cli.asking import PASSPHRASE, SECRET_KEY, Asker
from coffret_vault.errors import CodeTypoError, InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_mistyped_code_is_asked_for_again_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times at most, before anything else is asked for; a file is not read again."""
    typed = iter(["one", "two", "right", "a", "b", "c"])
    monkeypatch.setattr("coffret.cli.asking.getpass", lambda _prompt: next(typed))
    monkeypatch.setattr(Asker, "interactive", property(lambda _self: True))
    notes: list[str] = []

    def read(text: str) -> None:
        if text != "right":
            raise CodeTypoError(hint="Look.")

    asker = Asker(notes.append, {})
    assert asker.code(SECRET_KEY, read) == "right"
    assert [note.endswith("Look. Once more:") for note in notes] == [True, True]
    with pytest.raises(CodeTypoError):
        asker.code(SECRET_KEY, read)
    monkeypatch.setattr(Asker, "_from_file", lambda _self, _what: "wrong")
    asker.use_file(SECRET_KEY, "named")
    with pytest.raises(CodeTypoError):
        asker.code(SECRET_KEY, read)
    assert len(notes) == 4


def test_what_a_terminal_cannot_take_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase in another encoding is refused without a byte of it, at either question."""
    typed: list[str | bytes] = [b"one\xe4", b"one\xe4", "one"]
    monkeypatch.setattr("coffret.cli.asking.getpass", lambda _prompt: _taken(typed.pop()))
    monkeypatch.setattr(Asker, "interactive", property(lambda _self: True))
    asker = Asker(lambda _note: None, {})
    for ask in (asker.new_passphrase, asker.secret):
        with pytest.raises(InputError, match="encoding") as caught:
            ask(PASSPHRASE)
        assert "0xe4" not in "".join(traceback.format_exception(caught.value))
    assert not typed


def test_an_answer_in_another_encoding_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no crash, and a yes to nothing."""
    monkeypatch.setattr(Asker, "interactive", property(lambda _self: True))
    asker = Asker(lambda _note: None, {})
    for ask in (asker.text, asker.confirm):
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"y\xe4s\n"), "utf-8"))
        with pytest.raises(InputError, match="encoding"):
            ask("Go on?")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nmore"])
@pytest.mark.parametrize("given", ["file", "input"])
def test_a_secret_is_taken_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, end: bytes
) -> None:
    """From a file or standard input: what is too long is refused, and nothing of it is shown."""
    path = tmp_path / "passphrase"
    path.touch(0o600)

    def ask(secret: bytes) -> str:
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(secret + end)))
        path.write_bytes(secret + end)
        asker = Asker(lambda _note: None, {})
        asker.use_file(PASSPHRASE, str(path) if given == "file" else "")
        return asker.secret(PASSPHRASE)

    assert ask(b"x" * 4096) == "x" * 4096
    with pytest.raises(InputError, match=r"longer than 4,096 bytes") as caught:
        ask(b"x" * 4097)
    assert "xx" not in f"{caught.value} {caught.value.hint}"


def _taken(typed: str | bytes) -> str:
    return typed if isinstance(typed, str) else typed.decode()
