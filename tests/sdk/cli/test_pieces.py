"""The command's small pieces: forms, names, options, places, private files, kept keys."""

from __future__ import annotations

import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.backends.null import Keyring as NullKeyring

from cli_harness import Cli, no_keyring
from coffret.arguments import search_of
from coffret.cli.approval import Choice, check_choice, chosen_memories, chosen_scopes
from coffret.cli.asking import PASSPHRASE, Asker
from coffret.cli.form import changes_in, read_form, write_form
from coffret.cli.naming import full_id, short
from coffret.cli.options import labels_of, moment, narrowed, span
from coffret.cli.places import check_name, find_places
from coffret.cli.private import private_folder, write_private
from coffret.cli.secret_key import find_secret_key, keep_secret_key, keyring_name, load_profile
from coffret.cli.showing import local_minute
from coffret.cli.writing import Writer, _sentence, clean
from coffret.finding import Search
from coffret.sharing import AccessRequestInfo, AppInfo, Selection
from coffret_vault.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    StoreDamagedError,
    StoreError,
)
from coffret_vault.records.memory import Fields, Memory, from_micros

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDS = ["01a20000-0000-7000-8000-0000aaaa1111", "01a20000-0000-7000-8000-0000bbbb2222"]


class Kept(KeyringBackend):
    """A keyring that works, in memory."""

    priority = 5

    def __init__(self) -> None:
        """Empty."""
        super().__init__()  # type: ignore[no-untyped-call]  # the library has no types
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        """What was set."""
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Set."""
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget."""
        del self.held[service, username]


@pytest.fixture(autouse=True)
def without_keyring() -> Iterator[None]:
    """No test touches the keyring of the machine."""
    no_keyring()
    yield
    no_keyring()


def memory(identifier: str) -> Memory:
    """A memory by this id."""
    return Memory(content="c", id=identifier, version=1, author="owner", created=NOW, updated=NOW)


def request() -> AccessRequestInfo:
    """A request for reading and writing two memories, for ten days."""
    return AccessRequestInfo(
        request_id=IDS[0],
        app=AppInfo("id", "App", "https://a.example", "words"),
        state="pending",
        scopes=frozenset(("read", "create")),
        selection=Selection(everything=True),
        purpose="p",
        retention="",
        duration=timedelta(days=10),
        standing=False,
        created=NOW,
        matching=tuple(map(memory, IDS)),
    )


@pytest.mark.parametrize(
    "fields",
    [
        Fields(content="plain"),
        Fields(content="---\ntitle: x\n---\n", title='a: "b" #c', tags=("x y", "ü", "007", "no")),
        Fields(content="\n\nspaces  \n", summary="two\nlines", labels={"a": "1", "b": "null"}),
        Fields(
            content="x", title="\u202ebidi\x00\x7f", importance=0.5, confidence=1.0, sealed=True
        ),
    ],
)
def test_a_form_that_nobody_touched_changes_nothing(fields: Fields) -> None:
    """Whatever a memory holds, writing its form and reading it back is no change."""
    assert changes_in(write_form(fields), fields) == {}
    assert changes_in(write_form(fields).replace("\n", "\r\n"), fields).get("title") is None


def test_a_form_gives_what_was_changed_and_only_that() -> None:
    """Fields and content are told apart, and what is as it was is not among them."""
    before = Fields(content="old", title="T", tags=("a",))
    text = write_form(before).replace("old", "new").replace('["a"]', "[a, b]")
    assert changes_in(text, before) == {"content": "new", "tags": ["a", "b"]}


@pytest.mark.parametrize(
    "text", ["", "no form", "---\nbogus: 1\n---\nx", "---\nimportance: high\n---\nx"]
)
def test_a_form_that_is_none_is_refused(text: str) -> None:
    """The message says what is wrong; nothing is guessed."""
    with pytest.raises(InputError):
        read_form(text)


def test_ids_are_named_by_their_end() -> None:
    """A whole id is taken as it is; an end has to be long enough and of one id only."""
    assert full_id(IDS[0].upper(), [], "memory") == IDS[0]
    assert full_id(short(IDS[1]), IDS, "memory") == IDS[1]
    with pytest.raises(NotFoundError):
        full_id("cccc", IDS, "memory")
    with pytest.raises(InputError):
        full_id("222", IDS, "memory")
    with pytest.raises(InputError):
        full_id("0aaaa1111", [IDS[0], "x" + IDS[0][1:]], "memory")


