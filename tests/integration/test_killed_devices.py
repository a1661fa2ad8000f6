"""A device that is killed at every step of what it does: nothing is lost, nothing half done."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Fields, NewMemory, Vault
from coffret_vault.errors import ConflictError
from harness.killed import Bench, benched, contents, sweep, the
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.killed import Summary
    from harness.world import World


@pytest.fixture
def bench(world: World) -> Iterator[Bench]:
    """Someone whose device is killed."""
    made = benched(world)
    yield made
    made.vault.close()


def _adds(bench: Bench, make: Callable[[str], Callable[[Vault], object]]) -> int:
    """Sweep over something that adds a memory."""
    names, texts = count(), [""]

    def prepare() -> Callable[[Vault], object]:
        texts[0] = f"{bench.kills} {next(names)}"
        return make(texts[0])

    return sweep(bench, prepare, lambda before: [contents(before, add=(texts[0],))])


def test_memories(bench: Bench) -> None:
    """Written, written in batches, changed, forgotten: each is there whole, or not, and once."""
    vault = bench.vault
    assert _adds(bench, lambda text: lambda vault: vault.remember(text)) > 8
    assert _adds(bench, lambda text: lambda vault: vault.remember(text, tags=["t"])) > 8

    def batches() -> Callable[[Vault], object]:
        many = [NewMemory(Fields(content=f"batch {bench.kills} {n}")) for n in range(3)]
        return lambda vault: vault.remember_many(many)

    def batched(before: Summary) -> list[Summary]:
        names = [f"batch {bench.kills} {n}" for n in range(3)]
        return [contents(before, add=tuple(names[:2])), contents(before, add=tuple(names))]

    with patch("coffret.flows.batches.BATCH", 2):
        assert sweep(bench, batches, batched) > 16

    def change() -> Callable[[Vault], object]:
        texts = f"kept {bench.kills}"
        found = next(m for m in bench.vault.list() if "t" in m.tags)
        olds[0], news[0] = found.content, texts
        return lambda vault: vault.update(found.id, content=texts)

    olds, news = [""], [""]
    assert sweep(bench, change, lambda b: [contents(b, add=(news[0],), drop=(olds[0],))]) > 8

    def forget() -> Callable[[Vault], object]:
        text = f"to go {bench.kills}"
        news[0] = bench.vault.remember(text).content
        return lambda vault: vault.forget(the(vault, text))

    assert sweep(bench, forget, lambda b: [contents(b, drop=(news[0],))]) > 8
    assert vault is not bench.vault


def test_what_others_wrote(bench: Bench) -> None:
    """A sync that is killed has taken whole pages, or nothing; the next one brings the rest."""
    texts = [""]

    def elsewhere() -> Callable[[Vault], object]:
        texts[0] = f"elsewhere {bench.kills}"
        bench.other.sync()
        bench.other.remember(texts[0])
        bench.access.remember(f"proposed {bench.kills}", tags=["t"])
        return lambda vault: vault.sync()

    def synced(before: Summary) -> list[Summary]:
        found = contents(before, add=(texts[0],))
        return [(found[0], found[1] + 1, found[2])]

    assert sweep(bench, elsewhere, synced) > 4


def test_decisions(bench: Bench) -> None:
    """What an app proposed is accepted or turned down, wholly or not at all."""
    news = [""]

    def proposed() -> None:
        news[0] = f"proposed {bench.kills}"
        bench.access.remember(news[0], tags=["t"])
        bench.vault.sync()

    def waiting() -> str:
        return next(i.memory_id for i in bench.vault.pending() if i.proposed)

    def accept() -> Callable[[Vault], object]:
        proposed()
        memory_id = bench.vault.pending()[-1].memory_id
        return lambda vault: vault.accept(memory_id)

    def accepted(before: Summary) -> list[Summary]:
        found = contents(before, add=(news[0],))
        return [(found[0], found[1] - 1, found[2])]

    def reject() -> Callable[[Vault], object]:
        proposed()
        memory_id = waiting()
        return lambda vault: vault.reject(memory_id)

    assert sweep(bench, accept, accepted) > 8
    assert sweep(bench, reject, lambda before: [(before[0], before[1] - 1, before[2])]) > 8


def test_grants(bench: Bench) -> None:
    """Approved, paused, narrowed, ended, and what they knew written anew: one step at a time."""
    requests = [""]

    def asked(**terms: object) -> str:
        request_id = ask(bench.app, bench.owner, tags=["t"], **terms)
        bench.vault.requests()
        return request_id

    def approve() -> Callable[[Vault], object]:
        requests[0] = asked()
        return lambda vault: vault.approve(requests[0], words=bench.app.words)

    def finish() -> None:
        bench.vault.requests()
        with suppress(ConflictError):  # it was whole already
            bench.vault.approve(requests[0], words=bench.app.words)
        found = bench.app.access(requests[0]).memories()
        assert {memory.content for memory in found} == {"kept"}
        bench.vault.revoke(bench.vault.grants()[-1].grant_id)

    def approved(before: Summary) -> list[Summary]:
        return [
            (*before[:2], tuple(sorted([*before[2], name]))) for name in ("activating", "active")
        ]

    assert sweep(bench, approve, approved, finish) > 12


def granted(bench: Bench) -> str:
    """One more grant."""
    request_id = ask(bench.app, bench.owner, tags=["t"])
    bench.vault.requests()
    grant_id: str = bench.vault.approve(request_id, words=bench.app.words)
    return grant_id


def turned(before: Summary, target: str) -> list[Summary]:
    """One active grant is now in this state."""
    left = list(before[2])
    left.remove("active")
    return [(*before[:2], tuple(sorted([*left, target])))]


def test_a_pause(bench: Bench) -> None:
    """A grant is paused, or it is not."""
    grant_id = bench.vault.grants()[0].grant_id

    def resume() -> None:
        if bench.vault.grants()[0].state == "paused":
            bench.vault.resume(grant_id)

    def prepare() -> Callable[[Vault], object]:
        return lambda vault: vault.pause(grant_id)

    assert sweep(bench, prepare, lambda before: turned(before, "paused"), resume) > 8


def test_grants_that_end(bench: Bench) -> None:
    """Ended, and what it knew written anew: one step at a time."""

    def revoke() -> Callable[[Vault], object]:
        grant_id = granted(bench)
        return lambda vault: vault.revoke(grant_id)

    def finish() -> None:
        for grant in bench.vault.grants()[1:]:
            if grant.state == "active":
                bench.vault.revoke(grant.grant_id)

    def rotate() -> Callable[[Vault], object]:
        bench.vault.revoke(granted(bench))
        return lambda vault: vault.rotate()

    assert sweep(bench, revoke, lambda before: turned(before, "revoked"), finish) > 8
    assert sweep(bench, rotate, lambda _: []) >= 0
    assert bench.vault.rotate() == 0


def test_a_device_that_keeps_nothing_signs_two_heads(bench: Bench) -> None:
    """Control: without what is kept before it is sent, kills make heads of one size."""
    with patch("coffret_vault.store.Store.claim", lambda *_: True):
        for left in range(6):
            bench.kill(left, lambda vault: vault.remember(f"lost {bench.kills}"))
        bench.vault.remember("another")
    assert bench.stops.forks()
