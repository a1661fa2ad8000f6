"""The agent and the command as processes: unlock, use, lock, terminals, signals, and canaries."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli_harness import PASSPHRASE, Cli, code_in, new_name
from coffret.cli.agent_client import Agent
from coffret.cli.agent_wire import process_of
from coffret.cli.places import find_places

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def owner(tmp_path: Path, url: str) -> Iterator[Cli]:
    """A person with a vault; an agent that a test leaves behind is ended."""
    cli = Cli(tmp_path / "home")
    cli.init(url, new_name("agent"))
    yield cli
    socket_of(cli).lock()


def socket_of(cli: Cli) -> Agent:
    """The agent of a person's vault."""
    return Agent(find_places(str(cli.home), {}).socket("default"))


_SECRET_KEY = "config/vaults/default/secret-key"


def wait_until_locked(cli: Cli) -> None:
    """Wait for the agent to end; the test's own limit of time ends the waiting."""
    while find_places(str(cli.home), {}).socket("default").exists():
        time.sleep(0.05)


def test_unlock_keeps_the_vault_open_until_lock(owner: Cli) -> None:
    """While unlocked no command asks; the socket and its folder are the user's alone; then gone."""
    unlocked = owner.process("unlock", "--for", "5m", "--json").data()
    assert unlocked == {"unlocked": True, "seconds": 300.0}
    path = find_places(str(owner.home), {}).socket("default")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    owner("remember", "-", stdin="piped while unlocked", COFFRET_PASSPHRASE_FILE="")
    ran = owner.process("list", "--json", COFFRET_PASSPHRASE_FILE="")
    assert ran.data()[0]["content"] == "piped while unlocked"
    assert not owner("status", "--json").data()["locked"]
    assert owner("lock", "--json").data() == {"unlocked": False, "was_unlocked": True}
    assert owner("lock", "--json").data()["was_unlocked"] is False
    wait_until_locked(owner)
    assert owner("status", "--json").data()["locked"]
    owner("list", code=2, COFFRET_PASSPHRASE_FILE="")


def test_the_agent_locks_by_itself(owner: Cli) -> None:
    """Without use it forgets the keys and is gone; a length of time that is none is refused."""
    owner.process("unlock", "--for", "1s")
    wait_until_locked(owner)
    owner("list", code=2, COFFRET_PASSPHRASE_FILE="")
    for wrong in ("0m", "2d", "soon", "-1m"):
        owner("unlock", "--for", wrong, code=2)


def test_unlock_refuses_a_wrong_passphrase(owner: Cli) -> None:
    """No agent is started."""
    owner.passphrase.write_text("wrong")
    owner("unlock", code=4)
    assert socket_of(owner).seconds_left() is None


def test_the_session_is_kept_by_the_agent(owner: Cli) -> None:
    """Several commands use one login: the server keeps one session of them, not one each."""
    owner.process("unlock")
    for _ in range(3):
        owner("sync", COFFRET_PASSPHRASE_FILE="")
    view = owner("server-view", "--json", COFFRET_PASSPHRASE_FILE="").data()
    sessions = next(table for table in view["tables"] if table["table"] == "sessions")
    assert sessions["total"] <= 2  # that of init, and the agent's


def test_sessions_are_listed_and_ended(owner: Cli) -> None:
    """A command that asked leaves no session behind; ending this device's locks the agent too."""
    owner.process("unlock")
    owner("sync")
    (mine,) = [item for item in owner("sessions", "--json").data() if item["current"]]
    assert mine["session_id"][-8:] in owner("sessions").out
    ended = owner("sessions", "end", mine["session_id"][-8:], "--json").data()
    assert ended == {"ended": mine["session_id"]}
    wait_until_locked(owner)
    left = len(owner("sessions", "--json").data())
    owner("sync")
    assert len(owner("sessions", "--json").data()) == left
    owner.process("unlock")
    owner("sync")
    assert "Logged out" in owner("logout").out
    wait_until_locked(owner)
    assert len(owner("sessions", "--json").data()) == left
    assert "in no session" in owner("logout", COFFRET_PASSPHRASE_FILE="").out


