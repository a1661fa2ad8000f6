"""An app is registered once, and its keys are kept, whatever happens in between."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import App, Developer
from coffret.flows import files
from coffret.flows.appstate import Begun, load_app
from coffret_vault.errors import (
    ConflictError,
    InputError,
    NetworkError,
    NotFoundError,
    ServerError,
    SessionError,
    StoreDamagedError,
    StoreError,
    TrustError,
)
from harness.network import Evil, Gate, Losing, Recorder, once
from harness.world import ask

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import Clock, World

HOME = "https://planner.example"


def _key(world: World, name: str = "Dev") -> str:
    return world.face.register_developer(world.url, name, "dev@example.org")


def _register(world: World, key: str, path: Path, **said: Any) -> App:
    """An app of Planner's name and homepage, or of those that are said."""
    name, homepage = said.pop("name", "Planner"), said.pop("homepage", HOME)
    url = said.pop("url", world.url)
    app: App = world.closing(
        world.face.register_app(url, key, name, homepage, path, **world.around(**said))
    )
    return app


def _check_works(world: World, app: App) -> None:
    """Its keys and its API key are those that the server knows."""
    assert app.status(ask(app, world.owner())) == "pending"


class Looking(Gate):
    """A network that has somebody look at the disk as an app is registered."""

    def __init__(self, look: Any) -> None:
        """What is done before the server hears of it."""
        super().__init__()
        self._look = look

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Look, and send it on."""
        if request.url.path.endswith("/apps"):
            self._look()
        return super().handle_request(request)


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("arrived", [True, False])
def test_a_registration_whose_answer_was_lost_is_finished(world: World, *, arrived: bool) -> None:
    """Whether or not the server took it: called again, it is that very app, and only one."""
    network, path, key = Losing(), world.place() / "app.json", _key(world)
    network.lose, network.reaching = once("POST", "/apps"), arrived
    with pytest.raises(NetworkError):
        _register(world, key, path, transport=network)
    begun = path.read_bytes()
    for _ in range(2):
        with pytest.raises(ConflictError, match="not finished") as caught:
            App.load(path)
        assert "again" in caught.value.hint
    assert path.read_bytes() == begun
    app = _register(world, key, path)
    assert load_app(path).seeds == msgspec.json.decode(begun, type=Begun).seeds
    _check_works(world, app)
    with Developer(world.url, key) as developer:
        assert len(developer.api_keys(app.info.app_id)) == 1
    with pytest.raises(ConflictError, match=r"App\.load"):
        _register(world, key, path)


def test_the_keys_are_on_the_disk_before_the_server_hears_of_them(world: World) -> None:
    """In a private file whose name is synced too, and which is the same app's in the end."""
    path, key = world.place() / "app.json", _key(world)
    synced: list[Path] = []
    seen: list[Begun] = []

    def sync(folder: Path) -> None:
        real(folder)
        synced.append(folder)

    def look() -> None:
        seen.append(msgspec.json.decode(path.read_bytes(), type=Begun))
        assert synced == [path.parent]
        assert path.stat().st_mode & 0o077 == 0

    real = files.sync_folder
    with patch.object(files, "sync_folder", sync):
        app = _register(world, key, path, transport=Looking(look))
    assert [begun.seeds for begun in seen] == [app._state.file.seeds]


class _PowerError(BaseException):
    """The power is gone."""


def _begin(world: World, key: str, path: Path) -> bytes:
    """A registration that the server took, by a program that ended before it kept the answer."""
    with (
        patch("coffret.flows.registering.save_app", side_effect=_PowerError),
        pytest.raises(_PowerError),
    ):
        _register(world, key, path)
    return path.read_bytes()


def test_a_program_that_ended_goes_on(either: World) -> None:
    """What it left is no app, and the next call makes one of it, as often as it ends again."""
    path, key = either.place() / "app.json", _key(either)
    begun = _begin(either, key, path)
    with pytest.raises(ConflictError, match="not finished"):
        either.face.load_app(path)
    assert _begin(either, key, path) == begun
    app = _register(either, key, path)
    _check_works(either, app)
    with Developer(either.url, key) as developer:
        assert len(developer.api_keys(app.info.app_id)) == 1


@pytest.mark.usefixtures("one_try")
def test_a_registration_is_finished_after_the_server_forgot_its_answer(
    world: World, server_clock: Clock
) -> None:
    """A server gives an answer again for a day; after that the app has another API key."""
    network, path, key = Losing(), world.place() / "app.json", _key(world)
    network.lose = once("POST", "/apps")
    with pytest.raises(NetworkError):
        _register(world, key, path, transport=network)
    server_clock.forward(days=2)
    world.clock.forward(days=2)
    try:
        network.lose = once("POST", "/apps/")
        with pytest.raises(NetworkError):
            _register(world, key, path, transport=network)
        app = _register(world, key, path)
        _check_works(world, app)
        with Developer(world.url, key) as developer:
            assert len(developer.api_keys(app.info.app_id)) == 2
    finally:
        server_clock.offset = timedelta()


