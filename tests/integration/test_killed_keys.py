"""A device that is killed while its passphrase or its keys are replaced."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from coffret import Vault
from coffret_vault.errors import CredentialsError, KeysChangedError, LockedError
from harness.killed import MOST, Bench, benched, check_whole, summary
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret.kit import RecoveryKit
    from harness.world import World


@pytest.fixture
def bench(world: World) -> Iterator[Bench]:
    """Someone whose device is killed."""
    made = benched(world)
    yield made
    made.vault.close()


def test_a_new_passphrase(bench: Bench) -> None:
    """Killed while it is replaced, the old one or the new one opens everything, and is known."""
    tried = [PASSPHRASE]

    def prepare() -> Callable[[Vault], object]:
        old = bench.passphrase
        tried[:] = [old, f"passphrase {bench.kills}"]
        return lambda vault: vault.change_passphrase(old, tried[1], bench.secret_key)

    for left in range(MOST):
        act = prepare()
        if not bench.kill(left, act):
            bench.passphrase = tried[1]
            break
        bench.passphrase = entering(bench, tried)
        check_whole(bench)
    assert bench.kills > 8
    fresh = bench.world.closing(
        Vault.login(
            bench.world.url, bench.owner.username, bench.passphrase, bench.secret_key,
            bench.world.place(), **bench.world.around(),
        )
    )  # fmt: skip
    assert summary(fresh) == summary(bench.vault)


def entering(bench: Bench, passphrases: list[str]) -> str:
    """The passphrase that unlocks the device and logs in; the other one does not.

    What was sent and not answered goes out with the first login, so nobody is asked before that.
    """
    with suppress(CredentialsError, LockedError):
        bench.vault.sync()
    good = []
    for passphrase in passphrases:
        bench.vault.lock()
        with suppress(CredentialsError):
            bench.vault.unlock(passphrase, bench.secret_key)
            bench.vault.sync()
            good.append(passphrase)
    assert len(good) == 1
    bench.vault.lock()
    bench.vault.unlock(good[0], bench.secret_key)
    return good[0]


def change(vault: Vault, *, passphrase: str, kits: list[RecoveryKit]) -> None:
    """Change every key."""
    vault.change_keys(passphrase, kits.append)


def test_new_keys(bench: Bench) -> None:
    """Killed while every key is changed, the device has the old ones or the new ones, whole."""
    kits: list[RecoveryKit] = []
    before = summary(bench.vault)
    for left in range(MOST):
        old = bench.passphrase, bench.secret_key
        new = f"passphrase {left}"
        kits.clear()
        killed = bench.kill(left, partial(change, passphrase=new, kits=kits))
        taken = changed_keys(bench, old, (new, kits[0].secret_key_code())) if kits else old
        bench.passphrase, bench.secret_key = taken
        with suppress(KeysChangedError):
            bench.other.sync()
        if taken != old:
            bench.other.log_in_again(*taken)
        assert check_whole(bench)[:2] == before[:2]
        bench.vault.remember(f"after {left}")
        before = summary(bench.vault)
        bench.other.sync()
        if not killed:
            assert taken != old
            break
    assert bench.kills > 12


def changed_keys(bench: Bench, old: tuple[str, str], new: tuple[str, str]) -> tuple[str, str]:
    """What opens the vault after a change that was killed: the new where the server has it."""
    bench.vault.lock()
    try:
        bench.vault.unlock(*old)
        bench.vault.sync()
    except (CredentialsError, KeysChangedError):
        bench.vault.log_in_again(*new)
        return new
    with pytest.raises(CredentialsError):
        Vault.login(
            bench.world.url, bench.owner.username, *new, bench.world.place(),
            **bench.world.around(),
        )  # fmt: skip
    return old
