"""What an operator gets wrong is said in one sentence, before anything is served."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from alembic import command
from sqlalchemy import create_engine

from coffret_server import cli, migrations, origins
from coffret_server.settings import Settings, unknown_names
from coffret_server.storage.addresses import DatabaseError, parse
from coffret_vault.errors import InputError
from coffret_vault.formats.account import normal_origin
from server.process import SECONDS, serving, told

if TYPE_CHECKING:
    from collections.abc import Callable

DATABASE = "sqlite:///x.db"
KEY = "c0ffee" * 11
WRONG = [
    ("TRUST_FORWARDED", "maybe"),
    ("TOKEN_SECONDS", "901"),
    ("SESSION_SECONDS", "99999999999999"),
    ("BODY_SECONDS", "0"),
    ("ACCOUNT_RATE", "1" + "0" * 30),
    ("JWT_KEY", "0f"),
    ("JWT_KEY", "z" * 64),
    ("JWT_KEY", KEY + "\n"),
    ("ORIGINS", ""),
    ("ORIGINS", "memory.example"),
    ("ORIGINS", "https://a.example,https://b.example"),
    ("ORIGIN", "https://a.example"),
    ("QUOTA_MEMORYS", "5"),
    ("TRUST_FORWARD", "yes"),
    ("DATABASE_URL", DATABASE),
]
ORIGINS = [
    "https://Memory.Example",
    "HTTPS://memory.example:443/",
    " https://memory.example:8443 ",
    "http://127.0.0.1:80",
    "http://[::1]:8440",
    "http://[2001:DB8::1]",
    "https://a_b.example",
    "",
    "memory.example",
    "//memory.example",
    "ftp://memory.example",
    "https://",
    "https://memory.example/vault",
    "https://memory.example?a=b",
    "https://memory.example#a",
    "https://u@memory.example",
    "https://u:p@memory.example",
    "https://memory.example:99999",
    "https://memory.example:x",
    "https://a.example,https://b.example",
    "https://mémoire.example",
    "https://a b.example",
    "https://[::1",
]


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_a_setting_that_is_none_is_refused_by_its_name(name: str, text: str) -> None:
    """Values that no server could keep to, and slips in names; no value is repeated."""
    with pytest.raises(ValueError, match=f"COFFRET_{name}") as refused:
        Settings.from_environment({}, {f"COFFRET_{name}": text}, DATABASE)
    assert len(text) < 3 or text not in str(refused.value)


def test_yes_and_no_are_said_in_several_ways() -> None:
    """What people write for a switch is taken as they mean it."""
    for text, expected in {"on": True, "Yes": True, "1": True, "off": False, "0": False}.items():
        found = Settings.from_environment({}, {"COFFRET_TRUST_FORWARDED": text}, DATABASE)
        assert found.trust_forwarded is expected


def test_what_is_the_clients_or_somebody_elses_stops_no_server() -> None:
    """The command's own names say nothing here; others, of a cluster's for example, are told."""
    client = {"COFFRET_HOME": "/h", "COFFRET_SERVER": "s", "COFFRET_PASSPHRASE_FILE": "/p"}
    other = {"COFFRET_PORT_8440_TCP_ADDR": "10.0.0.1", "COFFRET_FAULTS": "9"}
    Settings.from_environment({}, client | other, DATABASE)
    assert unknown_names(client | other) == sorted(other)


def test_a_server_knows_every_name_that_the_command_reads() -> None:
    """On a machine that has both, none of the command's settings is said to be unknown."""
    sources = (
        path.read_text("utf-8") for path in (Path(__file__).parents[2] / "sdk").rglob("*.py")
    )
    names = {name for source in sources for name in re.findall(r"COFFRET_[A-Z_]+", source)}
    assert "COFFRET_DEVICE" in names
    assert unknown_names(dict.fromkeys(names, "")) == []


@pytest.mark.parametrize("text", ORIGINS)
def test_an_origin_is_what_devices_make_of_it(text: str) -> None:
    """Device and server say the same address in the same form, or both refuse it."""
    try:
        expected = normal_origin(text)
    except InputError:
        with pytest.raises(ValueError, match="origin"):
            origins.normal_origin(text)
    else:
        assert origins.normal_origin(text) == expected


def test_a_server_without_origins_is_known_on_its_own_machine() -> None:
    """By names that devices can use, in the form in which they do."""
    assert origins.default_origins("127.0.0.1", 80) == ("http://127.0.0.1", "http://localhost")
    every = origins.default_origins("::", 8440)
    assert every == ("http://127.0.0.1:8440", "http://[::1]:8440", "http://localhost:8440")
    for host in ("127.0.0.1", "::1", "::", "0.0.0.0", "localhost"):  # noqa: S104 - not listened on
        for origin in origins.default_origins(host, 8440):
            assert normal_origin(origin) == origin
            assert not origins.is_refused_by_devices(origin)
    assert origins.own_address("::1", 8440) == "http://[::1]:8440"
    assert origins.is_refused_by_devices("http://memory.example")
    assert origins.is_refused_by_devices("http://[2001:db8::1]:80")


