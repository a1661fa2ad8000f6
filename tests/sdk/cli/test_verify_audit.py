"""A log verified on the command line against what else was kept of it: no vault, no server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from cli_harness import Cli
from coffret.cli.commands import auditing
from coffret_vault.log import evidence
from coffret_vault.log.evidence import MAX_EVIDENCE, Subject
from vectors.making.audit import headed, leaves, preamble, whole
from vectors.making.samples import OWNER_KEYS

if TYPE_CHECKING:
    from pathlib import Path

LIFE = leaves()[:6]


@pytest.mark.parametrize(("size", "relation", "code"), [(6, "continues", 0), (4, "rolled-back", 5)])
def test_a_file_of_evidence_gives_both_its_heads(
    tmp_path: Path, size: int, relation: str, code: int
) -> None:
    """A log is to go together with each of them; the one that it does not go with is told."""
    told = preamble(LIFE)
    heads = headed(LIFE[:5], OWNER_KEYS), headed(LIFE[:3], OWNER_KEYS)
    about = Subject("https://vault.example", told.card, told.card_signature)
    file, kept = tmp_path / "log.audit", tmp_path / "evidence.json"
    file.write_bytes(whole(LIFE[:size]))
    kept.write_bytes(evidence.rolled_back(about, heads[0], 5, heads[1], 3))
    words = ("verify-audit", str(file), "--against", str(kept))
    cli = Cli(tmp_path / "home")
    assert cli(*words, "--json", code=code).data()["against"]["relation"] == relation
    assert "Whole: " in cli(*words, code=code).out


def test_what_is_too_long_to_have_a_head_is_refused(tmp_path: Path) -> None:
    """Of what it is compared with, no more is read than a file of evidence has."""
    file, kept = tmp_path / "log.audit", tmp_path / "kept"
    file.write_bytes(whole(LIFE))
    kept.write_bytes(b" " * (MAX_EVIDENCE + 1))
    ran = Cli(tmp_path / "home")(
        "verify-audit", str(file), "--against", str(kept), "--json", code=2
    )
    assert ran.error()["code"] == "too-large"


def test_a_log_with_nothing_to_name_is_read_once(tmp_path: Path) -> None:
    """A long one that is whole, and goes on, is not gone through again for names of entries."""
    file, kept = tmp_path / "log.audit", tmp_path / "kept.audit"
    file.write_bytes(whole(LIFE))
    kept.write_bytes(whole(LIFE[:4]))
    words, cli = ("verify-audit", str(file), "--against", str(kept)), Cli(tmp_path / "home")
    with patch.object(auditing, "read_audit", side_effect=AssertionError):
        assert "Whole: " in cli(*words).out
    kept.write_bytes(whole([*LIFE[:3], LIFE[4]]))
    assert "Entry 3 (put of " in cli(*words, code=5).out


def test_which_file_cannot_be_read_is_said(tmp_path: Path) -> None:
    """The one that is verified, or the one that it is compared with."""
    file, none, cli = tmp_path / "log.audit", tmp_path / "none", Cli(tmp_path / "home")
    file.write_bytes(whole(LIFE))
    for words in ((str(none),), (str(file), "--against", str(none))):
        assert f"{none} cannot be read" in cli("verify-audit", *words, code=2).err


def test_a_file_that_was_cut_is_said_to_be_one(tmp_path: Path) -> None:
    """Who lost its end on the way is not told that it is something else."""
    file, cli = tmp_path / "log.audit", Cli(tmp_path / "home")
    for data, said in ((whole(LIFE)[:-9], "not whole"), (b"no such\n", "not an audit file")):
        file.write_bytes(data)
        assert said in cli("verify-audit", str(file), code=3).err
