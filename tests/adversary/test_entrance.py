"""A hostile server at login, recovery and sign-up: weaker keys, other accounts, other ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import Vault
from coffret.flows.http import b64
from coffret.flows.state import Ambient
from coffret.origins import check_url
from coffret_vault.errors import (
    CoffretError,
    CredentialsError,
    FormatError,
    InputError,
    ServerError,
    TrustError,
    WeakKdfError,
)
from coffret_vault.formats.account import KEYSLOT
from coffret_vault.keyslots import kdf
from harness.network import BASE, Evil, Recorder, answering, updating
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from harness.world import Owner, World


@pytest.fixture
def owner(world: World) -> Owner:
    """An owner whose device is honest."""
    made = world.owner()
    made.vault.remember("precious")
    return made


def login(world: World, owner: Owner, network: Evil, **options: Any) -> Vault:
    """Log a new device in through a hostile network."""
    arguments = world.around(transport=network, **options)
    vault: Vault = world.closing(
        Vault.login(
            world.url, owner.username, PASSPHRASE, owner.secret_key, world.place(), **arguments
        )
    )
    return vault


def _kdf(**values: object) -> Any:
    return lambda answer: answer["kdf"].update(values)


@pytest.mark.attack(8, 9)
@pytest.mark.parametrize(
    "values",
    [
        {"m": 65_535},
        {"m": 0},
        {"t": 2},
        {"t": 0},
        {"p": 0},
        {"p": -1},
        {"p": 5},
        {"t": 11},
        {"m": 1_048_577},
        {"m": 64 << 20},
        {"m": (1 << 63) - 1},
    ],
)
def test_passphrase_parameters_out_of_bounds_are_refused_unused(
    world: World, owner: Owner, values: dict[str, int]
) -> None:
    """Too weak or too heavy: nothing is derived from the passphrase, and no proof is sent."""
    evil = Evil()
    evil.rewrite["/auth/challenge"] = _kdf(**{"m": 65_536, "t": 3, "p": 4, **values})
    derived: list[object] = []
    with (
        patch.object(kdf, "argon2id", side_effect=derived.append),
        pytest.raises(WeakKdfError),
    ):
        login(world, owner, evil, ambient=Ambient())
    assert derived == []
    assert evil.paths == ["/readyz", "/auth/challenge"]


@pytest.mark.control(8)
def test_a_weak_derivation_is_used_by_a_client_without_the_floor(
    world: World, owner: Owner
) -> None:
    """Control: with the limits of tests the weak parameters are derived from, and a proof sent."""
    evil = Evil()
    evil.rewrite["/auth/challenge"] = _kdf(m=64, t=1, p=2)
    with pytest.raises(CredentialsError):
        login(world, owner, evil)
    assert evil.paths == ["/readyz", "/auth/challenge", "/auth/login"]


@pytest.mark.attack(8, 12)
@pytest.mark.parametrize(
    "values",
    [{"algorithm": "argon2i"}, {"algorithm": "scrypt"}, {"salt": ""}, {"salt": b64(bytes(15))}],
)
def test_another_algorithm_is_refused(
    world: World, owner: Owner, values: dict[str, object]
) -> None:
    """A server cannot choose another way of stretching a passphrase."""
    evil = Evil()
    evil.rewrite["/auth/challenge"] = _kdf(**values)
    with pytest.raises(FormatError):
        login(world, owner, evil)
    assert evil.paths == ["/readyz", "/auth/challenge"]


@pytest.mark.attack(12)
def test_a_challenge_of_another_kind_is_refused(world: World, owner: Owner) -> None:
    """A passphrase is not answered with a recovery slot's challenge, nor the reverse."""
    evil = Evil()
    evil.rewrite["/auth/challenge"] = lambda answer: answer.update(kdf=None)
    with pytest.raises(TrustError):
        login(world, owner, evil)
    evil = Evil()
    weak = {"algorithm": "argon2id", "salt": b64(bytes(16)), "m": 65_536, "t": 3, "p": 4}
    evil.rewrite["/auth/challenge"] = lambda answer: answer.update(kdf=weak)
    with pytest.raises(TrustError):
        Vault.recover(
            world.url, owner.username, owner.kit.recovery_code_text(), "new", world.place(),
            **world.around(transport=evil),
        )  # fmt: skip


@pytest.mark.attack(10)
def test_a_salt_that_the_server_chose_opens_nothing(world: World, owner: Owner) -> None:
    """Another salt gives other keys, which neither log in nor open the account's keyslot."""
    evil = Evil()
    evil.rewrite["/auth/challenge"] = _kdf(salt=b64(bytes(16)))
    with pytest.raises(CredentialsError):
        login(world, owner, evil)
    assert "/accounts/me" not in evil.paths


