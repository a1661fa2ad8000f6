"""A new device takes over a whole vault: fetch, verify the log, open, store."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from bench.corpus import documents, memories
from bench.rows import Row, at_least, median, told
from bench.servers import coffret_server
from coffret import Vault
from coffret.flows.entrance import sync_all
from coffret.flows.signup import enter_with_passphrase
from coffret.opening import join, read_secret_key
from coffret.testing import cheap
from coffret.transport import SyncDriver
from coffret_vault.log.audit import lines_of
from coffret_vault.log.auditing import audit

if TYPE_CHECKING:
    from bench.rows import Plan

_LIMIT_SECONDS = 60.0


def _sync(plan: Plan, url: str, secret_key: str, count: int) -> tuple[float, float]:
    """Seconds that a new device takes from the end of its login to the last record stored.

    And how many of them its processor worked, for records and for the rows that a thread writes.
    """
    driver, ambient = SyncDriver(url), cheap()
    key = read_secret_key(secret_key)
    entered = driver.run(enter_with_passphrase(url, "ana", "pw", key, ambient))
    state = join(plan.place("device"), entered, ambient)
    gc.collect()
    started, before = time.perf_counter(), time.process_time()
    report = driver.run(sync_all(state))
    taken, processor = time.perf_counter() - started, time.process_time() - before
    assert report.records == count, report
    assert state.store.count() == count
    state.store.close()
    driver.close()
    return taken, processor


def _audited(plan: Plan, vault: Vault) -> list[Row]:
    """What ``coffret audit-log`` and ``coffret verify-audit`` take for the log of a vault."""
    path = plan.place("audit") / "log.audit"
    started = time.perf_counter()
    with path.open("wb") as file:
        file.writelines(vault.audit_log().lines)
    wrote = time.perf_counter() - started
    started = time.perf_counter()
    with path.open("rb") as file:
        found = audit(lines_of(file))
    verified = time.perf_counter() - started
    assert found.is_whole
    name = f"  audit-log of {len(found.hashes):,} entries"
    return [
        told(name, wrote, "s"),
        told("  the file", path.stat().st_size / 1e6, "MB"),
        told("  verify-audit of it", verified, "s"),
    ]


def sync_down(plan: Plan) -> list[Row]:
    """The median of up to three new devices; then an auditor of that log."""
    count = plan.count(100_000, 20_000)
    with coffret_server(plan.place("sync")) as url:
        vault, kit = Vault.create(url, "ana", "pw", plan.place("device"), ambient=cheap())
        items = memories(documents(count))
        started = time.perf_counter()
        with vault:
            vault.remember_many(items)
            upload = count / (time.perf_counter() - started)
            del items
            audited = _audited(plan, vault)
        times: list[float] = []
        worked: list[float] = []
        while len(times) < plan.count(3, 1) and sum(times) < _LIMIT_SECONDS:
            taken, processor = _sync(plan, url, kit.secret_key_code(), count)
            times.append(taken)
            worked.append(processor)
    rate = count / median(times)
    return [
        at_least(f"sync down {count:,} records to a new device", rate, 30_000, "records/s"),
        told("  processor time of the device for one", median(worked) / count * 1e6, "µs"),
        told("  remember_many of those, in its own batches of 500", upload, "records/s"),
        *audited,
    ]
