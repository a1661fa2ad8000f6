"""Everybody whom recorded conversations are about, and the folders that these begin from."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from coffret import App, Vault
from coffret_vault.envelope.signature import sign_head
from coffret_vault.formats.checkpoint import Head
from coffret_vault.log.tree import inclusion_proof, leaf_hash, root_of
from harness.conversing import Scenario
from harness.memory import folder_in_memory
from harness.network import Evil, updating
from harness.stage import view
from harness.world import PASSPHRASE, World, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.conversing import Act, Device
    from harness.tape import Exchange
    from harness.world import Owner


class People(NamedTuple):
    """An owner with memories of every kind, two apps, and the folders that they begin from."""

    world: World
    owner: Owner
    other: Owner
    app: App
    stranger: App
    device: Path
    asked: Path
    granted: Path
    nothing: Path
    request: str
    waiting: str
    grant: str
    memory: str
    earlier: list[Exchange]
    lost: Owner
    changed: Owner
    first: Path
    second: Path
    third: Path
    kits: list[str]
    leaving: Owner
    leaves: Path
    stays: Path
    forked: Owner
    behind: Path
    forking: Evil


def entering(world: World, owner: Owner) -> Act:
    """A new device of an owner enters, and shows what there is."""

    def act(device: Device) -> Any:
        place = device.folder / "new"
        login = (world.url, owner.username, PASSPHRASE, owner.secret_key, place)
        with Vault.login(*login, **device.around()) as vault:
            return view(vault)

    return act


def _left(world: World, owner: Owner) -> Path:
    """The folder of one more device of an owner, which is closed."""
    device = world.device(owner)
    device.close()
    return device.folder


def _kept(app: App, folder: Path) -> Path:
    """A folder with the app's files as they are now."""
    folder.mkdir()
    shutil.copy(app._state.path, folder / "app.json")
    shutil.copy(app._state.owners.path, folder / "app.json.owners")
    return folder


def _forked(vault: Vault) -> Evil:
    """A server that went on from other entries than a device knows, and tells the truth of them.

    Their owner's key signed them: on a device that never saw the others.
    """
    known = vault._state.position().head
    assert known is not None
    ours = [leaf for _, leaf in vault._state.store.leaves()]
    other = [*ours[:-1], ours[0], ours[-1]]
    hashes = [leaf_hash(leaf) for leaf in other]
    head = Head(vault._state.account_id, len(other), root_of(hashes), known.digest, 5)
    note = sign_head(vault._state.keys.identity.signing, head)
    vault.remember("so that the real server has as many entries to answer about")
    evil = Evil()
    evil.rewrite["/sync"] = lambda _: [len(other), note, [[other[-1], None]]]
    evil.rewrite["/log"] = updating({"leaves": [other[len(ours)]]})
    evil.rewrite["/log/proof"] = updating({"proof": inclusion_proof(hashes, len(ours))})
    return evil


@contextmanager
def gathered(url: str) -> Iterator[People]:
    """Everything that the conversations are about, made once."""
    with (
        folder_in_memory() as folder,
        World(url, folder) as world,
        patch("coffret.transport._TRIES", 1),
    ):
        owner, other = world.owner(), world.owner()
        app, stranger = world.app(), world.app("Another")
        nothing = folder / "nothing"
        nothing.mkdir()
        other.vault.remember("another's", title="Another's", tags=["t"], importance=0.5)
        world.granted(other, app, tags=["t"])
        vault = owner.vault
        first = vault.remember("first", title="Title", tags=["t"], importance=0.5)
        vault.remember("second", title="Hidden", tags=["t"], sealed=True)
        request = ask(app, owner, tags=["t"])
        asked = _kept(app, folder / "asked")
        vault.requests(None)
        grant = vault.approve(request, words=app.words)
        access = app.access(request)
        access.memories()
        earlier = Scenario(world, nothing, entering(world, owner)).tape
        device = _left(world, owner)
        granted = _kept(app, folder / "granted")
        vault.update(first.id, content="first, changed")
        vault.forget(vault.remember("third").id)
        vault.set_settings(sealed=True)
        access.remember("by the app")
        vault.sync()
        access.update(first.id, content="proposed by the app")
        waiting = ask(stranger, owner, everything=True, scopes=["read"])
        lost, changed = world.owner(), world.owner()
        lost.vault.remember("lost and found", tags=["t"])
        changed.vault.remember("under the keys of before", tags=["t"])
        world.granted(changed, app, tags=["t"])
        leaving, forked = world.owner(), world.owner()
        leaving.vault.remember("stays on the device", tags=["t"])
        behind = _left(world, forked)
        forking = _forked(forked.vault)
        yield People(
            world=world,
            owner=owner,
            other=other,
            app=app,
            stranger=stranger,
            device=device,
            asked=asked,
            granted=granted,
            nothing=nothing,
            request=request,
            waiting=waiting,
            grant=grant,
            memory=first.id,
            earlier=earlier,
            lost=lost,
            changed=changed,
            first=_left(world, changed),
            second=_left(world, changed),
            third=_left(world, other),
            kits=[],
            leaving=leaving,
            leaves=_left(world, leaving),
            stays=_left(world, leaving),
            forked=forked,
            behind=behind,
            forking=forking,
        )
