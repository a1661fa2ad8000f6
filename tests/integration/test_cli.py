"""The command line of an owner, over a real server: every command, done and refused."""

from __future__ import annotations

import json
import stat
import uuid
from typing import TYPE_CHECKING

import pytest

from cli_harness import PASSPHRASE, Cli, code_in, new_name
from coffret.testing import Server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def username() -> str:
    """A username of a test's own."""
    return new_name("owner")


@pytest.fixture
def owner(cli: Cli, url: str, username: str) -> Cli:
    """A person's command line with a vault; the username is the test's own."""
    cli.init(url, username)
    return cli


def test_init_prints_the_kit_and_keeps_the_secret_key_in_a_private_file(cli: Cli, url: str) -> None:
    """Without a keyring, init says so, shows the kit once, and writes the key as 0600."""
    ran = cli("init", "--server", url, "--username", "initprints")
    assert "CF1-" in ran.out
    assert "CR1-" in ran.out
    assert "there is no keyring" in ran.out
    kept = cli.home / "config/vaults/default/secret-key"
    assert kept.read_text().strip() == code_in(ran.out, "CF1")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_init_writes_the_kit_to_a_private_file_instead(cli: Cli, url: str) -> None:
    """With --kit, no secret reaches the terminal; a file that is there is never replaced."""
    kit = cli.home / "kit.txt"
    ran = cli("init", "--server", url, "--username", "kitfile", "--kit", str(kit))
    assert "CF1-" not in ran.out + ran.err
    assert "CR1-" in kit.read_text()
    assert stat.S_IMODE(kit.stat().st_mode) == 0o600
    words = ("init", "--server", url, "--username", "kitfile2", "--kit", str(kit))
    cli(*words, code=7)


def test_init_refuses(owner: Cli, url: str, tmp_path: Path, username: str) -> None:
    """A second vault in one place, a taken or bad username and a bad address are refused."""
    owner("init", "--server", url, "--username", "somebody", code=7)
    other = Cli(tmp_path / "other")
    taken = other("init", "--server", url, "--username", username, code=7)
    assert taken.err.count("username is taken") == 1
    assert "coffret login" in taken.err
    other("init", "--server", url, "--username", "UPPER CASE", code=2)
    other("init", "--server", "http://example.org", "--username", "fine", code=2)
    away = other("init", "--server", "http://127.0.0.1:9", "--username", "fine", code=10)
    said = "coffret: The server at http://127.0.0.1:9 could not be reached: nothing listens there."
    assert away.err.strip() == said
    other("init", "--username", "fine", code=2)
    other("init", "--server", url, "--username", "fine", "--secret-key-store", "keyring", code=2)
    assert not [path for path in other.home.glob("data/**/*") if path.is_file()]


@pytest.mark.parametrize(
    ("wrong", "code", "named"),
    [
        (("--username", "UPPER"), 2, "A username is 3 to 64"),
        (("--server", "http://127.0.0.1:9"), 10, "http://127.0.0.1:9 could not be reached"),
    ],
)
@pytest.mark.parametrize("command", ["init", "login", "recover"])
def test_a_secret_is_asked_for_when_the_rest_is_right(
    tmp_path: Path, url: str, command: str, wrong: tuple[str, str], code: int, named: str
) -> None:
    """Nobody types a passphrase before a wrong username or address is named."""
    right = {"--server": url, "--username": "fine"}
    words = [word for pair in (right | dict([wrong])).items() for word in pair]
    assert named in Cli(tmp_path)(command, *words, COFFRET_PASSPHRASE_FILE="gone", code=code).err


def test_login_brings_everything_and_says_it_cannot_know_the_past(
    owner: Cli, url: str, tmp_path: Path, username: str
) -> None:
    """A second device with passphrase and Secret Key, line by line on stdin, has the memories."""
    owner("remember", "what both devices know")
    key = (owner.home / "config/vaults/default/secret-key").read_text()
    other = Cli(tmp_path / "other")
    words = ("login", "--server", url, "--username", username)
    ran = other(*words, stdin=f"{PASSPHRASE}\n{key}", COFFRET_PASSPHRASE_FILE="")
    assert "1 memory" in ran.out
    assert "cannot tell whether" in ran.out
    assert other("list", "--json").data()[0]["content"] == "what both devices know"


def test_login_refuses(owner: Cli, url: str, tmp_path: Path, username: str) -> None:
    """A wrong passphrase or user is exit code 4; a mistyped Secret Key is caught as a typo."""
    key = (owner.home / "config/vaults/default/secret-key").read_text().strip()
    other = Cli(tmp_path / "other")
    words = ("login", "--server", url, "--username", username)
    other(*words, stdin=f"wrong\n{key}\n", code=4, COFFRET_PASSPHRASE_FILE="")
    mistyped = key[:-1] + ("0" if key[-1] != "0" else "1")
    typo = other(*words, "--json", stdin=f"{mistyped}\n", code=2)
    assert typo.error()["code"] == "code-typo"
    assert mistyped not in typo.err
    nobody = ("login", "--server", url, "--username", "nobody.at.all")
    other(*nobody, stdin=f"{key}\n", code=4)
    assert other("status", code=6).err.startswith("coffret: ")