def test_no_command_leaves_a_session_that_nobody_holds(
    owner: Cli, url: str, tmp_path: Path
) -> None:
    """After a login, and after a lock, the list shows no device that is not logged in."""
    other = Cli(tmp_path / "other")
    name, key = owner("status", "--json").data()["username"], owner.home / _SECRET_KEY
    words = ("login", "--server", url, "--username", name)
    other(*words, COFFRET_SECRET_KEY_FILE=str(key))
    owner.process("unlock")
    owner("sync")
    (mine,) = owner("sessions", "--json").data()
    assert mine["current"]
    owner("lock")
    wait_until_locked(owner)
    (asking,) = owner("sessions", "--json").data()
    assert asking["current"]
    assert asking["session_id"] != mine["session_id"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
def test_an_agent_that_does_not_answer_is_ended(owner: Cli) -> None:
    """One that was stopped holds the keys: it is no agent that is gone, and lock ends it."""
    owner.process("unlock")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(find_places(str(owner.home), {}).socket("default")))
        number = process_of(peer)
    assert number is not None
    os.kill(number, signal.SIGSTOP)
    try:
        assert "does not answer" in owner("status", code=9).err
        assert "coffret lock" in owner("doctor", code=1).out
        assert owner("lock", "--json").data() == {"unlocked": False, "was_unlocked": True}
        assert not _read(Path(f"/proc/{number}/cmdline"))
    finally:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    assert owner("status", "--json").data()["locked"]


def test_what_is_damaged_can_still_be_locked(owner: Cli) -> None:
    """The keys are forgotten whatever has become of the vault's folder."""
    owner.process("unlock")
    owner("sync")
    (store,) = owner.home.glob("**/store.db")
    store.write_bytes(b"not a database" * 1_000)
    assert owner("lock", "--json").data() == {"unlocked": False, "was_unlocked": True}
    wait_until_locked(owner)


def test_an_agent_of_replaced_keys_is_ended(owner: Cli, url: str, tmp_path: Path) -> None:
    """Keys of another vault in the same place open nothing; the passphrase is asked for."""
    owner.process("unlock")
    kept = socket_of(owner).keys()
    assert kept is not None
    other = Cli(tmp_path / "other")
    other.init(url, "another.owner")
    owner_folder, folder = (cli.home / "data/vaults/default" for cli in (owner, other))
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (owner_folder / name).unlink(missing_ok=True)
    (folder / "store.db").rename(owner_folder / "store.db")
    owner("list", code=4)
    assert socket_of(owner).seconds_left() is None


def test_nothing_secret_is_in_the_agents_arguments_environment_or_files(owner: Cli) -> None:
    """The process shows no key to anybody who lists processes, and writes none to a disk."""
    owner.process("unlock")
    kept = socket_of(owner).keys()
    assert kept is not None
    running = [
        entry
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and b"coffret.cli.agent" in _read(entry / "cmdline")
    ]
    assert running
    secret_key = _read(owner.home / "config/vaults/default/secret-key").strip()
    canaries = (kept.account_key, kept.login_seed, PASSPHRASE.encode(), secret_key)
    for entry in running:
        shown = _read(entry / "cmdline") + _read(entry / "environ")
        assert not any(canary in shown or canary.hex().encode() in shown for canary in canaries)
    for path in owner.home.rglob("*"):
        if path.is_file() and path.name not in {"secret-key", "passphrase"}:
            assert not any(canary in path.read_bytes() for canary in canaries)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # processes come and go while we look
        return b""


def test_no_secret_is_ever_printed(owner: Cli, tmp_path: Path) -> None:
    """Neither passphrase, nor Secret Key, nor a key of the agent is in what commands write."""
    owner.seen.clear()  # init prints the recovery kit, as it must
    owner.process("unlock")
    made = owner("remember", "words", "--json").data()["id"]
    for words in (
        ("status",),
        ("list", "--json"),
        ("show", made),
        ("history", made),
        ("tags",),
        ("sync", "--json"),
        ("requests",),
        ("grants",),
        ("pending",),
        ("doctor", "--json"),
        ("doctor",),
        ("server-view", "--json"),
        ("search", "words", "--time"),
        ("export", str(tmp_path / "all.jsonl")),
        ("forget", made, "--yes"),
    ):
        owner(*words)
    kept = socket_of(owner).keys()
    assert kept is not None
    owner("lock")
    owner.passphrase.write_text("wrong " + PASSPHRASE)
    owner("list", "--json", code=4)
    said = "\n".join(owner.seen)
    secret_key = _read(owner.home / "config/vaults/default/secret-key").decode().strip()
    for canary in (PASSPHRASE, secret_key, kept.account_key.hex(), kept.login_seed.hex()):
        assert canary not in said


def test_a_terminal_is_asked_without_an_echo(owner: Cli) -> None:
    """At a terminal the passphrase is asked for, not shown, and a table has titles."""
    owner("remember", "seen at a terminal", "--title", "Seen")
    shown = at_terminal(owner, ["list"], [(b"Passphrase: ", PASSPHRASE)])
    assert PASSPHRASE.encode() not in shown
    assert b"TITLE" in shown
    assert b"Seen" in shown


