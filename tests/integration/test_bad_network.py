"""A proxy that cuts, repeats, delays and reorders: nothing is lost, nothing is there twice."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret_vault.errors import NetworkError
from harness.killed import Bench, benched, check_whole, contents, summary, the
from harness.proxy import Fault, Proxy
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret import Vault
    from harness.world import World

CUTS = (0, 1, 12, 60, 0.0001, 0.5, 0.99, -1)
"""Nothing; within the first line, the headers; right after them; in the body; before its end."""
FAULTS = [
    *[Fault(request=cut) for cut in CUTS],
    *[Fault(answer=cut) for cut in CUTS],
    Fault(twice=True),
    Fault(late=True),
    Fault(delay=0.05),
    Fault(twice=True, late=True, answer=0.5),
]


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(world.url) as made:
        yield made


@pytest.fixture
def bench(world: World, proxy: Proxy) -> Bench:
    """Someone whose first device is behind it."""
    made = benched(world)
    made.stops.inner.close()
    made.stops.inner = proxy.transport()
    return made


def write(vault: Vault, kind: int) -> None:
    """A new memory, its next version, or its end."""
    if kind == 0:
        vault.remember("text 0")
    elif kind == 1:
        vault.update(the(vault, "text 0"), content="text 1")
    else:
        vault.forget(the(vault, "text 0"))


@pytest.mark.parametrize("tries", [1, 4])
def test_writing_through_a_bad_proxy(bench: Bench, proxy: Proxy, tries: int) -> None:
    """Whatever befalls which exchange, a write is there once or not at all; the sync repairs."""
    failed = 0
    with patch("coffret.transport._TRIES", tries), patch("coffret.transport._FIRST_BACKOFF", 0.001):
        for fault in FAULTS:
            for clean in range(2):
                failed += attempted(bench, proxy, [*[Fault()] * clean, fault])
    assert failed > 10 if tries == 1 else failed == 0
    assert proxy.exchanges > 100


def attempted(bench: Bench, proxy: Proxy, faults: list[Fault]) -> int:
    """Write, change and forget with these faults; how many of the three failed."""
    failed = 0
    for kind in range(3):
        before = summary(bench.vault)
        add, drop = ((("text 0",), ()), (("text 1",), ("text 0",)), ((), ("text 0",)))[kind]
        after = contents(before, add=add, drop=drop)
        allowed = [after]
        proxy.faults = list(faults)
        try:
            write(bench.vault, kind)
        except NetworkError:
            failed += 1
            allowed.append(before)
        proxy.faults.clear()
        assert check_whole(bench) in allowed
        catch_up(bench.vault, kind)
    return failed


def catch_up(vault: Vault, kind: int) -> None:
    """What did not come about, done now, so that the next step finds what it needs."""
    held = {memory.content for memory in vault.list()}
    if kind == 0 and "text 0" not in held:
        vault.remember("text 0")
    if kind == 1 and "text 1" in held:
        vault.update(the(vault, "text 1"), content="text 0")
    if kind == 2 and "text 0" in held:
        vault.forget(the(vault, "text 0"))


def test_approving_through_a_bad_proxy(bench: Bench, proxy: Proxy) -> None:
    """An approval that was disturbed anywhere ends, called again, with one grant that works."""
    disturbed = 0
    faults = [Fault(request=0.5), Fault(answer=0.5), Fault(twice=True), Fault(late=True)]
    with patch("coffret.transport._TRIES", 1):
        for fault in faults:
            for clean in range(5):
                request_id = ask(bench.app, bench.owner, tags=["t"])
                bench.vault.requests()
                proxy.faults = [*[Fault()] * clean, fault]
                grant_id = approved(bench, proxy, request_id)
                disturbed += grant_id is None
                grant_id = grant_id or finished(bench, request_id)
                found = bench.app.access(request_id).memories()
                assert [memory.content for memory in found] == ["kept"]
                bench.vault.revoke(grant_id)
                check_whole(bench)
    assert disturbed > 4


def approved(bench: Bench, proxy: Proxy, request_id: str) -> str | None:
    """The grant's id, or None if the network failed."""
    with suppress(NetworkError):
        grant_id: str = bench.vault.approve(request_id, words=bench.app.words)
        proxy.faults.clear()
        return grant_id
    proxy.faults.clear()
    return None


def finished(bench: Bench, request_id: str) -> str:
    """The same approval, called again."""
    grant_id: str = bench.vault.approve(request_id, words=bench.app.words)
    return grant_id
