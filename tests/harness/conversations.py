"""What people say to a server, from its beginning to its end, to be recorded and told again.

Each is given everybody (`harness.cast`) and gives a scenario (`harness.conversing`). What comes of
one is compared, so nothing is in it that is the server's word alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coffret import App, Vault, register_developer
from coffret_vault.errors import AccountDeletedError, CoffretError
from coffret_vault.log.judging import verify_evidence
from harness.cast import entering
from harness.conversing import ANOTHER, Device, Scenario
from harness.stage import view
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.cast import People
    from harness.conversing import Act


def _at_home(people: People, what: Callable[[Vault], Any]) -> Act:
    def act(device: Device) -> Any:
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, people.owner.secret_key)
            return what(vault), _settled(view(vault))

    return act


def _settled(shown: list[Any]) -> list[Any]:
    """A view without the head: what a device writes is sealed with randomness drawn in turn."""
    fingerprint, entries, _head, *counts = shown.pop()
    return [*shown, fingerprint, entries, *counts]


def _as_app(what: Callable[[App], Any]) -> Act:
    def act(device: Device) -> Any:
        with App.load(device.folder / "app.json", **device.around()) as app:
            return what(app)

    return act


def _sync(people: People) -> Scenario:
    # How many records came is what the report says beside, and no more than a count.
    return Scenario(
        people.world,
        people.device,
        _at_home(people, lambda vault: vault.sync().entries),
        owner=people.owner,
    )


def _login(people: People) -> Scenario:
    return Scenario(people.world, people.nothing, entering(people.world, people.owner))


def _approve(people: People) -> Scenario:
    def approve(vault: Vault) -> Any:
        shown = vault.requests()
        return shown, vault.approve(people.waiting, words=people.stranger.words)

    return Scenario(people.world, people.device, _at_home(people, approve), owner=people.owner)


def _write(people: People) -> Scenario:
    def write(vault: Vault) -> Any:
        made = vault.remember("new", tags=["t"])
        vault.update(people.memory, content="changed again")
        vault.forget(made.id)
        return made, vault.history(people.memory)

    return Scenario(people.world, people.device, _at_home(people, write), owner=people.owner)


def _review(people: People) -> Scenario:
    def review(vault: Vault) -> Any:
        vault.sync()
        waiting = vault.pending()
        return waiting, [vault.accept(item.memory_id, item.version) for item in waiting]

    return Scenario(people.world, people.device, _at_home(people, review), owner=people.owner)


def _revoke(people: People) -> Scenario:
    def revoke(vault: Vault) -> Any:
        vault.revoke(people.grant)
        return vault.rotate()

    return Scenario(people.world, people.device, _at_home(people, revoke), owner=people.owner)


def _settle(people: People) -> Scenario:
    def settle(vault: Vault) -> Any:
        return vault.set_settings(sealed=False), vault.seal_existing()

    return Scenario(people.world, people.device, _at_home(people, settle), owner=people.owner)


def _take_up(people: People) -> Scenario:
    def take_up(app: App) -> Any:
        return app.access(people.request).memories()

    return Scenario(people.world, people.asked, _as_app(take_up))


def _app_writes(people: People) -> Scenario:
    def write(app: App) -> Any:
        access = app.access(people.request)
        read = access.memories()
        made = access.remember("by the app again", tags=["t"])
        return read, made, access.update(people.memory, content="proposed again")

    return Scenario(people.world, people.granted, _as_app(write))


def _app_asks(people: People) -> Scenario:
    def asks(app: App) -> Any:
        request = ask(app, people.owner, scopes=["read"], tags=["t"])
        return request, app.requests(), app._state.asked(request).parse()

    return Scenario(people.world, people.asked, _as_app(asks))


def _change_passphrase(people: People) -> Scenario:
    def change(device: Device) -> Any:
        secret_key = people.other.secret_key
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, secret_key)
            vault.change_passphrase(PASSPHRASE, ANOTHER, secret_key)
            vault.lock()
            vault.unlock(ANOTHER, secret_key)
            return _settled(view(vault))

    return Scenario(people.world, people.third, change, owner=people.other)


def _recover(people: People) -> Scenario:
    lost = people.lost

    def recover(device: Device) -> Any:
        code, place = lost.kit.recovery_code_text(), device.folder / "new"
        login = (people.world.url, lost.username, code, ANOTHER, place)
        vault, secret_key = Vault.recover(*login, **device.around())
        with vault:
            return secret_key, _settled(view(vault))

    return Scenario(people.world, people.nothing, recover)


def _change_keys(people: People) -> Scenario:
    def change(device: Device) -> Any:
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, people.changed.secret_key)
            kits: list[str] = []
            vault.change_keys(ANOTHER, lambda kit: kits.append(kit.secret_key_code()))
            people.kits[:] = people.kits or kits
            return kits, vault.words, _settled(view(vault))

    return Scenario(people.world, people.first, change, owner=people.changed, kits=people.kits)


def _follow(people: People) -> Scenario:
    def follow(device: Device) -> Any:
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, people.changed.secret_key)
            vault.log_in_again(ANOTHER, people.kits[0])
            return vault.words, _settled(view(vault))

    return Scenario(people.world, people.second, follow, owner=people.changed, kits=people.kits)


def _receipt(people: People) -> Scenario:
    def receive(app: App) -> Any:
        access = app.access(people.request)
        return access.receipt(), access.memories(), access.receipt()

    return Scenario(people.world, people.granted, _as_app(receive))


def _sessions(people: People) -> Scenario:
    def look(device: Device) -> Any:
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, people.leaving.secret_key)
            shown = vault.sessions()
            # Who is logged in is the server's word; what a device calls itself is not.
            strange = {session.name for session in shown} - {"", device.ambient.device()}
            vault.end_session(min(session.session_id for session in shown if not session.current))
            vault.usage()
            vault.log_out()
            return strange, vault.is_locked

    return Scenario(people.world, people.stays, look, owner=people.leaving)


def _app_registers(people: People) -> Scenario:
    def registers(device: Device) -> Any:
        around, url = device.around(), people.world.url
        key = register_developer(url, "Dev", "dev@example.org", transport=device.network)
        where = "https://third.example", device.folder / "third.json"
        with App.register(url, key, "Third", *where, **around) as app:
            request = ask(app, people.owner, tags=["t"])
            app.status(request)  # how it stands, and the grant before it is in force, is said
            app.grant_status(request)  # by the server alone
            app.cancel(request)
            return app.info, request, app._state.asked(request).parse()

    return Scenario(people.world, people.nothing, registers)


def _fork(people: People) -> Scenario:
    def diverge(device: Device) -> Any:
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, people.forked.secret_key)
            try:
                vault.sync()
            except CoffretError:
                # Whatever is kept as evidence holds for anybody; less of it is no evidence.
                found = [verify_evidence(path.read_bytes()).verdict for path in vault.evidence()]
                if not all(verdict.proven for verdict in found) or not found:
                    raise
                return [verdict.kind for verdict in found], _settled(view(vault))
            return None

    return Scenario(
        people.world, people.behind, diverge, owner=people.forked, server=people.forking
    )


def _delete(people: People) -> Scenario:
    def delete(device: Device) -> Any:
        secret_key = people.leaving.secret_key
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, secret_key)
            # Whether anything is left there is the server's word.
            gone = vault.delete_account(PASSPHRASE, secret_key).account_id
            return gone, _settled(view(vault))

    return Scenario(people.world, people.leaves, delete, owner=people.leaving)


def _learn(people: People) -> Scenario:
    def learn(device: Device) -> Any:
        with Vault.open(device.folder, **device.around()) as vault:
            vault.unlock(PASSPHRASE, people.leaving.secret_key)
            try:
                vault.sync()
            except AccountDeletedError as error:
                if not error.signed:
                    raise
                return str(error), _settled(view(vault))
            return None

    return Scenario(people.world, people.stays, learn, owner=people.leaving)


CONVERSATIONS = {
    "a new device enters": _login,
    "a device syncs": _sync,
    "an owner approves": _approve,
    "an owner writes": _write,
    "an owner reviews": _review,
    "an owner settles": _settle,
    "an app takes up its grant": _take_up,
    "an app reads and writes": _app_writes,
    "an app gives a receipt": _receipt,
    "an owner revokes": _revoke,
    "an app asks": _app_asks,
    "an owner changes the passphrase": _change_passphrase,
    "an owner recovers": _recover,
    "an owner changes all keys": _change_keys,
    "a device follows": _follow,
    "an owner looks at the sessions": _sessions,
    "an app registers": _app_registers,
    "a device finds a fork": _fork,
    "an owner deletes the account": _delete,
    "a device learns of the deletion": _learn,
}