def test_recover_gives_a_new_passphrase_and_secret_key(cli: Cli, url: str, tmp_path: Path) -> None:
    """The recovery code alone opens the vault; a mistyped one is caught; old keys are void."""
    kit = cli.init(url, "recovering")
    cli("remember", "worth recovering")
    code = code_in(kit, "CR1")
    other = Cli(tmp_path / "other")
    words = ("recover", "--server", url, "--username", "recovering")
    other(*words, stdin=code[:-2] + "\n", code=2)
    lines = f"{code}\nnew passphrase\n"
    ran = other(*words, stdin=lines, COFFRET_PASSPHRASE_FILE="")
    assert code_in(ran.out, "CF1") != code_in(kit, "CF1")
    other.passphrase.write_text("new passphrase")
    assert "worth recovering" in other("list").out
    third = Cli(tmp_path / "third")
    old = f"{PASSPHRASE}\n{code_in(kit, 'CF1')}\n"
    login = ("login", "--server", url, "--username", "recovering")
    third(*login, stdin=old, code=4, COFFRET_PASSPHRASE_FILE="")


def test_recover_takes_the_new_passphrase_where_both_are_named(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """The one that may have leaked does not become the new one because its file is named too."""
    kit = cli.init(url, "renewing")
    new = tmp_path / "new"
    new.write_text("newly chosen\n")
    new.chmod(0o600)
    other = Cli(tmp_path / "other")
    words = ("recover", "--server", url, "--username", "renewing")
    line = code_in(kit, "CR1") + "\n"
    other(*words, stdin=line, COFFRET_NEW_PASSPHRASE_FILE=str(new))
    other("list", code=4)
    other("list", COFFRET_PASSPHRASE_FILE=str(new))


def test_a_kit_confirms_a_fresh_device(cli: Cli, url: str, tmp_path: Path) -> None:
    """A device that logged in is unconfirmed until it is compared with the kit, piped or a file."""
    kit = cli.init(url, "confirming")
    other = Cli(tmp_path / "other")
    words = ("login", "--server", url, "--username", "confirming")
    assert "coffret confirm" in other(*words, stdin=f"{code_in(kit, 'CF1')}\n").out
    assert not other("status", "--json").data()["confirmed"]
    other("confirm", stdin="not a kit", code=2)
    other("confirm", "-", stdin='{"head": 1}' + "{" * 5_000, code=2)
    (tmp_path / "kit.txt").write_text(kit, encoding="utf-8")
    assert other("confirm", str(tmp_path / "kit.txt"), "--json").data() == {
        "confirmed": 3,
        "entries": 3,
    }
    shown = other("status", "--json")
    assert shown.data()["confirmed"]
    assert other("confirm", "-", "--json", stdin=shown.out).data()["confirmed"] == 3


def test_a_wrong_passphrase_opens_nothing(owner: Cli) -> None:
    """Each command that needs keys says so in one line, with exit code 4 and no traceback."""
    owner.passphrase.write_text("not the passphrase\n")
    for words in (("list",), ("tags",), ("search", "x"), ("sync",), ("remember", "x")):
        ran = owner(*words, code=4)
        assert len(ran.err.splitlines()) == 1
        assert "Traceback" not in ran.err


def test_a_secret_key_that_is_not_kept_is_asked_for(cli: Cli, url: str) -> None:
    """With --secret-key-store none nothing is written, and the key comes from a named file."""
    words = ("init", "--server", url, "--username", "keepsnone", "--secret-key-store", "none")
    key = code_in(cli(*words).out, "CF1")
    assert not (cli.home / "config/vaults/default/secret-key").exists()
    assert cli("list", stdin=key + "\n").code == 0
    file = cli.home / "key"
    file.write_text(key)
    file.chmod(0o600)
    cli("list", COFFRET_SECRET_KEY_FILE=str(file))
    cli("--secret-key-file", str(file), "tags")
    cli("list", code=2)


def test_remember_takes_content_as_argument_and_from_stdin(owner: Cli) -> None:
    """Every field arrives, and so does what was piped in."""
    words = ("--title", "T", "-t", "a", "-t", "b", "--importance", "0.25", "--type", "fact")
    more = ("--summary", "S", "--confidence", "0.5", "--source", "me", "--label", "k=v")
    made = owner("remember", "C", *words, *more, "--created", "2020-02-03", "--json").data()
    expected = {
        "content": "C",
        "title": "T",
        "tags": ["a", "b"],
        "importance": 0.25,
        "type": "fact",
        "summary": "S",
        "confidence": 0.5,
        "source": "me",
        "labels": {"k": "v"},
        "created": "2020-02-03T00:00:00Z",
        "version": 1,
        "author": "owner",
    }
    assert expected.items() <= made.items()
    piped = owner("remember", "-", "--sealed", "--json", stdin="two\nlines\n").data()
    assert (piped["content"], piped["sealed"]) == ("two\nlines", True)


def test_remember_with_an_id_of_ones_own_writes_once(owner: Cli) -> None:
    """Said again with its id, a memory is the one that is there; said otherwise, it is refused."""
    chosen = str(uuid.uuid4())
    first = owner("remember", "once", "--id", chosen, "--json").data()
    again = owner("remember", "once", "--id", chosen, "--json").data()
    assert (first["id"], again) == (chosen, first)
    owner("remember", "something else", "--id", chosen, code=7)
    owner("remember", "x", "--id", "no id", code=2)
    assert [memory["content"] for memory in owner("list", "--json").data()] == ["once"]


def test_remember_refuses(owner: Cli) -> None:
    """Blank, oversized and badly described memories are exit code 2, and nothing is written."""
    owner("remember", " ", code=2)
    owner("remember", "-", stdin="x" * 10_000_000, code=2)
    owner("remember", "x", "--importance", "7", code=2)
    owner("remember", "x", "--label", "novalue", code=2)
    owner("remember", "x", "--created", "yesterday", code=2)
    for never_kept in ("1965-03-04", "9999-12-31"):  # a vault would say 1970, and today
        assert "1970" in owner("remember", "x", "--created", never_kept, code=2).err
    assert owner("list", "--json").data() == []


def test_content_on_stdin_is_never_taken_for_the_passphrase(owner: Cli) -> None:
    """With nothing to unlock by, piped content is refused rather than read as a passphrase."""
    ran = owner("remember", "-", stdin="my diary", code=2, COFFRET_PASSPHRASE_FILE="")
    assert "coffret unlock" in ran.err
    assert "my diary" not in ran.err


def test_list_show_tags_and_history(owner: Cli) -> None:
    """Memories are listed by filters, named by the end of their id, and have a history."""
    one = owner("remember", "first words", "--title", "One", "-t", "x", "--json").data()["id"]
    owner("remember", "second", "-t", "x", "-t", "y", "--importance", "0.9")
    assert len(owner("list").out.splitlines()) == 2
    assert len(owner("list", "--tag", "y", "--json").data()) == 1
    assert len(owner("list", "--importance", "0.5", "--json").data()) == 1
    assert len(owner("list", "-n", "1", "--json").data()) == 1
    assert owner("list", "--author", "somebody", "--json").data() == []
    assert "first words" in owner("show", one[-8:]).out
    assert owner("show", one, "--json").data()["title"] == "One"
    assert owner("tags", "--json").data() == [
        {"tag": "x", "memories": 2},
        {"tag": "y", "memories": 1},
    ]
    owner("edit", one, "--title", "Uno")
    versions = owner("history", one[-6:], "--json").data()
    assert [item["memory"]["title"] for item in versions] == ["One", "Uno"]
    owner("show", "ffffffff", code=6)
    owner("show", "fff", code=2)
    owner("history", "01a20000-0000-7000-8000-000000000000", code=6)


def test_forget_asks_and_forgets(owner: Cli) -> None:
    """Without --yes, and nobody to ask, nothing is deleted; then it is, and is not found."""
    made = owner("remember", "gone soon", "--json").data()["id"]
    owner("forget", made, code=2)
    assert owner("forget", made[-8:], "--yes", "--json").data() == {"forgotten": [made]}
    owner("forget", made, "--yes", code=6)
    owner("show", made, code=6)


def test_import_resumes_and_reports(owner: Cli, tmp_path: Path) -> None:
    """What was imported is kept, what changed is updated, what cannot be read is named."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("a", "b"):
        (notes / f"{name}.md").write_text(f"# {name}\n\ntext of {name}\n")
    (notes / "bad.md").write_bytes(b"\xff\xfe\x00bad\xff")
    first = owner("import", str(notes), "--json").data()
    assert (first["created"], first["unchanged"], len(first["skipped"])) == (2, 0, 1)
    (notes / "b.md").write_text("# b\n\nother text\n")
    (notes / "c.md").write_text("# c\n\ntext of c\n")
    again = owner("import", str(notes))
    assert "1 created, 1 updated, 1 unchanged, 1 skipped." in again.out
    assert "bad.md" in again.out
    assert "not there any more" not in again.out
    (notes / "b.md").unlink()
    (gone,) = owner("import", str(notes), "--json").data()["gone"]
    assert (gone["source"], gone["title"]) == ("notes/b.md", "b")
    told = owner("import", str(notes)).out
    assert "1 memory imported before and not there any more" in told
    assert f"  {gone['id']}  notes/b.md  b" in told
    owner("import", str(tmp_path / "nothing"), code=2)


def test_export_is_private_and_never_replaces_unasked(owner: Cli, tmp_path: Path) -> None:
    """The file is 0600, comes with a warning, and replaces another only when told to."""
    owner("remember", "kept for export")
    file = tmp_path / "all.jsonl"
    ran = owner("export", str(file))
    assert "plaintext" in ran.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    owner("export", str(file), code=7)
    owner("export", str(file), "--force")
    assert "kept for export" in owner("export", "-").out
    assert json.loads(file.read_text().splitlines()[0])["format"] == "coffret-export"
    assert str(tmp_path / "no") in owner("export", str(tmp_path / "no" / "all.jsonl"), code=2).err
    assert not (tmp_path / "no").exists()
    (tmp_path / "file").write_text("")
    owner("export", str(tmp_path / "file" / "x"), code=2)


def test_sync_status_and_server_view(owner: Cli) -> None:
    """Where the vault stands is told without a passphrase; the server holds no word of it."""
    owner("remember", "unseen content words", "--title", "seen title", "-t", "seentag")
    nothing = {"entries": 0, "records": 0, "pending": 0, "unkept": 0, "sent": 0, "unwritten": []}
    assert owner("sync", "--json").data() == nothing
    status = owner("status", "--json", COFFRET_PASSPHRASE_FILE="").data()
    assert (status["memories"], status["locked"], status["confirmed"]) == (1, True, True)
    view = owner("server-view", "--json")
    assert "seentag" in view.out
    assert "unseen content words" not in view.out
    shown = owner("server-view").out
    assert "memories: 1 of 1 rows" in shown
    assert "title: seen title; tags: seentag; importance: " in shown
    assert "This is every row." in shown
    less = owner("server-view", "--rows", "1").out
    assert "entries: 1 of " in less
    assert "Not every row is shown" in less


def test_doctor_says_what_is_well_and_what_is_not(owner: Cli, tmp_path: Path) -> None:
    """All is well at first; a damaged store and an unreachable server are found, with advice."""
    well = owner("doctor", "--json").data()
    assert well["well"]
    assert {"version", "store", "server", "clock", "keyring"} <= {
        check["name"] for check in well["checks"]
    }
    assert (
        "Is http://127.0.0.1:9 running"
        in owner("doctor", "--server", "http://127.0.0.1:9", code=1).out
    )
    assert "a1b2" not in owner("doctor", "--server", "http://u:a1b2@127.0.0.1:9", code=1).out
    (owner.home / "data/vaults/default/store.db").write_bytes(b"not a database" * 1000)
    assert "damaged" in owner("doctor", code=1).out
    owner("list", code=9)
    Cli(tmp_path / "none")("doctor")


def test_several_vaults_live_side_by_side(owner: Cli, url: str) -> None:
    """--vault keeps them apart; a name that cannot be a folder's is refused."""
    words = ("init", "--server", url, "--username", "second.vault", "--json")
    owner("--vault", "work", *words)
    owner("--vault", "work", "remember", "at work")
    assert owner("list", "--json").data() == []
    assert len(owner("--vault", "work", "list", "--json").data()) == 1
    owner("--vault", "../up", "list", code=2)
    owner("--vault", "absent", "list", code=6)


def test_titles_lose_control_and_bidirectional_characters(owner: Cli) -> None:
    """What a terminal would act on is left out for people and escaped in JSON; [b] is no markup."""
    title = "a\u202eb\x1b[31mc [bold]d"
    made = owner("remember", "x\u2066y\x07z", "--title", title, "--json")
    assert "\u202e" not in made.out
    assert made.data()["title"] == title
    for words in (("list",), ("show", made.data()["id"]), ("history", made.data()["id"])):
        out = owner(*words).out
        assert not set(out) & set("\u202e\u2066\x1b\x07")
        assert "[bold]d" in out


def test_a_server_that_is_gone_is_exit_code_10_and_loses_nothing(
    tmp_path: Path, username: str
) -> None:
    """What is on the device is still listed and searched; what needs the server says so."""
    cli = Cli(tmp_path / "home")
    with Server() as server:
        cli.init(server.url, username)
        cli("remember", "still here", "--tag", "home")
    assert cli("sync", "--json", code=10).error()["exit_code"] == 10
    cli("remember", "not now", "--tag", "home", "--tag", "away", code=10)
    counted = {row["tag"]: row["memories"] for row in cli("tags", "--json").data()}
    assert counted == {"home": 2, "away": 1}
    listed = [(item["content"], item.get("waiting")) for item in cli("list", "--json").data()]
    assert listed == [("not now", True), ("still here", None)]
