"""A vault of 10,000 memories: search it, unlock it, share it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bench.corpus import StandInEmbedder, documents, memories
from bench.rows import Row, at_most, bounded, median, told
from bench.servers import coffret_server
from coffret import App, Vault, register_developer
from coffret.testing import cheap

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rows import Plan
    from coffret.kit import RecoveryKit
    from coffret_vault.search import Document

COUNT = 10_000
_QUESTIONS = 300
_SECONDS = 20.0
_FILTERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("no filter", {}),
    ("a filter that keeps a third", {"types": ["fact"], "importance": 0.1}),
    ("a filter that keeps 4 %", {"any_tags": ["travel"], "importance": 0.8}),
)


def library(plan: Plan, wanted: frozenset[str]) -> list[Row]:
    """Make the vault once, then measure those of ``search``, ``unlock``, ``approve`` wanted."""
    found = documents(COUNT)
    device = plan.place("library")
    rows: list[Row] = []
    with coffret_server(plan.place("server")) as url:
        vault, kit = Vault.create(
            url, "ana", "pw", device, ambient=cheap(), embedder=StandInEmbedder
        )
        with vault:
            vault.remember_many(memories(found))
            vault.index()
            parts: dict[str, Callable[[], list[Row]]] = {
                "search": lambda: _search(vault, found, plan),
                "unlock": lambda: _unlock(vault, kit, plan),
                "approve": lambda: _approve(url, vault, plan),
            }
            for name, part in parts.items():
                if name in wanted:
                    rows += part()
    return rows


def _search(vault: Vault, found: list[Document], plan: Plan) -> list[Row]:
    rng = random.Random(3)  # noqa: S311 - sample data
    chosen = [rng.choice(found).content for _ in range(plan.count(_QUESTIONS, 60))]
    asked = [f"where did I {text[:60].rpartition(' ')[0]}?" for text in chosen]
    before = time.process_time()
    by_filter = {name: _each(vault, asked, wanted) for name, wanted in _FILTERS}
    every = [taken for times in by_filter.values() for taken in times]
    spent = (time.process_time() - before) / len(every) * 1e3
    return [
        at_most(
            f"search {COUNT:,} memories, embedding excluded, p50: filters, fusion, hits opened",
            median(every),
            1.0,
            "ms",
        ),
        *[told(f"  with {name}, p50", median(times), "ms") for name, times in by_filter.items()],
        told("  processor time of a search, mean", spent, "ms"),
    ]


def _each(vault: Vault, asked: list[str], wanted: dict[str, Any]) -> list[float]:
    """Milliseconds of each search, less those that the made embedding takes."""
    embedder, times = StandInEmbedder(), []
    for number in bounded(len(asked), _SECONDS):
        started = time.perf_counter()
        embedder.embed_query(asked[number])
        between = time.perf_counter()
        hits = vault.search(asked[number], **wanted)
        taken = time.perf_counter() - between - (between - started)
        assert hits
        assert hits[0].memory.content
        times.append(taken * 1e3)
    return times


def _unlock(vault: Vault, kit: RecoveryKit, plan: Plan) -> list[Row]:
    """From the passphrase to the first hits, in new processes, with the real model.

    A first process, which does not count, leaves the libraries' bytecode as an installation does.
    """
    secrets = {"passphrase": "pw", "secret_key": kit.secret_key_code()}
    order = json.dumps(secrets | {"folder": str(vault.folder)})
    surroundings = os.environ | {"PYTHONPYCACHEPREFIX": str(plan.folder / "bytecode")}
    surroundings.pop("PYTHONDONTWRITEBYTECODE", None)
    found: list[dict[str, float]] = []
    for _ in range(1 + plan.count(5, 2)):
        done = subprocess.run(
            [sys.executable, "-m", "bench.unlock"],
            input=order,
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        found.append(json.loads(done.stdout))
    del found[0]
    beyond = median([item["unlock"] + item["search"] - item["argon2_cheap"] for item in found])
    return [
        at_most(f"unlock to first search at {COUNT:,}, beyond Argon2", beyond, 0.5, "s"),
        told("  of it the first search: libraries, index, model", _part(found, "search"), "s"),
        told("  the second search, real model, with embedding", _part(found, "again") * 1e3, "ms"),
        told("  Argon2 as vaults use it (64 MiB, 3 passes)", _part(found, "argon2") * 1e3, "ms"),
    ]


def _part(found: list[dict[str, float]], name: str) -> float:
    return median([item[name] for item in found])


def _approve(url: str, vault: Vault, plan: Plan) -> list[Row]:
    developer = register_developer(url, "Bench", "bench@example.org")
    home = "https://app.example"
    times = []
    for number in range(plan.count(3, 1)):
        with App.register(url, developer, f"App {number}", home, plan.place("app") / "app") as app:
            request = app.request_access(
                "ana",
                scopes=["read"],
                purpose="measure",
                duration=timedelta(days=1),
                everything=True,
            )
            vault.requests(None)
            started = time.perf_counter()
            grant = vault.approve(request, words=app.words, check_domain=False)
            times.append(time.perf_counter() - started)
            assert vault.grant(grant).memories == COUNT
    return [at_most(f"approve a grant over {COUNT:,} memories", median(times), 1.0, "s")]