@pytest.mark.attack(10)
def test_a_challenge_for_another_account_logs_nobody_in(world: World, owner: Owner) -> None:
    """The account's id is in every key: a challenge for another account cannot be answered."""
    other = world.owner()
    evil = Evil()
    evil.rewrite["/auth/challenge"] = lambda answer: answer.update(
        account_id=other.vault.status().account_id
    )
    with pytest.raises(CredentialsError):
        login(world, owner, evil)


def test_a_device_knows_its_account_when_it_logs_in_again(world: World, owner: Owner) -> None:
    """A device that is told another account or keyslot than its own sends no proof.

    Of another account it asks, as anybody may, whether its own was deleted.
    """
    evil = Evil()
    vault = login(world, owner, evil)
    other = world.owner().vault.status().account_id
    asked = f"/accounts/{vault.status().account_id}/deletion"
    for field, error, more in (
        ("account_id", TrustError, [asked]),
        ("slot_id", CredentialsError, []),
    ):
        vault._state.session = None
        before = len(evil.requests)
        evil.rewrite["/auth/challenge"] = updating({field: other})
        with pytest.raises(error):
            vault.sync()
        assert evil.paths[before:] == ["/auth/challenge", *more]
        assert not any("authorization" in each.headers for each in evil.requests[before:])


@pytest.mark.attack(43)
@pytest.mark.parametrize("field", ["account_id", "slot_id", "kdf"])
def test_a_lost_login_is_not_answered_to_another_challenge(
    world: World, owner: Owner, field: str
) -> None:
    """Asked again where the answer was lost, the server cannot challenge for something else."""
    evil, other = Evil(), world.owner().vault.status().account_id

    def lost(_: object) -> None:
        evil.rewrite["/auth/challenge"] = another
        message = "lost"
        raise httpx.ReadError(message)

    def another(answer: dict[str, Any]) -> None:
        answer[field] = answer["kdf"] | {"salt": b64(bytes(16))} if field == "kdf" else other

    evil.rewrite["/auth/login"] = lost
    with pytest.raises(TrustError, match="another keyslot than before"):
        login(world, owner, evil)
    assert evil.paths == ["/readyz", "/auth/challenge", "/auth/login", "/auth/challenge"]


@pytest.mark.attack(20)
def test_a_vault_of_another_account_than_the_kit_s_is_not_recovered(
    world: World, owner: Owner
) -> None:
    """Whoever has the kit is not led to another vault, and nothing is read or changed there."""
    evil = Evil()
    real, other = (one.vault.status().account_id for one in (owner, world.owner()))
    kit = owner.kit.text().replace(real, other)
    with pytest.raises(TrustError, match="another account than the recovery kit"):
        Vault.recover(
            world.url, owner.username, owner.kit.recovery_code_text(), "new", world.place(),
            kit=kit, **world.around(transport=evil),
        )  # fmt: skip
    assert "/sync" not in evil.paths
    assert [memory.content for memory in login(world, owner, Evil()).list()] == ["precious"]


CODES = ("wrong-credentials", "not-found", "conflict", "server-error", "not-initialised")


def _problem(code: str, status: int) -> httpx.Response:
    headers = {"content-type": "application/problem+json", "retry-after": "3600"}
    body = {"code": code, "status": status, "sign_up": True, "url": "https://elsewhere.example/"}
    return httpx.Response(status, json=body, headers=headers)


@pytest.mark.attack(4)
@pytest.mark.parametrize("path", ["/auth/challenge", "/auth/login", "/accounts/me"])
@pytest.mark.parametrize("status", [401, 404, 409, 422, 500])
def test_no_error_at_login_leads_to_a_sign_up(
    world: World, owner: Owner, path: str, status: int
) -> None:
    """Whatever a server says at login, the device signs nothing up and keeps nothing."""
    for code in CODES:
        evil = Evil()
        evil.rewrite[path] = answering(_problem(code, status))
        place = world.place()
        with pytest.raises(CoffretError):
            Vault.login(
                world.url, owner.username, PASSPHRASE, owner.secret_key, place,
                **world.around(transport=evil),
            )  # fmt: skip
        posted = {
            (request.method, request.url.path.removeprefix(BASE)) for request in evil.requests
        }
        assert posted <= {
            ("GET", "/readyz"),
            ("POST", "/auth/challenge"),
            ("POST", "/auth/login"),
            ("GET", "/accounts/me"),
        }


