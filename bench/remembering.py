"""Remember: one by one beside Chroma and mem0ai, in batches, and what sealing takes of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from bench.corpus import documents, memories
from bench.peers import NoPeersError, run_peer
from bench.rows import Row, at_least, at_most, bounded, told
from bench.servers import coffret_server
from coffret import Vault
from coffret.flows import append
from coffret.flows import batches as batch_flows
from coffret.testing import cheap
from coffret_vault.records import seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    from bench.rows import Plan
    from coffret import NewMemory

BATCH = 100
_SECONDS = 10.0
_FIVE = 5.0
_CRYPTOGRAPHY: tuple[tuple[ModuleType, str], ...] = (
    (seal, "seal"),
    (seal, "wrap_key"),
    (append, "signed_head"),
)


def _remember(vault: Vault, items: Sequence[NewMemory]) -> tuple[int, float, float]:
    """How many were remembered one by one, the seconds it took, and those of our processor time."""
    done, started, before = 0, time.perf_counter(), time.process_time()
    for number in bounded(len(items), _SECONDS):
        fields = items[number].fields
        vault.remember(
            fields.content,
            title=fields.title,
            tags=fields.tags,
            type=fields.type,
            importance=fields.importance,
        )
        done += 1
    return done, time.perf_counter() - started, time.process_time() - before


@contextmanager
def _timed(spent: list[float]) -> Iterator[None]:
    """Add up the seconds inside the functions that seal, wrap and sign."""
    kept = [(module, name, getattr(module, name)) for module, name in _CRYPTOGRAPHY]

    def measured(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it is given
            started = time.perf_counter()
            try:
                return function(*args, **named)
            finally:
                spent[0] += time.perf_counter() - started

        return call

    for module, name, function in kept:
        setattr(module, name, measured(function))
    try:
        yield
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


def remember(plan: Plan) -> list[Row]:
    """One memory at a time: ours before and after the peers, so that neither has the quieter hour.

    Both halves of ours count; encryption's share is measured in calls of its own.
    """
    count = plan.count(800, 200)
    found = documents(3 * count + 100)
    items, texts = memories(found), [document.content for document in found[:200]]
    spent = [0.0]
    with coffret_server(plan.place("remember")) as url:
        vault, _ = Vault.create(url, "ana", "pw", plan.place("device"), ambient=cheap())
        with vault:
            _remember(vault, items[3 * count :])
            first = _remember(vault, items[:count])
            chroma = _peer(plan, "peer_chroma.py", texts, plan.count(200, 80))
            mem0 = _peer(plan, "peer_mem0.py", texts, plan.count(500, 150))
            second = _remember(vault, items[count : 2 * count])
            with _timed(spent):
                _, total, _ = _remember(vault, items[2 * count : 3 * count])
    done, wall, processor = (left + right for left, right in zip(first, second, strict=True))
    rate = done / wall
    return [
        _beside("remember one memory, over HTTP, durable", rate, chroma, "Chroma over HTTP", _FIVE),
        _beside("the same", rate, mem0, "mem0ai in process", 1.0),
        told("  processor time of the device for one", processor / done * 1e6, "µs"),
        *_shown("Chroma over HTTP, one add", chroma, "single"),
        *_shown(f"Chroma over HTTP, batches of {BATCH}", chroma, "batch"),
        *_shown("mem0ai in process, local qdrant, one add", mem0, "single"),
        at_most(
            "encryption's share of remember (seal, wrap, sign)", spent[0] / total * 100, 5, "%"
        ),
    ]


def _peer(plan: Plan, script: str, texts: Sequence[str], single: int) -> dict[str, Any] | str:
    """What a peer measured, or why it was not."""
    sizes = {"texts": list(texts), "single": single, "batches": plan.count(10, 4)}
    try:
        return run_peer(script, plan.place("peer"), sizes)
    except NoPeersError as missing:
        return str(missing)


def _beside(path: str, rate: float, peer: dict[str, Any] | str, name: str, times: float) -> Row:
    measured, target = f"{rate:,.0f} a second", f"≥ {times:g} times {name}"
    if isinstance(peer, str):
        return Row(path, target, measured, f"{name} {peer}", None, rate)
    ratio = rate / peer["single"]
    return Row(path, target, measured, f"{ratio:.2f} times {name}", ratio >= times, rate)


def _shown(path: str, peer: dict[str, Any] | str, what: str) -> list[Row]:
    if isinstance(peer, str):
        return []
    return [told(f"  {path} ({peer['version']})", peer[what], "a second")]


def batches(plan: Plan) -> list[Row]:
    """Batches of a hundred, sealing included: in one call, and a call for each.

    In one call the next hundred is sealed while one is under way; each is durable on the server,
    and acknowledged, before the next is sent.
    """
    count = BATCH * plan.count(80, 30)
    items = memories(documents(2 * count + 2 * BATCH))
    with coffret_server(plan.place("batches")) as url:
        vault, _ = Vault.create(url, "ana", "pw", plan.place("device"), ambient=cheap())
        with vault, patch.object(batch_flows, "BATCH", BATCH):
            vault.remember_many(items[: 2 * BATCH])
            one_call, processor = _written(vault, [items[2 * BATCH : 2 * BATCH + count]])
            parts = range(2 * BATCH + count, len(items), BATCH)
            calls, _ = _written(vault, [items[at : at + BATCH] for at in parts])
    return [
        at_least(f"remember in batches of {BATCH}, one call", one_call, 10_000, "records/s"),
        told("  processor time of the device for one", processor, "µs"),
        told(f"  the same, a call for each {BATCH}, one after another", calls, "records/s"),
    ]


def _written(vault: Vault, parts: Sequence[Sequence[NewMemory]]) -> tuple[float, float]:
    """Records a second, and the device's processor time for one, with a call for each part."""
    done, started, before = 0, time.perf_counter(), time.process_time()
    for number in bounded(len(parts), _SECONDS):
        vault.remember_many(parts[number])
        done += len(parts[number])
    taken, processor = time.perf_counter() - started, time.process_time() - before
    return done / taken, processor / done * 1e6
