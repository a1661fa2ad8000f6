"""The program: every command by name, and the one place where errors become exit codes."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from coffret.cli import INTERRUPTED
from coffret.cli.asking import PASSPHRASE, SECRET_KEY
from coffret.cli.commands import (
    auditing,
    conversing,
    developing,
    entering,
    granting,
    keeping,
    keys,
    leaving,
    listing,
    locking,
    looking,
    moving,
    remembering,
    retiring,
    reviewing,
    searching,
    serving,
    sessions,
    settling,
    sharing,
    under_grant,
    undoing,
    unkept,
    versions,
)
from coffret.cli.desk import Desk, desk_of
from coffret.cli.ending import ended_in_order
from coffret.cli.places import DEFAULT
from coffret.cli.writing import UNTAKEN
from coffret_vault.errors import CoffretError, StoreError

if TYPE_CHECKING:
    from coffret.flows.state import Ambient

_USAGE = 2
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))
_FIRST = frozenset(("--home", "--vault", "--passphrase-file", "--secret-key-file"))
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer exports it by no name


def commands() -> dict[str, dict[str, Callable[..., None]]]:
    """Every command by its panel in the help and its name."""
    return {
        "Begin": {
            "init": entering.init,
            "login": entering.login,
            "recover": entering.recover,
            "confirm": entering.confirm,
            "unlock": locking.unlock,
            "lock": locking.lock,
            "logout": sessions.logout,
            "status": locking.status,
            "passphrase": keeping.passphrase,
            "change-keys": keeping.change_keys,
            "settings": settling.settings,
            "delete-account": leaving.delete_account,
        },
        "Memories": {
            "remember": remembering.remember,
            "remember-messages": conversing.remember_messages,
            "search": searching.search,
            "list": listing.list_memories,
            "show": listing.show,
            "edit": remembering.edit,
            "forget": remembering.forget,
            "history": versions.history,
            "tags": listing.tags,
            "import": moving.import_,
            "imports": undoing.imports,
            "undo-import": undoing.undo_import,
            "export": moving.export,
            "sync": moving.sync,
            "unkept": unkept.unkept,
        },
        "Apps that ask": {
            "requests": sharing.requests,
            "approve": sharing.approve,
            "deny": sharing.deny,
            "grants": granting.grants,
            "pause": granting.pause,
            "resume": granting.resume,
            "narrow": granting.narrow,
            "revoke": granting.revoke,
            "rotate": granting.rotate,
            "pending": reviewing.pending,
            "accept": reviewing.accept,
            "reject": reviewing.reject,
        },
        "The system": {
            "server-view": looking.server_view,
            "doctor": looking.doctor,
            "verify-evidence": looking.verify_evidence,
            "audit-log": auditing.audit_log,
            "verify-audit": auditing.verify_audit,
            "serve": serving.serve,
        },
    }


def app_commands() -> dict[str, Callable[..., None]]:
    """Every command of ``coffret app`` by its name."""
    return {
        "register-developer": developing.register_developer,
        "register": developing.register,
        "info": developing.info,
        "words": developing.words,
        "manifest": developing.manifest,
        "request": developing.request,
        "requests": developing.requests,
        "status": developing.status,
        "wait": developing.wait,
        "cancel": developing.cancel,
        "forget-log": developing.forget_log,
        "delete": retiring.delete_app,
        "delete-developer": retiring.delete_developer,
        "list": under_grant.list_granted,
        "show": under_grant.show_granted,
        "search": under_grant.search_granted,
        "remember": under_grant.remember_granted,
        "remember-messages": conversing.propose_messages,
        "update": under_grant.update_granted,
        "forget": under_grant.forget_granted,
        "receipt": under_grant.receipt,
    }


def build() -> typer.Typer:
    """The program as typer has it."""
    program = typer.Typer(
        name="coffret",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(root)
    for panel, group in commands().items():
        for name, command in group.items():
            program.command(name, rich_help_panel=panel)(command)
    apps = typer.Typer(no_args_is_help=True, help="For developers: an app that asks for access.")
    for name, command in app_commands().items():
        apps.command(name)(command)
    api_keys = typer.Typer(no_args_is_help=True, help="The app's API keys.")
    api_keys.command("list")(keys.list_keys)
    api_keys.command("new")(keys.new)
    api_keys.command("revoke")(keys.revoke)
    apps.add_typer(api_keys, name="keys")
    program.add_typer(apps, name="app", rich_help_panel="For developers")
    devices = typer.Typer(help="The devices that are logged in: list them, or end one.")
    devices.callback(invoke_without_command=True)(sessions.list_sessions)
    devices.command("end")(sessions.end)
    program.add_typer(devices, name="sessions", rich_help_panel="Begin")
    return program


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads files: only for this

        sys.stdout.write(f"coffret {version('coffret')}\n")
        raise typer.Exit


def root(
    context: typer.Context,
    *,
    home: Annotated[
        str | None,
        typer.Option(envvar="COFFRET_HOME", help="Keep everything below this folder."),
    ] = None,
    vault: Annotated[
        str, typer.Option(envvar="COFFRET_VAULT", help="Which of the vaults on this device.")
    ] = DEFAULT,
    passphrase_file: Annotated[
        str | None,
        typer.Option(help="Take the passphrase from a file's first line, not by asking."),
    ] = None,
    secret_key_file: Annotated[
        str | None, typer.Option(help="The same for the Secret Key.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print it."),
    ] = False,
) -> None:
    """Coffret: a memory vault that its server cannot read."""
    del version
    desk = desk_of(context)
    context.obj = desk
    desk.settle(home, vault)
    desk.asker.use_file(PASSPHRASE, passphrase_file)
    desk.asker.use_file(SECRET_KEY, secret_key_file)


def run(arguments: Sequence[str] | None = None, *, ambient: "Ambient | None" = None) -> int:
    """Run the command and give its exit code. What is not an error of ours is raised."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _never_fail_to_print()
    desk = Desk(ambient, os.environ)
    desk.out.as_json = (
        "--json" in words[: words.index("--")] if "--" in words else "--json" in words
    )
    try:
        with ended_in_order(), desk:
            code = _invoke(words, desk)
            sys.stdout.flush()  # here, where what stands in its way has a sentence
            return code
    except CoffretError as error:
        desk.out.error(error)
        return error.exit_code
    except BrokenPipeError:  # who reads has enough
        _drop_output()
        return 1
    except OSError as error:
        if error.errno not in _NO_ROOM or error.filename is not None:
            raise
        _drop_output()
        full = StoreError(UNTAKEN)
        desk.out.error(full)
        return full.exit_code


def _drop_output() -> None:
    """Throw away what is still to be written, or it would fail again when the process ends."""
    with suppress(OSError, ValueError):  # it may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(words: list[str], desk: Desk) -> int:
    command: Any = get_command(build())
    try:
        code = command.main(args=words, prog_name="coffret", standalone_mode=False, obj=desk)
    except typer.Abort:  # at a question
        code = INTERRUPTED
    except _UsageError as error:
        return _usage(error, desk)
    if code == INTERRUPTED:  # typer's own too, where it was at work
        desk.tell_stopped()
    return code if isinstance(code, int) else 0


def _usage(error: Any, desk: Desk) -> int:  # noqa: ANN401 - as _UsageError
    name = getattr(error, "option_name", None)
    if name in _FIRST and hasattr(error, "possibilities"):  # one that the command does not have
        command = error.ctx.command_path.removeprefix("coffret ")
        error.message = f"{name} stands before the command: coffret {name} … {command}"
        error.possibilities = None
    if desk.out.as_json:
        desk.out.failure("usage", error.format_message(), "Add --help.", _USAGE)
    else:
        error.show()
    return _USAGE


def _never_fail_to_print() -> None:
    """A terminal that cannot show a character is given its escape instead."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