def test_a_developer_with_too_many_apps_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks for another developer then, and with one app less the same call goes on."""
    key, path = _key(world), world.place() / "app.json"
    first = _register(world, key, world.place() / "first.json")
    monkeypatch.setattr("coffret_server.control.developers.APPS_LIMIT", 1)
    with pytest.raises(ConflictError, match="too many apps") as refused:
        _register(world, key, path)
    assert "delete an app" in str(refused.value.hint)
    with Developer(world.url, key) as developer:
        developer.delete_app(first.info.app_id)
    _check_works(world, _register(world, key, path))


@pytest.mark.usefixtures("one_try")
def test_another_developer_does_not_finish_it(world: World) -> None:
    """The app stays with whom registered it, and its keys stay where they are."""
    network, path, key = Losing(), world.place() / "app.json", _key(world)
    network.lose = once("POST", "/apps")
    with pytest.raises(NetworkError):
        _register(world, key, path, transport=network)
    begun = path.read_bytes()
    with pytest.raises(ConflictError, match="another developer"):
        _register(world, _key(world, "Eve"), path)
    with pytest.raises(SessionError, match="developer key"):
        _register(world, "cfd_wrong", path)
    assert path.read_bytes() == begun
    _check_works(world, _register(world, key, path))


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize(
    "said",
    [{"name": "Other"}, {"homepage": "https://other.example"}, {"url": "https://other.example"}],
)
def test_another_app_does_not_take_the_place_of_one_that_was_begun(
    world: World, said: dict[str, str]
) -> None:
    """It is said what stands there; nothing is sent, and nothing is lost."""
    network, path, key = Losing(), world.place() / "app.json", _key(world)
    network.lose = once("POST", "/apps")
    with pytest.raises(NetworkError):
        _register(world, key, path, transport=network)
    begun, sent = path.read_bytes(), Recorder()
    with pytest.raises(ConflictError, match="not finished"):
        _register(world, key, path, transport=sent, **said)
    assert sent.requests == []
    assert path.read_bytes() == begun


def test_what_the_server_refuses_leaves_no_file(either: World) -> None:
    """Nobody knows those keys: another try with a better name or key begins anew."""
    path = either.place() / "app.json"
    with pytest.raises(SessionError, match="developer key"):
        _register(either, "cfd_wrong", path)
    assert not path.exists()
    key = _key(either)
    with pytest.raises(InputError):
        _register(either, key, path, name="\U000e0fff")  # assigned in no Unicode
    assert not path.exists()
    for said in ({"name": ""}, {"homepage": "http://x.example"}):
        with pytest.raises(InputError):
            _register(either, key, path, **said)
    with pytest.raises(InputError, match="developer key"):
        _register(either, "two\nlines", path)
    assert not path.exists()
    with pytest.raises(NotFoundError):
        App.load(path)
    _check_works(either, _register(either, key, path))


@pytest.mark.usefixtures("one_try")
def test_what_the_server_may_have_taken_is_kept(world: World) -> None:
    """A server that fails, or that says what cannot be: the next call finds out."""
    path, key, network = world.place() / "app.json", _key(world), Evil()
    another = {"app_id": "00000000-0000-7000-8000-000000000000", "api_key": "k"}
    network.rewrite["/apps"] = lambda _: httpx.Response(500)
    with pytest.raises(ServerError):
        _register(world, key, path, transport=network)
    begun = path.read_bytes()
    network.rewrite["/apps"] = lambda _: another
    with pytest.raises(TrustError):
        _register(world, key, path, transport=network)
    assert path.read_bytes() == begun
    _check_works(world, _register(world, key, path))


@pytest.mark.parametrize("there", [b"", b"notes of mine", b'{"origin": 1}', None])
def test_a_file_that_is_something_else_stays(world: World, there: bytes | None) -> None:
    """It may be anything; a folder or a link to nowhere is no place for keys either."""
    path, key = world.place() / "app.json", _key(world)
    path.parent.mkdir()
    if there is None:
        path.symlink_to("nowhere")
    else:
        path.write_bytes(there)
    sent = Recorder()
    with pytest.raises(ConflictError, match="already"):
        _register(world, key, path, transport=sent)
    assert sent.requests == []
    assert path.is_symlink() or path.read_bytes() == there
    if there is not None:
        with pytest.raises(StoreDamagedError):
            App.load(path)


def test_a_folder_that_cannot_be_written_is_noticed_before_anything_is_sent(world: World) -> None:
    """A full disk costs no app."""
    path, key, sent = world.place() / "app.json", _key(world), Recorder()
    with patch("os.fsync", side_effect=OSError), pytest.raises(StoreError):
        _register(world, key, path, transport=sent)
    assert not path.exists()
    (world.folder / "plain").write_bytes(b"")
    with pytest.raises(StoreError):
        _register(world, key, world.folder / "plain" / "app.json", transport=sent)
    assert sent.requests == []


def test_two_processes_that_register_one_file_have_one_app(world: World) -> None:
    """The one that finds what the other has begun goes on with it; both have the same keys."""
    path, key = world.place() / "app.json", _key(world)
    apps: list[App] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        try:
            apps.append(_register(world, key, path))
        except ConflictError:  # the other was done already
            apps.append(App.load(path, **world.around()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({app.info.app_id for app in apps}) == 1
    for app in apps:
        assert app._state.file == load_app(path)
    _check_works(world, apps[0])


def test_a_running_app_does_not_write_over_a_registration(world: World) -> None:
    """Where its file was taken away and another app was begun in its place, that stays."""
    app = world.app()
    path = app._state.path
    path.unlink()
    app._state.owners.path.unlink()
    begun = _begin(world, _key(world), path)
    with pytest.raises(ConflictError):
        app.use_api_key("cfa_other")
    with pytest.raises(StoreDamagedError):
        ask(app, world.owner())
    assert path.read_bytes() == begun


def test_no_app_is_begun_beside_what_another_one_knows_of_owners(world: World) -> None:
    """Where the keys were lost from beside it, that is said before the server is told of others."""
    app, key, sent = world.app(), _key(world), Recorder()
    path, beside = app._state.path, app._state.owners.path
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(ConflictError, match="another app"):
        _register(world, key, path, transport=sent)
    assert not sent.requests
    assert not path.exists()
    path.write_bytes(kept)
    assert world.closing(App.load(path, **world.around())).info == app.info
    path.unlink()
    beside.unlink()
    _check_works(world, _register(world, key, path))
