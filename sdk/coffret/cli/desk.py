"""What every command works at: the folders, the person, the vault, and where to write."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Self

import coffret
from coffret.cli.agent_client import Agent
from coffret.cli.agent_wire import Keys
from coffret.cli.asking import PASSPHRASE, SECRET_KEY, Asker
from coffret.cli.leftovers import remove_leftovers
from coffret.cli.naming import full_id
from coffret.cli.places import DEFAULT, Places, check_name, find_places
from coffret.cli.secret_key import find_secret_key
from coffret.cli.showing import changes
from coffret.cli.writing import Writer
from coffret_vault.errors import CoffretError, CredentialsError, KeysChangedError, NotFoundError
from coffret_vault.primitives.secret import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    import typer

    from coffret.access import Access
    from coffret.app import App
    from coffret.flows.state import Ambient
    from coffret.opening import HeldKeys
    from coffret.vault import Vault

_TRIES = 3
_UNKEPT = "A change that waited on this device was not kept. What it was: coffret unkept"
_ON_ITS_WAY = (
    "The change that it had begun waits on this device, unless the server has it, and is sent with "
    "the next command that reaches the server: coffret unkept shows it."
)


class Desk:
    """Made once a run; what it opened is closed when it is left."""

    def __init__(self, ambient: Ambient | None, environment: Mapping[str, str]) -> None:
        """Sit down; nothing is opened yet."""
        self.ambient = ambient
        self.environment = environment
        self.out = Writer()
        self.asker = Asker(self.out.note, environment)
        self._home = environment.get("COFFRET_HOME")
        self.name = DEFAULT
        self._open = ExitStack()
        self._begun: tuple[Vault, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def settle(self, home: str | None, name: str) -> None:
        """Take the folders and the vault that were named."""
        self._home = home or self._home
        self.name = check_name(name)

    @cached_property
    def places(self) -> Places:
        """The folders, once they were named.

        Raises:
            InputError: the home is in nobody's home.
        """
        return find_places(self._home, self.environment)

    @property
    def folder(self) -> Path:
        """The folder of the vault."""
        return self.places.vault(self.name)

    @property
    def agent(self) -> Agent:
        """The agent of the vault, running or not."""
        return Agent(self.places.socket(self.name))

    def keep(self, vault: Vault) -> Vault:
        """Close this vault at the end."""
        return self._open.enter_context(vault)

    def has_vault(self) -> bool:
        """Whether there is a vault of that name on this device."""
        from coffret.opening import STORE_FILE  # noqa: PLC0415 - loads ciphers, which vaults need

        return (self.folder / STORE_FILE).exists()

    def locked(self) -> Vault:
        """The vault on this device, locked; what a command that was killed left is removed first.

        Raises:
            NotFoundError: there is none.
        """
        remove_leftovers(self.places.runtime)
        try:
            vault = self.keep(coffret.Vault.open(self.folder, ambient=self.ambient))
        except NotFoundError:
            message = f"there is no vault named {self.name} on this device"
            raise NotFoundError(message, hint="Run coffret init, or coffret login.") from None
        self._open.callback(self._tell_unkept, vault, vault.count_unkept())
        self.begins_here(vault)
        return vault

    def begins_here(self, vault: Vault) -> None:
        """Take what waits to be sent by now for no work of this command."""
        with suppress(CoffretError):  # of a damaged store: what reads it says so
            self._begun = vault, vault.status().unsent

    def _tell_unkept(self, vault: Vault, before: int) -> None:
        """Say at the end that a change of an earlier command was given up in this one."""
        with suppress(CoffretError):
            if vault.count_unkept() > before and (vault.is_locked or _are_told(vault)):
                self.out.note(_UNKEPT)

    def tell_stopped(self) -> None:
        """Say that the command was stopped, and that what it had begun to send goes on."""
        self.out.note("Stopped.")
        if self.has_begun():
            self.out.note(_ON_ITS_WAY)

    def has_begun(self) -> bool:
        """Whether a change waits to be sent since this command began."""
        if self._begun is not None:
            vault, before = self._begun
            with suppress(CoffretError):  # its store may be closed, or what it was stopped by
                return vault.status().unsent > before
        return False

    def vault(self) -> Vault:
        """The vault, unlocked by its agent or by the person.

        Raises:
            CredentialsError: passphrase and Secret Key do not open it.
        """
        vault = self.locked()
        if not self.unlock_by_agent(vault):
            self.unlock(vault)
        return vault

    def tell_waiting(self, vault: Vault) -> None:
        """Say that changes wait for the server: not all that they do is among what is shown."""
        if waiting := vault.status().unsent:
            self.out.note(f"{changes(waiting)} not at the server yet: coffret unkept shows what.")

    def unlocked(self) -> Vault | None:
        """The vault, unlocked by its agent; None where it has none, and nobody is asked."""
        vault = self.locked()
        return vault if self.unlock_by_agent(vault) else None

    def synced(self) -> Vault:
        """The vault, unlocked and up to date with the server."""
        return self.sync(self.vault())

    def sync(self, vault: Vault) -> Vault:
        """Bring a vault that is unlocked up to date, and give it back."""
        with self.out.progress() as progress:
            vault.sync(progress)
        return vault

    def unlock(self, vault: Vault) -> None:
        """Unlock a vault with what the person knows and has, who may mistype it at a terminal."""
        for left in reversed(range(_TRIES if self.asker.asks(PASSPHRASE) else 1)):
            passphrase = self.asker.secret(PASSPHRASE)
            try:
                vault.unlock(passphrase, self.secret_key())
                break
            except CredentialsError as error:
                if not left or isinstance(error, KeysChangedError):
                    raise
                self.out.note("That does not open this vault. Once more:")
        self.log_out_at_end(vault)

    def log_out_at_end(self, vault: Vault) -> None:
        """End a session that nobody would use again, because no agent holds it."""
        self._open.callback(self._log_out, vault)

    def _log_out(self, vault: Vault) -> None:
        with suppress(CoffretError):
            vault.log_out()

    def let_go(self) -> tuple[bool, Vault | None]:
        """Lock the agent, whatever follows.

        Returns:
            Whether it was there; and, if it held a session, the vault in that session, to log out.
        """
        remove_leftovers(self.places.runtime)
        keys = self.agent.keys()
        if not self.agent.lock():
            return False, None
        if keys is None or not keys.session:
            return True, None
        try:
            vault = self.locked()
            vault.unlock_held(_held(keys))
        except CoffretError:  # of replaced keys, or a store that is damaged: locked all the same
            return True, None
        return True, vault

    def secret_key(self) -> str:
        """The Secret Key: kept on this device, or else the person's to give."""
        from coffret import opening  # noqa: PLC0415 - loads ciphers, which vaults need

        kept = find_secret_key(self.places, self.name)
        return self.asker.code(SECRET_KEY, opening.read_secret_key) if kept is None else kept

    def memory_id(self, vault: Vault, text: str) -> str:
        """The memory that a person means by the end of its id."""
        return full_id(text, vault.memory_ids(), "memory")

    def grant_id(self, vault: Vault, text: str) -> str:
        """The grant that a person means by the end of its id."""
        return full_id(text, (grant.grant_id for grant in vault.grants()), "grant")

    def app(self, name: str, file: Path | None) -> App:
        """An app that was registered here, by its name or its file."""
        path = file or self.places.app(check_name(name))
        app = coffret.App.load(path, keep_indexes=True, ambient=self.ambient)
        return self._open.enter_context(app)

    def access(self, app: App, request: str | None) -> Access:
        """What the owner granted for a request; the newest one when none is named.

        Raises:
            NotFoundError: this app has asked for nothing.
        """
        return app.access(request_of(app, request))

    def unlock_by_agent(self, vault: Vault) -> bool:
        """Unlock a vault with what its agent holds, if there is one; whether it is unlocked."""
        keys = self.agent.keys()
        if keys is None:
            return False
        try:
            vault.unlock_held(_held(keys))
        except CredentialsError:
            self.agent.lock()  # its keys were replaced by another device
            return False
        self._open.callback(self._keep_session, vault, keys.session)
        return True

    def _keep_session(self, vault: Vault, before: bytes) -> None:
        """Let the agent hold the session, so that the next command need not log in again.

        A vault that was locked meanwhile, because its session was ended, is locked there as well.
        """
        if vault.is_locked:
            self.agent.lock()
            return
        session = vault.held_keys().session.reveal()
        if session != before:
            self.agent.keep(session)


