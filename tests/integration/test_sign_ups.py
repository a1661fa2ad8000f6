"""A sign-up whose answer is lost is finished by the same call, with the same kit."""

from __future__ import annotations

import os
from stat import S_ISDIR
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret import RecoveryKit, Vault
from coffret.flows import visibility
from coffret.flows.begun import BEGUN_FILE, NOT_HANDED_OUT, UNFINISHED, keep_begun
from coffret.flows.waiting import SAID
from coffret_vault.errors import (
    ConflictError,
    CredentialsError,
    InputError,
    NetworkError,
    ServerError,
    StoreDamagedError,
    StoreError,
)
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, read_code
from harness.flipping import flipped
from harness.network import BASE, Losing, Recorder
from harness.stops import nothing_put_back
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.world import World

pytestmark = pytest.mark.usefixtures("one_try")


def _sign_up(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path == f"{BASE}/accounts"


def _create(
    world: World, name: str, place: Path, passphrase: str = PASSPHRASE, **options: object
) -> tuple[Vault, RecoveryKit]:
    vault, kit = world.face.create(world.url, name, passphrase, place, **world.around(**options))
    return world.closing(vault), kit


def _lost(world: World, name: str, place: Path, *, before: bool = False) -> None:
    """Sign up; the answer is lost, or the request before it reached the server."""
    network = Losing()
    network.lose, network.reaching = _sign_up, not before
    with pytest.raises(NetworkError) as raised:
        _create(world, name, place, transport=network)
    assert raised.value.hint == UNFINISHED
    assert [path.name for path in place.iterdir()] == [BEGUN_FILE]


@pytest.mark.parametrize("before", [True, False])
def test_the_same_call_finishes_a_sign_up(world: World, *, before: bool) -> None:
    """Whether or not the server had it: the vault is there, its kit opens it, and no file stays."""
    name, place = f"signing-up-{before}".lower(), world.place()
    _lost(world, name, place, before=before)
    vault, kit = _create(world, name, place)
    assert not (place / BEGUN_FILE).exists()
    vault.remember("first")
    other = world.closing(
        Vault.login(
            world.url, name, PASSPHRASE, kit.secret_key_code(), world.place(), **world.around()
        )
    )
    assert other.confirm(kit.text()) > 0
    code = kit.recovery_code_text()
    entered, _ = Vault.recover(
        world.url, name, code, "new", world.place(), kit=kit.text(), **world.around()
    )
    assert [memory.content for memory in world.closing(entered).list()] == ["first"]


def test_it_is_the_same_kit_however_often_it_is_tried(world: World) -> None:
    """The same bytes are sent, so that no try makes another account than the one before."""
    place, seen = world.place(), Recorder()
    for _ in range(2):
        _lost(world, "trying-again", place)
    vault, kit = _create(world, "trying-again", place, transport=seen)
    (sent,) = [request for request in seen.requests if _sign_up(request)]
    assert vault.status().account_id.encode().replace(b"-", b"") in kit.account_id.hex().encode()
    assert sent.headers["idempotency-key"]
    assert vault.words == kit.fingerprint


def test_a_server_that_forgot_its_answer_is_asked_by_a_login(world: World) -> None:
    """The name is taken then, by this very account, and a login shows that."""
    place = world.place()
    _lost(world, "forgotten-answer", place)

    class Forgetful(Recorder):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if _sign_up(request):
                problem = {"code": "username-taken", "status": 409}
                return httpx.Response(409, json=problem)
            return super().handle_request(request)

    vault, _ = _create(world, "forgotten-answer", place, transport=Forgetful())
    assert vault.remember("works").version == 1
    assert not (place / BEGUN_FILE).exists()


def test_a_name_that_another_took_meanwhile_is_taken(world: World) -> None:
    """What was begun never arrived, and is given up."""
    place = world.place()
    _lost(world, "quicker", place, before=True)
    _create(world, "quicker", world.place())
    with pytest.raises(ConflictError, match="taken"):
        _create(world, "quicker", place)
    assert list(place.iterdir()) == []


def test_another_passphrase_does_not_go_on_with_it(world: World) -> None:
    """Nor does it replace it, since the server may have that account; another name does."""
    place = world.place()
    _lost(world, "my-name", place)
    with pytest.raises(CredentialsError) as raised:
        _create(world, "my-name", place, "another")
    assert BEGUN_FILE in raised.value.hint
    assert (place / BEGUN_FILE).exists()
    vault, _ = _create(world, "another-name", place, "another")
    assert vault.status().username == "another-name"
    assert not (place / BEGUN_FILE).exists()


def test_what_is_refused_leaves_nothing(world: World) -> None:
    """A taken name is an answer: there is nothing to go on with."""
    name, place = world.owner().username, world.place()
    with pytest.raises(ConflictError, match="taken"):
        _create(world, name, place)
    assert list(place.iterdir()) == []


def test_a_server_that_fails_may_have_taken_it(world: World) -> None:
    """After an error of the server's own, too, the same call goes on."""
    place = world.place()

    class Failing(Recorder):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            return httpx.Response(503) if _sign_up(request) else response

    with pytest.raises(ServerError) as raised:
        _create(world, "failing", place, transport=Failing())
    assert raised.value.hint == UNFINISHED
    _create(world, "failing", place)


@pytest.mark.parametrize("step", ["keep_begun", "submit", "drop"])
def test_a_sign_up_that_was_killed_is_finished(world: World, step: str) -> None:
    """Wherever the process ended, the same call in that folder goes on with what lies there."""
    name, place = f"killed-{step}".replace("_", "-"), world.place()

    def killed(*_: object, **_named: object) -> object:
        raise SystemExit

    where = f"coffret.flows.entrance.{'drop_begun' if step == 'drop' else step}"
    stopped = patch(where, _after(keep_begun) if step == "keep_begun" else killed)
    with stopped, nothing_put_back(), pytest.raises(SystemExit):
        _create(world, name, place)
    vault, kit = _create(world, name, place)
    assert vault.remember("works").version == 1
    assert kit.username == name
    assert not (place / BEGUN_FILE).exists()


@pytest.mark.parametrize("error", [SystemExit, StoreError])
def test_a_kit_that_was_not_handed_out_is_handed_out_by_the_same_call(
    world: World, error: type[BaseException]
) -> None:
    """The server has the account, and the device the vault: who was told nothing is told then."""
    name, place, given = f"unseen-{error.__name__}".lower(), world.place(), list[RecoveryKit]()

    def fail(_kit: RecoveryKit) -> None:
        assert (place / BEGUN_FILE).exists()
        raise error

    with pytest.raises(error) as raised:
        _create(world, name, place, hand_out=fail)
    if isinstance(raised.value, StoreError):
        assert raised.value.hint == NOT_HANDED_OUT
    vault, kit = _create(world, name, place, hand_out=given.append)
    assert given == [kit]
    assert not (place / BEGUN_FILE).exists()
    assert vault.remember("works").version == 1
    other = Vault.login(
        world.url, name, PASSPHRASE, kit.secret_key_code(), world.place(), **world.around()
    )
    assert [memory.content for memory in world.closing(other).list()] == ["works"]


def _after(real: Callable[..., object]) -> Callable[..., object]:
    def killed(*given: object) -> object:
        yield from real(*given)  # type: ignore[misc]
        raise SystemExit

    return killed


def test_what_was_answered_is_gone_from_the_disk(world: World) -> None:
    """Its file has the kit under the passphrase alone: a power cut does not bring it back."""
    place, synced, sync = world.place(), [], os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        if S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append((place / BEGUN_FILE).exists())

    with patch("os.fsync", watched):
        _create(world, "on-the-disk", place)
    assert synced == [True, False]


def test_a_vault_that_is_in_use_is_not_begun_anew(world: World) -> None:
    """A file that stayed by mistake takes nothing from a vault in which something was written."""
    place = world.place()
    with patch("coffret.flows.entrance.drop_begun"):
        vault, _ = _create(world, "in-use", place)
    vault.remember("here")
    assert (place / BEGUN_FILE).exists()
    with pytest.raises(ConflictError, match="a vault in this folder"):
        _create(world, "in-use", place)
    assert [memory.content for memory in vault.list()] == ["here"]


def test_a_vault_that_another_program_has_open_is_not_begun_anew(world: World) -> None:
    """Nothing was said in it yet: what is said next would go with the file that was taken away."""
    place, network = world.place(), Losing()
    with patch("coffret.flows.entrance.drop_begun"):
        vault, _ = _create(world, "open-there", place, transport=network)
    with pytest.raises(ConflictError, match="a vault in this folder"):
        _create(world, "open-there", place)
    network.left = 0
    with patch.object(visibility, "LOOK_AGAIN", 0), pytest.raises(NetworkError):
        vault.remember("said on a train")
    network.left = -1
    there = world.closing(Vault.open(place, **world.around()))
    assert there.status().unsent == 1
    vault.sync()
    assert [memory.content for memory in vault.list()] == ["said on a train"]


def test_a_vault_in_which_words_wait_is_not_begun_anew(world: World) -> None:
    """What was said while the server was away lies in no log yet, and goes with no sign-up."""
    place, network = world.place(), Losing()
    with patch("coffret.flows.entrance.drop_begun"):
        vault, _ = _create(world, "in-words", place, transport=network)
    network.left = 0
    with patch.object(visibility, "LOOK_AGAIN", 0), pytest.raises(NetworkError) as raised:
        vault.remember("said on a train")
    assert raised.value.hint == SAID
    with pytest.raises(ConflictError, match="a vault in this folder"):
        _create(world, "in-words", place)
    network.left = -1
    vault.sync()
    assert [memory.content for memory in vault.list()] == ["said on a train"]


def test_other_settings_are_not_taken_for_the_same_call(world: World) -> None:
    """Whether titles show is in what was sent: it is not changed under the owner's hands."""
    place = world.place()
    _lost(world, "sealed-or-not", place)
    with pytest.raises(ConflictError, match="another choice"):
        world.face.create(
            world.url, "sealed-or-not", PASSPHRASE, place, sealed=True, **world.around()
        )
    _create(world, "sealed-or-not", place)


class _Meanwhile(Recorder):
    """A network on which something is done before the sign-up's answer comes."""

    def __init__(self, act: Callable[[], object]) -> None:
        """Do this."""
        super().__init__()
        self.act = act

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on; the answer comes when it is done."""
        response = super().handle_request(request)
        if _sign_up(request):
            self.act()
        return response


def test_a_second_sign_up_in_the_folder_is_refused(world: World) -> None:
    """Nor does a login get between: what the first one makes stays its own, and is all there is."""
    place, owner = world.place(), world.owner()
    said: list[str] = []

    def meanwhile() -> None:
        for name in ("twice", "another"):
            with pytest.raises(ConflictError, match="another program") as raised:
                _create(world, name, place)
            said.append(raised.value.hint)
        with pytest.raises(ConflictError, match="another program"):
            Vault.login(
                world.url, owner.username, PASSPHRASE, owner.secret_key, place, **world.around()
            )
        with pytest.raises(ConflictError, match="another program"):
            Vault.recover(
                world.url,
                owner.username,
                owner.kit.recovery_code_text(),
                "new",
                place,
                **world.around(),
            )

    vault, kit = _create(world, "twice", place, transport=_Meanwhile(meanwhile))
    assert len(said) == 2
    assert vault.remember("here").version == 1
    vault.close()
    again = world.closing(Vault.open(place, **world.around()))
    again.unlock(PASSPHRASE, kit.secret_key_code())
    assert [memory.content for memory in again.list()] == ["here"]
    assert sorted(path.name for path in place.iterdir() if "store.db" not in path.name) == []


@pytest.mark.attack(2)
def test_nothing_of_the_kit_lies_open_in_the_folder(world: World) -> None:
    """Neither code nor secret, and a damaged file is damage."""
    place = world.place()
    _lost(world, "in-the-folder", place)
    data = (place / BEGUN_FILE).read_bytes()
    assert (place / BEGUN_FILE).stat().st_mode & 0o077 == 0
    _, kit = _create(world, "in-the-folder", place)
    for kind, code in (
        (SECRET_KEY, kit.secret_key_code()),
        (RECOVERY_CODE, kit.recovery_code_text()),
    ):
        assert read_code(kind, code) not in data
        assert code.encode() not in data
    assert PASSPHRASE.encode() not in data
    spare = world.place()
    spare.mkdir()
    (spare / BEGUN_FILE).write_bytes(b"\xc1" + data)
    with pytest.raises(StoreDamagedError):
        _create(world, "in-the-folder", spare)
    (spare / BEGUN_FILE).write_bytes(flipped(data))
    with pytest.raises(CredentialsError):
        _create(world, "in-the-folder", spare)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_is_not_waited_for(world: World, kind: str) -> None:
    """Somebody else's thing of that name is an error at once."""
    place = world.place()
    place.mkdir()
    path = place / BEGUN_FILE
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/nowhere")
    with pytest.raises(StoreError, match="cannot be read"):
        _create(world, "no-file", place)


def test_names_that_cannot_be_leave_nothing(world: World) -> None:
    """What is refused before anything is sent is kept nowhere."""
    place = world.place()
    with pytest.raises(InputError):
        _create(world, "WRONG", place)
    assert not (place / BEGUN_FILE).exists()