@pytest.mark.parametrize("port", ["-1", "70000", "x", "٣"])
def test_a_port_is_one(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Others are refused as arguments are."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "--port", port])
    assert ended.value.code == cli.EXIT_SETTINGS
    assert "--port" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["", "coffret.db", "/a/b.db", "mysql://h/x", "postgresql"])
def test_an_address_that_is_none_names_its_setting(url: str) -> None:
    """A path alone, another database, nothing."""
    with pytest.raises(DatabaseError, match="COFFRET_DATABASE"):
        parse(url)


def test_words_for_tls_are_one_for_both_drivers() -> None:
    """Libpq's `sslmode`, SQLAlchemy's `ssl`, and either way to begin the address."""
    for url in ("postgres://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?ssl=true"):
        found = parse(url)
        assert found.dsn == "postgresql://u:p@h/d?sslmode=require"
        assert "u:p" not in repr(found)
    for wrong in ("sslmode=banana", "sslmode=require&ssl=true", "sslmode=a&sslmode=b"):
        with pytest.raises(DatabaseError, match="sslmode"):
            parse(f"postgresql://u:p@h/d?{wrong}")


def test_without_its_driver_postgresql_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(DatabaseError, match=r"coffret-server\[postgresql\]"):
        parse("postgresql://h/d")


def _spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 500)


def _newer(path: Path) -> None:
    _spoil(path, "UPDATE alembic_version SET version_num = '9999'")


def _foreign(path: Path) -> None:
    path.unlink()
    _spoil(path, "CREATE TABLE accounts (name TEXT)")


def _gone(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_garbage, "no SQLite database"),
        (_newer, "newer coffret-server"),
        (_foreign, "not Coffret's"),
        (_gone, "folder"),
    ],
)
@pytest.mark.parametrize("words", [("migrate",), ("serve", "--port", "0")])
def test_a_database_that_is_none_is_said_in_one_line(
    template: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str, words: tuple[str, ...]
) -> None:
    """By both commands, with the same exit code, and nothing of it is changed."""
    path = tmp_path / "data" / "coffret.db"
    path.parent.mkdir()
    shutil.copy(template, path)
    spoil(path)
    before = path.read_bytes() if path.exists() else b""
    ended = told(tmp_path, *words, "--database", f"sqlite:///{path}")
    assert ended.returncode == cli.EXIT_DATABASE
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""
    assert not path.exists() or path.read_bytes() == before


def test_what_a_server_says_when_it_starts(tmp_path: Path) -> None:
    """Its address first and alone; beside it the origins, the tables, and what is ignored."""
    words = ("--origin", "HTTPS://Memory.Example:443/", "--origin", "http://memory.example")
    with serving(tmp_path, *words, FAULTS="9") as running:
        assert running.out[0].startswith("listening on http://127.0.0.1:")
        assert all(line.startswith("{") for line in running.out[1:])
        said = "\n".join(running.err)
        assert "devices know this server as https://memory.example http://memory.example" in said
        assert "will not use http://memory.example:" in said
        assert "COFFRET_FAULTS" in said
        assert "tables were made" in said
        answer = httpx.get(f"{running.address}/readyz", timeout=SECONDS).json()
        assert answer["origins"] == ["https://memory.example", "http://memory.example"]
        head = httpx.head(f"{running.address}/readyz", timeout=SECONDS)
        assert (head.status_code, head.content) == (200, b"")
        with pytest.raises(httpx.HTTPError):
            httpx.get(running.address.replace("http:", "https:"), timeout=SECONDS)
        again = told(tmp_path, "serve", "--port", str(running.place[1]))
    assert '{"logger":"uvicorn.error","said":"Invalid HTTP request received."}' in running.err
    assert again.returncode == cli.EXIT_SETTINGS
    assert "cannot be listened on" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_tables_of_before_are_brought_up_and_it_is_said(template: Path, tmp_path: Path) -> None:
    """`migrate` tells from which version to which, and that there is nothing to do."""
    path = tmp_path / "a.db"
    shutil.copy(template, path)
    assert "up to date" in told(tmp_path, "migrate", "--database", f"sqlite:///{path}").stderr
    path.unlink()
    _older(path)
    ended = told(tmp_path, "migrate", "--database", f"sqlite:///{path}")
    assert (ended.returncode, "from version 0001 to " in ended.stderr) == (0, True)


def _older(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
