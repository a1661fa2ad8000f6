"""A server that adds a device of its own to an account."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret_vault.errors import CredentialsError, TrustError
from coffret_vault.formats.account import KEYSLOT
from coffret_vault.formats.codes import SECRET_KEY, write_code
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS
from coffret_vault.keyslots.slots import SlotPlan, derive_passphrase_keys, make_keyslot
from coffret_vault.primitives.secret import SecretBytes
from harness.network import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.stage import Stage

GHOST = ("a passphrase of the server's own", SecretBytes(b"g" * 20))


@pytest.fixture
def ghost(stage: Stage) -> Iterator[bytes]:
    """A keyslot of the server's making, in the place of the owner's."""
    state = stage.owner.vault._state
    rows = [dict(row) for row in stage.database.rows("keyslots")]
    row = next(
        row
        for row in rows
        if row["account_id"] == state.account_id and KEYSLOT.parse(row["keyslot"]).kdf
    )
    slot = KEYSLOT.parse(row["keyslot"])
    assert slot.kdf is not None
    keys = derive_passphrase_keys(*GHOST, state.place, slot.kdf, limits=CHEAPEST_FOR_TESTS)
    plan = SlotPlan(slot.slot_id, slot.generation, slot.created)
    account_key = SecretBytes(os.urandom(32))
    made = make_keyslot(keys, state.place, plan, account_key, random=os.urandom)
    row["keyslot"] = KEYSLOT.serialize(made)
    with stage.database.holding({"keyslots": rows}):
        yield row["keyslot"]


@pytest.mark.attack(24)
@pytest.mark.usefixtures("ghost")
def test_a_ghost_logs_in_and_opens_nothing(stage: Stage) -> None:
    """A device that the server lets in has a session, and no key: it gets no further."""
    network, world = Recorder(), stage.world
    passphrase, secret_key = GHOST
    with pytest.raises(CredentialsError):
        Vault.login(
            world.url, stage.owner.username, passphrase,
            write_code(SECRET_KEY, secret_key.reveal()), world.place(),
            **world.around(transport=network),
        )  # fmt: skip
    assert network.paths == ["/readyz", "/auth/challenge", "/auth/login", "/accounts/me"]


@pytest.mark.attack(24)
@pytest.mark.usefixtures("ghost")
def test_a_ghost_s_keyslot_is_not_the_log_s(stage: Stage) -> None:
    """A device that enters by the recovery code sees a keyslot that the log does not name."""
    world, kit = stage.world, stage.owner.kit
    with pytest.raises(TrustError, match="keyslots"):
        Vault.recover(
            world.url, kit.username, kit.recovery_code_text(), "new", world.place(),
            **world.around(),
        )  # fmt: skip


@pytest.mark.control(24)
def test_a_ghost_s_keyslot_is_kept_by_a_client_that_does_not_compare(
    stage: Stage, ghost: bytes
) -> None:
    """Control: without the comparison with the log, it is among the keyslots that are trusted."""
    world, kit = stage.world, stage.owner.kit
    with (
        patch("coffret.flows.slots._are", return_value=True),
        patch("coffret.flows.entrance.replace_passphrase", return_value=iter(())),
    ):
        vault, _ = Vault.recover(
            world.url, kit.username, kit.recovery_code_text(), "new", world.place(),
            **world.around(),
        )  # fmt: skip
    world.closing(vault)
    assert ghost in vault._state.account.keyslots
