"""The program as a whole: exit codes, errors, help, and what starting it loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli_harness import SCRIPT, Cli
from coffret.cli import desk as desk_module
from coffret.cli import main
from coffret.cli.program import app_commands, commands
from coffret_vault import errors

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_error(
    kind: type[errors.CoffretError] = errors.CoffretError,
) -> Iterator[type[errors.CoffretError]]:
    """Every class of the tree of errors."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from every_error(below)


def every_command() -> list[list[str]]:
    """The words of every command."""
    owners = [[name] for group in commands().values() for name in group]
    return owners + [["app", name] for name in app_commands()]


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_each_error_has_its_sentence_and_exit_code(
    kind: type[errors.CoffretError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line for people, one object for programs, and the code that the class carries."""

    def fail(_desk: object) -> None:
        raise kind(hint="do something")

    monkeypatch.setattr(desk_module.Desk, "locked", fail)
    cli = Cli(tmp_path / "home")
    ran = cli("list", code=kind.exit_code)
    assert ran.out == ""
    assert ran.err == f"coffret: {kind.sentence()} Do something.\n"
    told = cli("list", "--json", code=kind.exit_code)
    assert told.error() == {
        "code": kind.code,
        "message": kind.sentence(),
        "hint": "do something",
        "exit_code": kind.exit_code,
    }


def test_what_is_not_an_error_of_ours_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is shown as one."""

    def fail(_desk: object) -> None:
        message = "a bug"
        raise RuntimeError(message)

    monkeypatch.setattr(desk_module.Desk, "locked", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        Cli(tmp_path / "home")("list")


@pytest.mark.parametrize("words", [["--no-such"], ["nonsense"], ["show"], ["list", "-n", "0"]])
def test_wrong_usage_is_exit_code_2(words: list[str], tmp_path: Path) -> None:
    """For people as a usage line, for programs as an object."""
    cli = Cli(tmp_path / "home")
    assert "Usage: coffret" in cli(*words, code=2).err
    assert cli(*words, "--json", code=2).error()["code"] == "usage"


@pytest.mark.parametrize("option", ["--home", "--vault", "--passphrase-file", "--secret-key-file"])
@pytest.mark.parametrize("words", ["list", "app list"])
def test_what_holds_for_all_commands_is_said_before_them(
    tmp_path: Path, option: str, words: str
) -> None:
    """Behind one it is refused, and told where it goes; there it is taken."""
    cli = Cli(tmp_path / "home")
    said = f"{option} stands before the command: coffret {option} … {words}"
    assert said in cli(*words.split(), option, "x", code=2).err
    assert cli(*words.split(), option, "x", "--json", code=2).error()["message"] == said
    assert cli(option, "x", *words.split(), "-h").code == 0


@pytest.mark.parametrize("words", every_command(), ids="-".join)
def test_every_command_has_help(words: list[str], tmp_path: Path) -> None:
    """And offers --json, but for the one that prints what the server prints."""
    shown = Cli(tmp_path / "home")(*words, "--help", COLUMNS="200").out
    assert "Usage: coffret" in shown
    assert ("--json" in shown) == (words != ["serve"])


@pytest.mark.parametrize("words", every_command(), ids="-".join)
def test_no_command_takes_a_secret_as_a_word(words: list[str], tmp_path: Path) -> None:
    """Options that have to do with secrets name files or places."""
    shown = Cli(tmp_path / "home")(*words, "--help", COLUMNS="200").out
    for option in ("--passphrase ", "--secret-key ", "--recovery-code ", "--api-key ", "--token "):
        assert option not in shown


def test_version_and_completion(tmp_path: Path) -> None:
    """Both work without a vault."""
    cli = Cli(tmp_path / "home")
    assert cli("--version").out.startswith("coffret ")
    ran = cli.process(COMP_WORDS="coffret re", COMP_CWORD="1", _COFFRET_COMPLETE="complete_bash")
    assert {"remember", "recover", "requests", "reject"} <= set(ran.out.split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full")
@pytest.mark.parametrize("words", ["--version", "--help"])
def test_output_that_is_full_has_a_sentence(tmp_path: Path, words: str) -> None:
    """Where a full disk takes no output, that is said in one line, with an exit code of its own."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", SCRIPT, words],
            env=Cli(tmp_path / "home").environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == errors.StoreError.exit_code
    (line,) = done.stderr.splitlines()
    assert line == "coffret: Standard output does not take what is to be shown."


@pytest.mark.parametrize("words", [["--help"], ["status"], ["list"]])
def test_starting_loads_no_numbers_and_no_model(words: list[str], tmp_path: Path) -> None:
    """What only a search needs is loaded by a search."""
    script = (
        "import sys\n"
        "from coffret.cli.program import run\n"
        "import coffret.vault\n"
        f"run({words!r})\n"
        "heavy = {'numpy', 'onnxruntime', 'hnswlib', 'keyring', 'fastapi'} & sys.modules.keys()\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script],
        env=Cli(tmp_path / "home").environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "loaded" in done.stderr) == (0, False), done.stderr


def test_an_interrupt_at_any_time_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the program is loaded, too, and after its work was done: no traceback."""

    def interrupted(*_args: object, **_named: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("coffret.cli.program.run", interrupted)
    monkeypatch.setattr("coffret.cli.hide_memory", lambda: None)  # this process is not to be hidden
    with pytest.raises(SystemExit) as ended:
        main(["status"])
    assert ended.value.code == 130
