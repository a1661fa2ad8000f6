"""Delete the account at the server."""

from typing import TYPE_CHECKING

import typer

from coffret.cli.asking import PASSPHRASE
from coffret.cli.desk import Desk, desk_of
from coffret.cli.options import Json, Yes
from coffret.cli.secret_key import forget_secret_key
from coffret.cli.showing import memories as so_many
from coffret.cli.showing import one_line
from coffret_vault.errors import AccountDeletedError, InputError

if TYPE_CHECKING:
    from coffret.vault import Vault

_OVER = frozenset(("revoked", "ended"))
_LEFT = {
    True: "Nothing of it is left there, as the server says. ",
    False: "The server still erases what it kept, as it says. ",
    None: "",  # it was deleted before: it is not asked again
}
_FIRST = "If you have not yet: coffret export FILE takes everything out of this device first."


def delete_account(context: typer.Context, *, yes: Yes = False, json: Json = False) -> None:
    """Delete your account at the server, with all that it keeps of it, for good.

    What is on this device stays, sealed: your recovery kit opens it, coffret export reads it.
    """
    desk = desk_of(context, as_json=json)
    if not yes:
        desk.asker.check_person()
    vault = desk.locked()
    passphrase, code = desk.asker.secret(PASSPHRASE), desk.secret_key()
    vault.unlock(passphrase, code)  # by the person, never by the agent
    desk.log_out_at_end(vault)
    if not vault.status().deleted:
        _agree(desk, vault, yes=yes)
    erased = _delete(desk, vault, passphrase, code)
    forgotten = False
    try:
        desk.agent.lock()
    finally:  # where it cannot be ended, the account is deleted all the same
        try:
            forgotten = forget_secret_key(desk.places, desk.name)
        finally:
            _say_deleted(desk, vault, erased=erased, forgotten=forgotten)


def _agree(desk: Desk, vault: "Vault", *, yes: bool) -> None:
    """Show what will go, and have the person type whose it is."""
    status = vault.status()
    live = [one_line(item.app.name) for item in vault.grants() if item.state not in _OVER]
    desk.out.note(f"To be deleted at {status.origin}, for good: the account {status.username}")
    desk.out.note(f"  {so_many(status.memories)}, with every version, and the log of them")
    desk.out.note(f"  written by apps and waiting for you: {status.pending}")
    desk.out.note(f"  apps with access, which ends: {', '.join(sorted(live)) or 'none'}")
    desk.out.note("Others can take the username then. What apps have read stays with them.")
    desk.out.note(_FIRST)
    if not yes and desk.asker.text("Type your username to delete the account") != status.username:
        message = "nothing was deleted"
        raise InputError(message)


def _delete(desk: Desk, vault: "Vault", passphrase: str, code: str) -> bool | None:
    """Delete it, or find that it was; whether the server says that nothing is left, if asked."""
    try:
        return vault.delete_account(passphrase, code).erased
    except AccountDeletedError as error:
        if not error.signed:
            raise
        desk.out.note(str(error))  # the answer was lost, or another device did it: the rest is here
        return None


def _say_deleted(desk: Desk, vault: "Vault", *, erased: bool | None, forgotten: bool) -> None:
    left = _LEFT[erased]
    key = "The Secret Key was removed from this device: your kit has it. " if forgotten else ""
    desk.out.done(
        f"Deleted. {left}{key}What is on this device stays in {desk.folder} until you delete that"
        " folder.",
        {
            "deleted": vault.status().account_id,
            "username": vault.status().username,
            "erased": erased,
            "secret_key_removed": forgotten,
            "folder": str(desk.folder),
        },
    )