def test_options_are_read_or_refused() -> None:
    """Times, lengths of time and labels; what is none of them is an input error."""
    assert moment("2026-01-01") == NOW
    assert moment("2026-01-01T01:00+01:00") == NOW
    assert moment(None) is None
    most = timedelta(days=1)
    assert [span(text, most=most).total_seconds() for text in ("90s", "15m", "2h", "1d", "3")] == [
        90,
        900,
        7200,
        86_400,
        180,
    ]
    assert labels_of(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    for text in ("", "0s", "25h", "1w", "m", "9999999s"):
        with pytest.raises(InputError):
            span(text, most=most)
    with pytest.raises(InputError):
        labels_of(["=x"])
    with pytest.raises(InputError):
        moment("tomorrow")


def test_memories_are_chosen_by_number_range_and_id() -> None:
    """Numbers count only beside the list; what is not in it is refused."""
    matching = [memory(identifier) for identifier in IDS]
    both = frozenset(IDS)
    assert chosen_memories("1-2", matching, by_number=True) == both
    assert chosen_memories("1, bbbb2222", matching, by_number=True) == both
    assert chosen_memories("", matching, by_number=True) == frozenset()
    assert chosen_memories(None, matching, by_number=True) is None
    for text in ("0", "3", "2-1", "1-9"):
        with pytest.raises(InputError):
            chosen_memories(text, matching, by_number=True)
    with pytest.raises(InputError):
        chosen_memories("1", matching, by_number=False)


@pytest.mark.parametrize(
    "choice",
    [
        Choice(days=11),
        Choice(days=0),
        Choice(days=-1),
        Choice(days=float("nan")),
        Choice(days=1e300),
        Choice(standing=True),
    ],
)
def test_a_choice_that_widens_is_refused(choice: Choice) -> None:
    """Longer, endless, or for later memories that were not asked for."""
    with pytest.raises(InputError):
        check_choice(choice, request())


def test_scopes_are_some_of_those_asked_for() -> None:
    """None, or others, are refused."""
    assert chosen_scopes("READ", request()) == frozenset({"read"})
    assert chosen_scopes(None, request()) is None
    for text in ("", "delete", "read,delete"):
        with pytest.raises(InputError):
            chosen_scopes(text, request())


def test_places_are_the_platforms_or_below_a_home(tmp_path: Path) -> None:
    """A home takes everything; a session's folder is used where it is named; names are checked."""
    home = find_places(str(tmp_path), {"XDG_RUNTIME_DIR": "/run/user/1"})
    assert {home.config, home.data, home.runtime} == {
        tmp_path / name for name in ("config", "data", "run")
    }
    platform = find_places(None, {"XDG_RUNTIME_DIR": "/run/user/1"})
    assert platform.runtime == Path("/run/user/1/coffret")
    assert find_places(None, {"XDG_RUNTIME_DIR": "x"}).runtime == platform.data / "run"
    for name in ("", "..", "a/b", "A", "a" * 65, ".a"):
        with pytest.raises(InputError):
            check_name(name)


def test_each_option_narrows_by_its_own_name() -> None:
    """None is taken for another, and what was not said narrows nothing."""
    days, last = ("2026-01-01", "2026-01-02"), ("notes", "2026-01-03")
    wanted = narrowed(["t"], ["u"], ["fact"], ["owner"], ["a=b"], ["m=n=o"], 0.5, *days, *last)
    assert wanted == {
        "tags": ["t"],
        "any_tags": ["u"],
        "types": ["fact"],
        "authors": ["owner"],
        "labels": {"a": "b"},
        "metadata": {"m": "n=o"},
        "importance": 0.5,
        "since": NOW,
        "until": NOW + timedelta(days=1),
        "source": "notes",
        "valid_on": NOW + timedelta(days=2),
    }
    assert search_of(narrowed(*[None] * 11)) == Search()


def test_a_home_that_nobody_has_is_an_error(tmp_path: Path) -> None:
    """Named by an option, by the environment or before a file's name: a sentence, and no trace."""
    cli = Cli(tmp_path)
    for named in ({"COFFRET_HOME": "~nobody-here/x"}, {}):
        option = () if named else ("--home", "~nobody-here/x")
        assert "user who is not there" in cli(*option, "status", code=2, **named).err
    said: list[str] = []
    asker = Asker(said.append, {"COFFRET_PASSPHRASE_FILE": "~nobody-here/x"})
    with pytest.raises(InputError, match="cannot be read"):
        asker.secret(PASSPHRASE)


def test_a_deep_home_still_has_a_socket(tmp_path: Path) -> None:
    """Its path stays within what the system takes, and is another for each vault."""
    places = find_places(str(tmp_path / ("deep" * 30)), {})
    assert len(os.fsencode(places.socket("a"))) <= 100
    assert places.socket("a") != places.socket("b")


def test_private_files_are_private_and_whole(tmp_path: Path) -> None:
    """0600 whatever the umask; written whole or not at all; replaced only when allowed."""
    path = tmp_path / "new" / "file"
    assert write_private(path, [b"a", b"bc"]) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def failing() -> Iterator[bytes]:
        yield b"x"
        raise StoreError

    with pytest.raises(StoreError):
        write_private(path, failing())
    assert path.read_bytes() == b"abc"
    assert [item.name for item in path.parent.iterdir()] == ["file"]
    with pytest.raises(ConflictError):
        write_private(path, [b"z"], replace=False)
    with pytest.raises(StoreError):
        write_private(path / "below", [b"z"])


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_was_made_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    """What another program writes under that name until ours is whole stays, links or no links."""
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    path = tmp_path / "kit.txt"

    def meanwhile() -> Iterator[bytes]:
        yield b"ours"
        path.write_bytes(b"theirs")

    with pytest.raises(ConflictError, match="there already"):
        write_private(path, meanwhile(), replace=False)
    assert path.read_bytes() == b"theirs"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConflictError, match="there already"):
        write_private(path, [b"ours"], replace=False)
    path.unlink()
    assert write_private(path, [b"ours"], replace=False) == 4
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"ours", 0o600)
    assert [item.name for item in tmp_path.iterdir()] == ["kit.txt"]


