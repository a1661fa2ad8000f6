"""Change the passphrase, or every key."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coffret.cli.asking import NEW_PASSPHRASE, PASSPHRASE
from coffret.cli.commands.entering import KitFile
from coffret.cli.desk import Desk, desk_of
from coffret.cli.handing import deliver_kit, keep_key
from coffret.cli.options import Json, Yes
from coffret.cli.private import check_new
from coffret.cli.secret_key import load_profile
from coffret.cli.showing import memories as so_many
from coffret_vault.errors import InputError

if TYPE_CHECKING:
    from coffret.cli.secret_key import Kept
    from coffret.flows.keychange import KeyChange
    from coffret.kit import RecoveryKit
    from coffret.vault import Vault

_WHAT_HAPPENS = (
    "Every key is made anew: account key, Secret Key, recovery code, and the keys that you sign "
    "with. Your old recovery kit opens nothing any more, and your other devices have to log in "
    "again. {apps} What somebody has read or copied already cannot be unread."
)
_NOTHING = "nothing was changed; destroy that kit"


def passphrase(context: typer.Context, *, json: Json = False) -> None:
    """Change the passphrase. If someone may know it, change-keys does more."""
    desk = desk_of(context, as_json=json)
    vault = desk.locked()
    current, code = desk.asker.secret(PASSPHRASE), desk.secret_key()
    vault.unlock(current, code)
    vault.change_passphrase(current, desk.asker.new_passphrase(NEW_PASSPHRASE), code)
    text = "Changed. Your other devices ask for the new passphrase when they next log in."
    try:
        desk.agent.lock()
    finally:  # where it cannot be ended, the passphrase has changed all the same
        desk.out.done(text, {"changed": "passphrase"})


def change_keys(
    context: typer.Context,
    *,
    kit: KitFile = None,
    rotate_now: Annotated[
        bool,
        typer.Option(
            "--rotate-now/--rotate-later",
            help="Give each memory a fresh key now, or as it is next written.",
        ),
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make every key anew, because someone may know your passphrase, keys or kit."""
    desk = desk_of(context, as_json=json)
    _check_kit(desk, kit)
    vault = desk.locked()
    desk.unlock(vault)  # by the person, never by the agent
    with desk.out.progress() as progress:
        vault.sync(progress)
    _agree(desk, vault, yes=yes)
    chosen = desk.asker.new_passphrase(NEW_PASSPHRASE)
    printed: list[RecoveryKit] = []

    def give(new: "RecoveryKit") -> None:
        # If it gets nowhere, this raises, and nothing is changed: it opens all there will be.
        deliver_kit(desk, new, kit)
        if not yes:
            _check_in_hands(desk)
        printed.append(new)

    with desk.out.progress() as progress:
        done = vault.change_keys(chosen, give, progress)
    try:
        desk.agent.lock()
    finally:
        _finish(desk, vault, done, printed[0], rotate_now=rotate_now)


def _check_in_hands(desk: Desk) -> None:
    """Go on if the person says that they have the new kit; else it is good for nothing.

    Raises:
        InputError: they do not.
    """
    try:
        sure = desk.asker.confirm("Is the new kit in your hands? Change the keys now?")
    except BaseException:  # Ctrl-C is an answer too, and so is a terminal that is closed
        with suppress(OSError):
            desk.out.note(f"{_NOTHING.capitalize()}.")
        raise
    if not sure:
        raise InputError(_NOTHING)


def _check_kit(desk: Desk, kit: Path | None) -> None:
    if kit is not None:
        check_new(kit)
    if kit is None and desk.out.as_json:
        message = "with --json, the new kit goes to a file, before the keys change"
        raise InputError(message, hint="Add --kit FILE.")


def _agree(desk: Desk, vault: "Vault", *, yes: bool) -> None:
    live = [grant.app.name for grant in vault.grants() if grant.state not in {"revoked", "ended"}]
    apps = "Every app's access ends; no app has any now."
    if live:
        apps = f"Every app's access ends: {', '.join(sorted(live))}."
    desk.out.note(_WHAT_HAPPENS.format(apps=apps))
    if not yes and not desk.asker.confirm("Go on?"):
        message = "nothing was changed"
        raise InputError(message)


def _finish(
    desk: Desk, vault: "Vault", done: "KeyChange", kit: "RecoveryKit", *, rotate_now: bool
) -> None:
    """Keep the new Secret Key where the old one was, and say what is left to do.

    The keys have changed: that is said before an error of what comes after it.
    """
    kept, rotated = None, None
    try:
        profile = load_profile(desk.places, desk.name)
        kept = keep_key(desk, vault, kit.secret_key_code(), profile.kept_in if profile else None)
        if rotate_now:
            with desk.out.progress() as progress:
                rotated = vault.rotate(progress=progress)
    finally:
        _say_changed(desk, vault, done, kept, rotated)


def _say_changed(
    desk: Desk, vault: "Vault", done: "KeyChange", kept: "Kept | None", rotated: int | None
) -> None:
    keys = _LATER if rotated is None else f" Fresh keys for {so_many(rotated)}."
    desk.out.done(
        f"Changed: every key is new, and {so_many(done.memory_keys)} wrapped under them.{keys} "
        "Run coffret login on your other devices, and destroy the old kit.",
        {
            "changed": "keys",
            "memory_keys": done.memory_keys,
            "grants_ended": list(done.grants),
            "rotated": rotated,
            "secret_key_store": kept,
            "fingerprint": vault.status().fingerprint,
        },
    )


_LATER = " Memories get fresh keys when they are next written; coffret rotate does it now."
