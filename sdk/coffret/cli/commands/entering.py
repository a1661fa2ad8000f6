"""Begin: make a vault, enter one on a new device, recover one."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

import coffret
from coffret.cli.asking import NEW_PASSPHRASE, PASSPHRASE, RECOVERY_CODE, SECRET_KEY
from coffret.cli.desk import Desk, desk_of
from coffret.cli.handing import Handing, keep_key
from coffret.cli.options import Json
from coffret.cli.private import check_new
from coffret.cli.secret_key import (
    Kept,
    check_secret_key,
    find_secret_key,
    load_profile,
)
from coffret.cli.showing import memories
from coffret.kit import read_kit
from coffret.origins import ANOTHER_ADDRESS, elsewhere, told_origins
from coffret_vault.errors import (
    CredentialsError,
    InputError,
    LockedError,
    TimedOutError,
)
from coffret_vault.formats.account import check_username

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret.flows.sync import SyncReport
    from coffret.vault import Vault

Server = Annotated[
    str | None, typer.Option("--server", "-s", help="The server's address; asked for if absent.")
]
Username = Annotated[str | None, typer.Option("--username", "-u", help="3 to 64 of a-z 0-9 . _ -")]
KeyStore = Annotated[
    Kept | None,
    typer.Option(
        "--secret-key-store",
        help="Where this device keeps the Secret Key: the system's keyring, a private file, or "
        "nowhere. The keyring, where there is one.",
    ),
]
KitFile = Annotated[
    Path | None,
    typer.Option("--kit", help="Write the recovery kit to this new file instead of printing it."),
]

_MOST = 1 << 20
"""Characters of a kit, of a receipt, or of what coffret status prints: far more than any has."""

_PLACES = {
    "keyring": "The Secret Key is in the system's keyring.",
    "file": "The Secret Key is in a file that only you can read; there is no keyring in use.",
    "none": "The Secret Key is not kept here; you are asked for it whenever you unlock.",
}


def init(
    context: typer.Context,
    *,
    server: Server = None,
    username: Username = None,
    secret_key_store: KeyStore = None,
    kit: KitFile = None,
    sealed: Annotated[
        bool,
        typer.Option(
            "--sealed/--plain",
            help="Keep title, importance and tags of every memory from the server too.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Make a new vault on a server and on this device."""
    desk = desk_of(context, as_json=json)
    if kit is not None:
        check_new(kit)
    check_secret_key(desk.places, desk.name, secret_key_store)
    url, owner = _where(desk, server, username)
    passphrase = desk.asker.new_passphrase()
    handing = Handing(desk, kit, secret_key_store)
    made, _ = coffret.Vault.create(
        url,
        owner,
        passphrase,
        desk.folder,
        sealed=sealed,
        hand_out=handing.give,
        ambient=desk.ambient,
    )
    vault = desk.keep(made)
    desk.log_out_at_end(vault)
    kept = handing.kept()
    if not desk.out.as_json:
        desk.out.line(f"The vault of {vault.status().username} is ready. {_PLACES[kept]}")


