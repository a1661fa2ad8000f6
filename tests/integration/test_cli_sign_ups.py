"""On the command line: ``coffret init`` whose answer is lost, and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from cli_harness import code_in, new_name
from coffret.flows.signup import register_vault
from coffret_vault.errors import NetworkError
from harness.stops import nothing_put_back

if TYPE_CHECKING:
    from cli_harness import Cli
    from coffret.flows.http import Flow


def test_init_again_goes_on_after_a_lost_answer(cli: Cli, url: str) -> None:
    """It says so, and the doctor too; the kit that is shown then opens the vault elsewhere."""
    name = new_name("lost")
    words = ("init", "--server", url, "--username", name)

    def lost(*sent: Any) -> Flow[None]:
        yield from register_vault(*sent)
        raise NetworkError

    with patch("coffret.flows.begun.register_vault", lost):
        ran = cli(*words, code=10)
    assert "same again" in ran.err
    assert "CF1-" not in ran.out + ran.err
    checks = {item["name"]: item for item in cli("doctor", "--json", code=1).data()["checks"]}
    assert "coffret init again" in checks["vault"]["advice"]
    kit = cli(*words, "--json").data()["recovery_kit"]
    cli("remember", "after all")
    secrets = f"{cli.passphrase.read_text().strip()}\n{code_in(kit, 'CF1')}\n"
    cli("--vault", "two", "login", *words[1:], stdin=secrets.split("\n", 1)[1])
    assert [found["content"] for found in cli("--vault", "two", "list", "--json").data()] == [
        "after all"
    ]


def test_a_killed_init_is_told_by_whatever_comes_next(cli: Cli, url: str) -> None:
    """Its store looks like a vault; but nobody was given the Secret Key that would unlock it."""
    name = new_name("killed")
    words = ("init", "--server", url, "--username", name)
    killed = patch("coffret.flows.begun.register_vault", side_effect=SystemExit(9))
    with killed, nothing_put_back(), pytest.raises(SystemExit):
        cli(*words)
    checks = {item["name"]: item for item in cli("doctor", "--json", code=1).data()["checks"]}
    assert "do it again" in checks["sign-up"]["advice"]
    ran = cli(*words[:-1], "another-name", code=7)
    assert "do it again" in ran.err
    assert "Secret Key" not in ran.err
    cli(*words)
    checks = {item["name"]: item for item in cli("doctor", "--json").data()["checks"]}
    assert "sign-up" not in checks


def test_an_init_that_ends_before_its_kit_is_shown_shows_it_the_next_time(
    cli: Cli, url: str
) -> None:
    """The account is there by then, and the Secret Key nowhere else."""
    words = ("init", "--server", url, "--username", new_name("unseen"))
    killed = patch("coffret.cli.handing.deliver_kit", side_effect=SystemExit(9))
    with killed, patch("coffret.cli.handing.keep_secret_key"), pytest.raises(SystemExit):
        cli(*words)
    kit = cli(*words).out
    assert "CF1-" in kit
    cli("remember", "there")