def test_a_request_is_narrowed_at_a_terminal(owner: Cli, url: str) -> None:
    """Scopes, numbers to leave out, days and reviews are asked for; Enter is the careful answer."""
    for place in ("Lisbon", "Porto", "Faro"):
        owner("remember", f"trip to {place}", "--title", place, "-t", "travel")
    dev = ("app", "register-developer", "--name", "D", "--contact", "c", "--server", url, "--json")
    key = owner(*dev).data()["developer_key"]
    register = ("--name", "Planner", "--homepage", "https://p.example", "--server", url)
    owner("app", "register", *register, stdin=key + "\n")
    words = ("--scope", "read", "--scope", "create", "--tag", "travel", "--purpose", "plan")
    name = owner("status", "--json").data()["username"]
    request = owner("app", "request", name, *words, "--json").data()["request_id"]
    owner.process("unlock")
    at_terminal(
        owner,
        ["approve", request],
        [
            (b"eight words that it shows: ", owner("app", "words").out.strip().upper()),
            (b"Allow [create,read]: ", "read"),
            (b"Leave out which numbers (Enter for none): ", "1-2"),
            (b"For how many days [30]: ", "7"),
            (b"Approve? [y/N]: ", "y"),
        ],
    )
    (grant,) = owner("grants", "--json").data()
    assert (grant["scopes"], grant["memories"]) == (["read"], 1)
    assert [item["title"] for item in owner("app", "list", "--json").data()] == ["Faro"]


def test_init_at_a_terminal_asks_twice(tmp_path: Path, url: str) -> None:
    """A new passphrase is confirmed; two that differ make no vault."""
    cli = Cli(tmp_path / "home")
    words = ["init", "--server", url, "--username", "terminal.person"]
    asked = (b"Passphrase: ", "first try at it")
    shown = at_terminal(cli, words, [asked, (b"The same again: ", "another one")], code=2)
    assert b"differ" in shown
    shown = at_terminal(cli, words, [asked, (b"The same again: ", "first try at it")])
    assert code_in(shown.decode(), "CF1")


def at_terminal(
    cli: Cli, words: list[str], answers: list[tuple[bytes, str]], *, code: int = 0
) -> bytes:
    """Run at a terminal, give each answer when it is asked for, and give what was shown."""
    script = (
        "from coffret.cli import main; from coffret.testing import cheap; main(ambient=cheap())"
    )
    controller, terminal = pty.openpty()
    environment = {**cli.environment, "COFFRET_PASSPHRASE_FILE": "", "TERM": "xterm"}
    process = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script, *words],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: _take_terminal(terminal),  # noqa: PLW1509 - no threads in this child
    )
    os.close(terminal)
    shown, waiting = b"", list(answers)
    try:
        while (more := _more(controller)) is not None:
            shown += more
            if waiting and waiting[0][0] in shown.replace(b"\r\n", b"\n"):
                os.write(controller, waiting.pop(0)[1].encode() + b"\n")
    finally:
        os.close(controller)
    assert process.wait(30) == code, shown.decode()
    assert not waiting, shown.decode()
    return shown


def _take_terminal(terminal: int) -> None:
    import fcntl  # noqa: PLC0415 - in the child
    import termios  # noqa: PLC0415 - in the child

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _more(controller: int) -> bytes | None:
    ready, _, _ = select.select([controller], [], [], 60)
    try:
        return (os.read(controller, 4096) or None) if ready else None
    except OSError:
        return None


def test_an_interrupted_import_goes_on(owner: Cli, tmp_path: Path) -> None:
    """Killed in the middle, an import that is run again ends with everything, and nothing twice."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(1200):
        (notes / f"n{number}.md").write_text(f"# Note {number}\n\ntext of note {number}\n")
    script = (
        "from coffret.cli import main; from coffret.testing import cheap; main(ambient=cheap())"
    )
    process = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script, "import", str(notes)],
        env=owner.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not owner("status", "--json").data()["memories"]:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    owner("sync")
    before = owner("status", "--json").data()["memories"]
    report = owner("import", str(notes), "--json").data()
    assert report["created"] + report["unchanged"] == 1200
    assert report["unchanged"] == before > 0
    assert owner("status", "--json").data()["memories"] == 1200


def test_serve_runs_the_server_and_ends_with_it(tmp_path: Path) -> None:
    """The server answers, keeps its database in the data folder, and ends when told to."""
    cli = Cli(tmp_path / "home")
    script = "from coffret.cli import main; main()"
    process = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script, "serve", "--port", "0"],
        env=cli.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        assert cli("doctor", "--server", url, "--json").data()["well"]
        cli.init(url, "served")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {0, 143}
    assert (cli.home / "data/server/coffret.db").exists()
