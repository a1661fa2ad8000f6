"""What was closed is of no use any more, and says so; to close it again is nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import StoreDamagedError, StoreError
from harness.network import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Access, App, Vault
    from harness.world import World

NOBODY = "0191f0c8-0000-7000-8000-000000000000"


def _refused(call: Callable[[], object]) -> None:
    with pytest.raises(StoreError, match="closed") as caught:
        call()
    assert not isinstance(caught.value, StoreDamagedError)


def _of_app(app: App, access: Access) -> dict[str, Callable[[], object]]:
    asking: dict[str, Any] = {"scopes": ["read"], "purpose": "p", "everything": True}
    return {
        "request": lambda: app.request_access("ana", duration=timedelta(days=1), **asking),
        "status": lambda: app.status(app.requests()[0]),
        "grant status": lambda: app.grant_status(app.requests()[0]),
        "cancel": lambda: app.cancel(app.requests()[0]),
        "access": lambda: app.access(app.requests()[0]),
        "wait": lambda: app.wait(app.requests()[0], timeout=0),
        "list": access.memories,
        "search": lambda: access.search("figs"),
        "receipt": access.receipt,
    }


def test_a_closed_app_asks_nothing_more(either: World) -> None:
    """Nor does what it was granted: no connection is opened that nobody would close."""
    app = either.app()
    _, access = either.granted(either.owner(), app, scopes={"read"})
    for _ in range(2):
        app.close()
        for call in _of_app(app, access).values():
            _refused(call)
    assert len(app.requests()) == 1
    assert app.words


def test_nothing_of_a_closed_app_reaches_the_network(world: World) -> None:
    """Its transport is not used again."""
    network = Recorder()
    app = world.app(transport=network)
    _, access = world.granted(world.owner(), app, scopes={"read"})
    app.close()
    sent = len(network.requests)
    _refused(access.memories)
    assert len(network.requests) == sent


def _of_vault(vault: Vault) -> dict[str, Callable[[], object]]:
    return {
        "sync": vault.sync,
        "remember": lambda: vault.remember("figs"),
        "list": vault.list,
        "waiting": vault.waiting,
        "status": vault.status,
        "search": lambda: vault.search("figs"),
        "index": vault.index,
        "requests": vault.requests,
        "deny": lambda: vault.deny(NOBODY),
        "sessions": vault.sessions,
        "usage": vault.usage,
        "server view": vault.server_view,
        "export": lambda: list(vault.export()),
    }


def test_a_closed_vault_says_that_it_is_closed(either: World) -> None:
    """And not that it is locked, or damaged: to unlock it would be of no use."""
    vault = either.owner().vault
    vault.remember("figs")
    for _ in range(2):
        vault.close()
        for call in _of_vault(vault).values():
            _refused(call)