@pytest.mark.attack(1, 3, 13)
def test_fields_that_name_keys_or_places_are_ignored(world: World, owner: Owner) -> None:
    """Organisation keys, recovery keys, feature flags and addresses in an answer change nothing."""
    evil, honest = Evil(), Recorder()
    login(world, owner, honest).remember("the same")  # type: ignore[arg-type]
    more = {
        "organisation_key": b64(bytes(1216)),
        "recovery_pk": b64(bytes(1216)),
        "admin_public_key": b64(bytes(32)),
        "key_connector_url": "https://elsewhere.example/",
        "security_version": 0,
        "suite": 0,
        "features": {"per_item_keys": False, "encryption": "off"},
        "identity_url": "https://elsewhere.example/",
    }

    def add(answer: Any) -> None:
        if isinstance(answer, dict):
            answer.update({name: value for name, value in more.items() if name not in answer})

    for path in ("/auth/challenge", "/auth/login", "/accounts/me", "/grants", "/memory-blobs"):
        evil.rewrite[path] = add
    vault = login(world, owner, evil)
    vault.remember("the same")
    assert evil.paths == honest.paths
    assert {request.url.host for request in evil.requests} == {"127.0.0.1"}
    assert [set(request.headers) for request in evil.requests] == [
        set(request.headers) for request in honest.requests
    ]


@pytest.mark.attack(3)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(world: World, owner: Owner, status: int) -> None:
    """A server cannot send a device to another place, with its proofs or without."""
    evil = Evil()
    vault = login(world, owner, evil)
    elsewhere = {"location": "http://127.0.0.1:9/api/v1/sync"}
    evil.rewrite["/sync"] = lambda _: httpx.Response(status, headers=elsewhere)
    before = len(evil.requests)
    with pytest.raises(ServerError):
        vault.sync()
    assert len(evil.requests) == before + 1


@pytest.mark.attack(3)
def test_addresses_are_checked_before_anything_is_sent() -> None:
    """Plain http goes to this machine only, and an address is a scheme and a host."""
    for url in (
        "http://example.org", "http://127.0.0.1.example.org", "ftp://example.org", "example.org",
        "https://user:secret@example.org", "https://example.org/path", "https://", "",
        "http://localhost@example.org", "https://exämple.org",
    ):  # fmt: skip
        with pytest.raises(InputError):
            check_url(url)
    assert check_url("https://EXAMPLE.org:443/") == "https://example.org"
    assert check_url("http://localhost:8080") == "http://localhost:8080"
    assert check_url("http://[::1]:8080") == "http://[::1]:8080"


@pytest.mark.attack(15, 21, 24)
def test_an_account_of_the_server_s_making_is_refused(world: World, owner: Owner) -> None:
    """Card, keyslots, identity or generation of another account or making open nothing."""
    other = world.owner().vault._state.account
    mine = owner.vault._state.account
    first = KEYSLOT.parse(mine.keyslots[0])
    forged = KEYSLOT.serialize(
        type(first)(**{
            **{name: getattr(first, name) for name in first.__struct_fields__},
            "wrap": bytes([1]) + bytes(112),
        })
    )  # fmt: skip
    cards = {"account_card": b64(other.card), "card_signature": b64(other.card_signature)}
    attacks: tuple[dict[str, Any], ...] = (
        cards,
        {"card_signature": b64(other.card_signature)},
        {"account_card": b64(other.card)},
        {"keyslots": [b64(slot) for slot in other.keyslots]},
        {"keyslots": []},
        {"keyslots": [b64(forged)]},
        {"identity": {"generation": 1, "envelope": b64(other.identity)}},
        {"identity": {"generation": 2, "envelope": b64(mine.identity)}},
    )
    for changed in attacks:
        evil = Evil()
        evil.rewrite["/accounts/me"] = updating(changed)
        with pytest.raises((TrustError, CredentialsError)):
            login(world, owner, evil)
        assert "/sync" not in evil.paths


@pytest.mark.attack(4)
def test_a_sign_up_is_for_the_account_that_was_made_here(world: World) -> None:
    """A server that registers another account than ours is refused, and nothing is kept."""
    evil = Evil()
    evil.rewrite["/accounts"] = lambda answer: answer.update(account_id="0" * 8)
    place = world.place()
    with pytest.raises(TrustError):
        Vault.create(world.url, "somebody-new", PASSPHRASE, place, **world.around(transport=evil))
    assert not (place / "store.db").exists()