def login(
    context: typer.Context,
    *,
    server: Server = None,
    username: Username = None,
    secret_key_store: KeyStore = None,
    give_up: Annotated[
        bool,
        typer.Option(
            "--give-up", help="Let go of changes that only the passphrase of before would open."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Enter an existing vault on this device, or enter it again after its keys were changed."""
    from coffret import opening  # noqa: PLC0415 - loads ciphers: not to show help

    desk = desk_of(context, as_json=json)
    if desk.has_vault() and server is None and username is None:
        _log_in_again(desk, secret_key_store, give_up=give_up)
        return
    check_secret_key(desk.places, desk.name, secret_key_store)
    url, owner = _where(desk, server, username)
    passphrase = desk.asker.secret(PASSPHRASE)
    code = desk.asker.code(SECRET_KEY, opening.read_secret_key)
    vault = desk.keep(
        coffret.Vault.login(url, owner, passphrase, code, desk.folder, ambient=desk.ambient)
    )
    desk.log_out_at_end(vault)
    kept = keep_key(desk, vault, code.strip(), secret_key_store)
    _welcome(desk, vault, kept)


def _log_in_again(desk: Desk, wanted: Kept | None, *, give_up: bool) -> None:
    """Enter the vault of this device with what its owner has now; what is here stays.

    Where the agent has the keys of before, what is sealed with these is taken along.
    """
    from coffret import opening  # noqa: PLC0415 - loads ciphers: not to show help

    vault = desk.locked()
    desk.unlock_by_agent(vault)
    passphrase = desk.asker.secret(PASSPHRASE)
    kept = find_secret_key(desk.places, desk.name)
    profile = load_profile(desk.places, desk.name)
    code = kept or ""
    with desk.out.progress() as progress:
        enter = partial(vault.log_in_again, passphrase, progress=progress, give_up=give_up)
        if not kept or not _fits(enter, kept):
            code = desk.asker.code(SECRET_KEY, opening.read_secret_key)
            enter(code)
    where = wanted or (profile.kept_in if profile else None)
    try:
        desk.agent.lock()
    finally:
        _welcome(desk, vault, keep_key(desk, vault, code.strip(), where))


def _fits(enter: "Callable[[str], SyncReport]", code: str) -> bool:
    """Log in again with the Secret Key that is kept here, which may be that of before."""
    try:
        enter(code)
    except CredentialsError:
        return False
    return True


def recover(
    context: typer.Context,
    *,
    kit: Annotated[
        Path | None,
        typer.Option(
            "--kit",
            help="Take server, username and recovery code from this kit, and compare its log.",
        ),
    ] = None,
    server: Server = None,
    username: Username = None,
    secret_key_store: KeyStore = None,
    json: Json = False,
) -> None:
    """Enter a vault with its recovery code alone, and give it a new passphrase."""
    from coffret import opening  # noqa: PLC0415 - loads ciphers: not to show help

    desk = desk_of(context, as_json=json)
    text = "" if kit is None else _read(kit)
    printed = read_kit(text) if text else None
    if printed is not None:
        server, username = server or printed.origin, username or printed.username
    check_secret_key(desk.places, desk.name, secret_key_store)
    url, owner = _where(desk, server, username)
    read = opening.read_recovery_code
    code = printed.recovery_code if printed else desk.asker.code(RECOVERY_CODE, read)
    # Where both are named, the other is the one that may have leaked, or been forgotten.
    # Who is asked is asked for a new one: the old one may be what was forgotten.
    other = desk.asker.has_file(PASSPHRASE) and not desk.asker.has_file(NEW_PASSPHRASE)
    chosen = PASSPHRASE if other else NEW_PASSPHRASE
    passphrase = desk.asker.new_passphrase(chosen)
    found, secret_key = coffret.Vault.recover(
        url, owner, code, passphrase, desk.folder, kit=text, ambient=desk.ambient
    )
    vault = desk.keep(found)
    desk.log_out_at_end(vault)

    def tell() -> dict[str, object]:
        if not desk.out.as_json:
            desk.out.deliver(
                f"Your new Secret Key: {secret_key}\n"
                "Write it on your recovery kit: the old one opens nothing from now on."
            )
        return {"secret_key": secret_key}

    kept = _tell_and_keep(desk, vault, secret_key, secret_key_store, tell)
    if not desk.out.as_json:
        _welcome(desk, vault, kept)


def confirm(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Your recovery kit, another device's head, or an app's receipt; standard input "
            "when there is none."
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Compare this device with a head seen elsewhere: was it shown an old state?"""
    desk = desk_of(context, as_json=json)
    text = head_in(_read(None if str(file) == "-" else file))
    vault, size = _compared(desk, text)
    status = vault.status()
    text = f"Confirmed: this device has the {size} log entries that were signed then."
    if status.confirmed_entries < status.entries:
        text += (
            f" What came after them, up to entry {status.entries}, is as the server showed it: a "
            "newer kit, another device's head or an app's receipt can confirm that as well. Until "
            "then this device keeps titles and tags of what it writes sealed."
        )
    desk.out.done(text, {"confirmed": size, "entries": status.entries})


class _Status(msgspec.Struct):
    """What ``coffret status --json`` prints, as far as a head is looked for in it."""

    head: str


def head_in(text: str) -> str:
    """The head in what ``coffret status --json`` printed; any other text as it is."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return msgspec.json.decode(text, type=_Status).head
    except (msgspec.MsgspecError, RecursionError):  # it is whatever somebody was given
        return text


def _compared(desk: Desk, text: str) -> "tuple[Vault, int]":
    """The vault, and the size of the log that is confirmed; its keys are seldom needed for it."""
    vault = desk.locked()
    try:
        return vault, vault.confirm(text)
    except LockedError:
        vault = desk.vault()
        return vault, vault.confirm(text)


def _read(path: Path | None) -> str:
    """A kit or a head, from a file or from standard input; of a longer one no more is read."""
    source = "standard input" if path is None else "that file"
    try:
        if path is None:
            text = sys.stdin.read(_MOST + 1)
        else:
            with path.open(encoding="utf-8") as file:
                text = file.read(_MOST + 1)
    except (OSError, UnicodeDecodeError):
        message = f"{source} cannot be read"
        raise InputError(message) from None
    if len(text) > _MOST:
        message = f"{source} is too long to be a recovery kit, or a head"
        raise InputError(message)
    return text


def _where(desk: Desk, server: str | None, username: str | None) -> tuple[str, str]:
    url = server or desk.environment.get("COFFRET_SERVER") or desk.asker.text("Server")
    _check_known(url)
    return url, check_username(username or desk.asker.text("Username"))


def _check_known(url: str) -> None:
    """What the SDK looks at too, before anybody is asked for a secret.

    Raises:
        InputError: the server says that it is known by other addresses.
        NetworkError: there is none.
    """
    from coffret.transport import probe  # noqa: PLC0415 - loads httpx: only for this

    try:
        told = told_origins(probe(url).body)
    except TimedOutError:
        return  # a slow server; the call that follows has more patience
    if other := elsewhere(url, told):
        raise InputError(other, hint=ANOTHER_ADDRESS)


def _tell_and_keep(
    desk: Desk,
    vault: "Vault",
    code: str,
    wanted: Kept | None,
    tell: "Callable[[], dict[str, object]]",
) -> Kept:
    """Tell a person what is nowhere else, and keep their key, each whatever becomes of the other.

    As JSON both are one document, which is printed before an error of either is raised.
    """
    kept: Kept | None = None
    secret: dict[str, object] = {}
    about: dict[str, object] = {}
    try:
        try:
            secret = tell()
        finally:
            kept = keep_key(desk, vault, code, wanted)
        about = _entered(vault, kept)
    finally:
        if desk.out.as_json:
            desk.out.deliver("", {"secret_key_store": kept, **about, **secret})
    return kept


def _entered(vault: "Vault", kept: Kept) -> dict[str, object]:
    status = vault.status()
    return {
        "username": status.username,
        "account_id": status.account_id,
        "fingerprint": status.fingerprint,
        "memories": status.memories,
        "folder": str(vault.folder),
        "secret_key_store": kept,
    }


def _welcome(desk: Desk, vault: "Vault", kept: Kept) -> None:
    if desk.out.as_json:
        desk.out.data(_entered(vault, kept))
        return
    status = vault.status()
    desk.out.line(f"This device has {memories(status.memories)} of {status.username} now.")
    desk.out.line(_PLACES[kept])
    if not status.confirmed:
        desk.out.line(
            "A device that is new to a vault cannot tell whether the server shows it an old "
            "state. Compare it with your recovery kit, or with the head that coffret status "
            "--json gives on another device: coffret confirm FILE. Until then it keeps titles "
            "and tags of what it writes sealed, whatever your vault's settings seem to be."
        )
    desk.out.line(f"Fingerprint: {status.fingerprint}")