def _are_told(vault: Vault) -> bool:
    """Whether any is left once those are forgotten that stand in the vault by now."""
    vault.unkept()
    return vault.count_unkept() > 0


def request_of(app: App, request: str | None) -> str:
    """The request that a person means; an app's newest when none is named.

    Raises:
        NotFoundError: this app has asked for nothing.
    """
    asked = app.requests()
    if request is not None:
        return full_id(request, asked, "request")
    if not asked:
        message = "this app has asked nobody for access yet"
        raise NotFoundError(message, hint="Run coffret app request.")
    return asked[-1]


def _held(keys: Keys) -> HeldKeys:
    from coffret import opening  # noqa: PLC0415 - loads ciphers, which vaults need

    return opening.HeldKeys(*map(SecretBytes, (keys.account_key, keys.login_seed, keys.session)))


def wire_keys(vault: Vault) -> Keys:
    """An unlocked vault's keys, for its agent."""
    held = vault.held_keys()
    return Keys(held.account_key.reveal(), held.login_seed.reveal(), held.session.reveal())


def desk_of(context: typer.Context, *, as_json: bool = False) -> Desk:
    """The desk of this run, writing as the command was asked to."""
    desk = context.obj
    if not isinstance(desk, Desk):
        desk = Desk(None, os.environ)
    desk.out.as_json = desk.out.as_json or as_json
    return desk
