"""An owner writes the log down, and an auditor verifies it with nothing else."""

from __future__ import annotations

import asyncio
import stat
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from cli_harness import Cli, new_name
from coffret import AsyncVault
from coffret_vault.errors import NotFoundError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.log.audit import lines_of, read_audit
from coffret_vault.log.auditing import Audit, audit
from coffret_vault.log.comparing import compare_head, compare_logs
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from pathlib import Path

    from coffret import Vault
    from harness.world import World

CONTENT, TITLE = "canary content of a memory", "canary title"
TAG, HIDDEN = "canary-tag", "canary-hidden"


def audited(vault: Vault | AsyncVault) -> Audit:
    """What an auditor makes of the log."""
    return audit(lines_of(BytesIO(b"".join(vault.audit_log().lines))))


def test_what_a_life_leaves_behind_is_whole(either: World) -> None:
    """With versions by apps, grants that ended, and changed keys; and it continues what it was."""
    owner, app = either.owner(), either.app()
    early = audited(owner.vault)
    memory = owner.vault.remember(CONTENT, title=TITLE, tags=["t"])
    grant_id, access = either.granted(owner, app, tags=["t"])
    access.update(memory.id, content="by the app")
    owner.vault.sync()
    owner.vault.accept(memory.id)
    receipt = access.receipt()
    owner.vault.revoke(grant_id)
    owner.vault.change_keys(PASSPHRASE, lambda _: None)
    owner.vault.forget(memory.id)
    late = audited(owner.vault)
    assert late.is_whole
    assert late.counted["grant"] == late.counted["revoke"] == late.counted["rotate"] == 1
    assert compare_logs(late, early).relation == "continues"
    assert compare_head(late, parse_head(receipt)).relation == "continues"
    assert compare_logs(early, late).relation == "rolled-back"


def test_nothing_is_in_it_that_the_owner_said(world: World) -> None:
    """No content and no title; a tag where a grant names it, of those to apps that wrote."""
    owner, silent, writer = world.owner(), world.app(), world.app()
    memory = owner.vault.remember(CONTENT, title=TITLE, tags=[TAG, HIDDEN])
    world.granted(owner, silent, tags=[HIDDEN])
    _, access = world.granted(owner, writer, tags=[TAG])
    access.update(memory.id, content=CONTENT)
    owner.vault.sync()
    owner.vault.accept(memory.id)
    told, leaves = read_audit(lines_of(BytesIO(b"".join(owner.vault.audit_log().lines))))
    (grant,) = told.grants
    everything = b"".join((told.card, grant.manifest, grant.statement, *leaves))
    assert not [said for said in (CONTENT, TITLE, HIDDEN) if said.encode() in everything]
    assert TAG.encode() in grant.statement  # so what is looked through is in the clear
    assert audited(owner.vault).is_whole


def test_what_apps_wrote_since_the_head_is_counted_and_not_in_it(world: World) -> None:
    """No head of the owner's is over it; the next one is."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember(CONTENT, tags=["t"])
    _, access = world.granted(owner, app, tags=["t"])
    access.update(memory.id, content="by the app")
    owner.vault.sync()
    log = owner.vault.audit_log()
    assert (log.beyond, log.entries) == (1, owner.vault.status().entries - 1)
    owner.vault.remember("more")
    assert owner.vault.audit_log().beyond == 0
    assert audited(owner.vault).is_whole


def test_it_needs_no_keys_and_a_twin_writes_the_same(world: World) -> None:
    """A locked vault writes it, and so does the asyncio twin, byte for byte."""
    owner = world.owner()
    owner.vault.remember(CONTENT)
    owner.vault.lock()
    data = b"".join(owner.vault.audit_log().lines)

    async def other() -> bytes:
        async with AsyncVault.open(owner.vault.folder) as vault:
            return b"".join(vault.audit_log().lines)

    assert asyncio.run(other()) == data


def test_the_command_writes_it_and_verifies_it(cli: Cli, coffret_url: str, tmp_path: Path) -> None:
    """Private, whole, not over another file; the words that both are shown are the same."""
    cli.init(coffret_url, new_name("audits"))
    file, later = tmp_path / "log.audit", tmp_path / "later.audit"
    wrote = cli("audit-log", str(file), "--json").data()
    assert not stat.S_IMODE(file.stat().st_mode) & 0o077
    assert cli("audit-log", str(file), code=7).err
    auditor = Cli(tmp_path / "auditor")
    found = auditor("verify-audit", str(file), "--json").data()
    assert found["whole"]
    assert (found["head_words"], found["fingerprint"], found["size"]) == (
        wrote["head_words"],
        wrote["fingerprint"],
        wrote["entries"],
    )
    piped = cli("audit-log", "-")
    assert piped.out == file.read_text("ascii")
    assert wrote["head_words"] in piped.err
    cli("remember", CONTENT)
    cli("audit-log", str(later), "--force")
    head = tmp_path / "head.json"
    head.write_text(cli("status", "--json").out)
    for against in (file, head):
        ran = auditor("verify-audit", str(later), "--against", str(against))
        assert "Whole:" in ran.out


def test_a_vault_without_a_head_has_nothing_to_write(world: World) -> None:
    """It says so, and does not write a file about nothing."""
    owner = world.owner()
    state = owner.vault._state
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(state.store, "kept_leaves", list)
        patched.setattr(state, "position", _Nothing)
        with pytest.raises(NotFoundError, match="no head"):
            owner.vault.audit_log()


class _Nothing:
    head = None


def test_an_auditor_is_told_what_is_wrong(cli: Cli, coffret_url: str, tmp_path: Path) -> None:
    """As sentences and as JSON, with exit code 5; what is no such file has its own codes."""
    cli.init(coffret_url, new_name("audits"))
    cli("remember", CONTENT)
    file, wrong = tmp_path / "log.audit", tmp_path / "wrong.audit"
    cli("audit-log", str(file))
    lines = file.read_text().splitlines(keepends=True)
    wrong.write_text("".join(lines[:-1]))
    told = cli("verify-audit", str(wrong), "--against", str(file), "--json", code=5).data()
    last = told["size"] - 1
    assert [item["what"] for item in told["findings"]] == ["count"]
    named = told["against"]["differences"]
    assert [(item["what"], item["entry"], item["kept"]["kind"]) for item in named] == [
        ("missing", last, "put")
    ]
    shown = cli("verify-audit", str(wrong), "--against", str(file), code=5).out
    assert f"Entry {last} (put of " in shown
    assert "is missing" in shown
    assert told["against"]["relation"] == "altered"
    wrong.write_text("no such file")
    assert cli("verify-audit", str(wrong), "--json", code=3).error()["code"] == "malformed"
    assert cli("verify-audit", str(file), "--against", str(wrong), code=2).err
    assert cli("verify-audit", str(tmp_path / "none"), code=2).err