def _no_links(*_: object, **_named: object) -> None:
    raise PermissionError


def test_a_private_folder_is_a_folder_of_ours_alone(tmp_path: Path) -> None:
    """A link, or one that others can enter, is refused."""
    folder = private_folder(tmp_path / "a")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o750)
    (tmp_path / "file").write_text("")
    for name in ("link", "open", "file"):
        with pytest.raises(StoreError):
            private_folder(tmp_path / name)


def test_the_secret_key_goes_to_the_keyring_if_there_is_one(tmp_path: Path) -> None:
    """And is found there again; nothing of it is in a file."""
    backend = Kept()
    keyring.set_keyring(backend)
    places = find_places(str(tmp_path), {})
    assert keep_secret_key(places, "v", "account", "CF1-X", None) == "keyring"
    assert find_secret_key(places, "v") == "CF1-X"
    assert not places.secret_key("v").exists()
    backend.held.clear()
    assert find_secret_key(places, "v") is None


@pytest.mark.parametrize("backend", [NoKeyring, NullKeyring])
def test_a_keyring_that_keeps_nothing_is_none(
    backend: type[KeyringBackend], tmp_path: Path
) -> None:
    """The fail and null back ends are passed over for a file; wanted, they are refused."""
    keyring.set_keyring(backend())
    places = find_places(str(tmp_path), {})
    assert keyring_name() is None
    assert keep_secret_key(places, "v", "account", "CF1-X", None) == "file"
    assert find_secret_key(places, "v") == "CF1-X"
    with pytest.raises(InputError):
        keep_secret_key(places, "v", "account", "CF1-X", "keyring")
    assert keep_secret_key(places, "n", "account", "CF1-X", "none") == "none"
    assert find_secret_key(places, "n") is None
    assert find_secret_key(places, "absent") is None


def test_a_damaged_profile_is_said_to_be_one(tmp_path: Path) -> None:
    """It is not taken for a vault without settings."""
    places = find_places(str(tmp_path), {})
    write_private(places.profile("v"), [b"not json"])
    with pytest.raises(StoreDamagedError):
        load_profile(places, "v")


def test_text_for_people_keeps_its_lines_and_loses_its_tricks() -> None:
    """Line ends and spaces stay; control and bidirectional characters go."""
    assert clean("a\nb\tc\x1b[0m\u202ed\x85e") == "a\nb   c[0md\ne"


@pytest.mark.parametrize("text", ["👩\u200d👩\u200d👧", "\u0645\u06cc\u200c\u0634\u0648\u062f"])
def test_joiners_of_words_and_emoji_stay(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A family is not shown as three people, nor a Persian word as two, in texts or tables."""
    assert clean(text) == text
    Writer().table(("A",), [(text,)])
    assert capsys.readouterr().out == f"{text}\n"


def test_a_sentence_begins_as_one_and_a_file_keeps_its_name() -> None:
    """Messages are made sentences; the name of a file is what is typed, small letters and all."""
    assert _sentence("nothing was changed") == "Nothing was changed."
    assert _sentence("kit.txt is there already") == "kit.txt is there already."
    assert _sentence("a/b is there already") == "a/b is there already."
    assert _sentence("done!") == "Done!"
    assert _sentence("") == ""


def test_a_day_beyond_the_calendar_stops_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server can name any moment; one that a time zone has no day for is shown as it is."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        assert local_minute(from_micros(2**63 - 1)) == "9999-12-31 23:59"
    finally:
        monkeypatch.undo()
        time.tzset()
