"""Who imports whom, and what importing does."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")
ROOMS = ("vault", "sdk", "server", "tests", "bench", "demo")

# Imports every module of a package and fails on what an import must not do: open a connection,
# start a process or thread, touch a database, write or remove a file.
_WATCH = """
import importlib, os, pkgutil, sys
sys.dont_write_bytecode = True
forbidden = {
    "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system",
    "os.fork", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect", "_thread.start_new_thread",
    "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp",
}
def watch(event, arguments):
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    if event in forbidden or (event == "open" and (arguments[2] or 0) & writing):
        raise RuntimeError(f"importing does work: {event} {arguments!r}")
sys.addaudithook(watch)
package = importlib.import_module(sys.argv[1])
names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
if sys.argv[2] == "all":
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def _imported(package: str, what: str) -> set[str]:
    """Top-level modules after importing a package, or all its modules, in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", _WATCH, package, what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603 - our own interpreter
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def _lint(config: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINT), "--no-cache", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603 - our own checker


def _sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from (ROOT / room).rglob("*.py")


def test_every_contract_is_kept() -> None:
    """The layers and doors of .importlinter hold."""
    done = _lint(ROOT / ".importlinter")
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_a_broken_contract_is_noticed(tmp_path: Path) -> None:
    """The control: with envelope below formats, the checker complains."""
    swapped = (ROOT / ".importlinter").read_text(encoding="utf-8")
    swapped = swapped.replace("    envelope\n    formats\n", "    formats\n    envelope\n", 1)
    config = tmp_path / ".importlinter"
    config.write_text(swapped, encoding="utf-8")
    done = _lint(config)
    assert done.returncode == 1
    assert "coffret_vault.envelope is not allowed to import coffret_vault.formats" in done.stdout


@pytest.mark.parametrize("package", ["coffret_vault", "coffret"])
def test_importing_any_module_does_no_work(package: str) -> None:
    """No import opens a file to write, a connection, a process, a thread or a database."""
    assert package in _imported(package, "all")


def test_the_watch_notices_work(tmp_path: Path) -> None:
    """The control: a package that writes a file when imported is caught."""
    package = tmp_path / "busy"
    package.mkdir()
    (package / "__init__.py").write_text("open('busy.txt', 'w')\n", encoding="utf-8")
    command = [sys.executable, "-c", _WATCH, "busy", "all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)  # noqa: S603 - our own interpreter
    assert "importing does work: open" in done.stderr


@pytest.mark.parametrize("package", ["coffret_vault", "coffret"])
def test_importing_the_package_loads_nothing_heavy(package: str) -> None:
    """The models' runtime, the index and the server come when they are used, not before."""
    heavy = {"onnxruntime", "hnswlib", "coffret_server", "uvicorn", "fastapi", "sqlalchemy"}
    assert not heavy & _imported(package, "package")


def test_the_sdk_loads_what_each_command_needs_and_no_more() -> None:
    """Search, the formats of imports, and a general HTTP client come when they are used."""
    code = (
        "import sys; from coffret import App, AsyncApp, AsyncVault, Vault\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603 - our own interpreter
    loaded = set(done.stdout.split())
    assert "coffret" in loaded
    assert not {"numpy", "markdown_it", "yaml", "httpx", "rich", "typer", "keyring"} & loaded


def test_the_trusted_core_alone_loads_no_network() -> None:
    """With every module of the trusted core imported, no HTTP client is in the process."""
    clients = {"httpx", "requests", "urllib3", "aiohttp", "coffret", "coffret_server"}
    assert not clients & _imported("coffret_vault", "all")


def _runtime_imports(path: Path) -> set[str]:
    """The top-level packages that a file imports when it runs, not for its annotations."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_one_door_imports_an_http_library_when_it_runs() -> None:
    """Of all that people install, the drivers and their connection alone can reach the network."""
    users = {
        path.relative_to(ROOT).as_posix()
        for room in ("vault", "sdk")
        for path in (ROOT / room).rglob("*.py")
        if {"httpx", "httpcore", "httptools"} & _runtime_imports(path)
    }
    doors = ("bridge", "http1")
    assert users == {f"sdk/coffret/{name}.py" for name in doors}


def test_few_open_sockets_of_their_own() -> None:
    """The drivers' connections, the look at an app's domain, the agent, and a server for tests."""
    users = {
        path.relative_to(ROOT).as_posix()
        for room in ("vault", "sdk")
        for path in (ROOT / room).rglob("*.py")
        if {"socket", "ssl", "http", "socketserver"} & _runtime_imports(path)
    }
    agent = {f"cli/{name}" for name in ("agent", "agent_client", "agent_wire")}
    known = {"connection", "wellknown", "testing"} | agent
    assert users == {f"sdk/coffret/{name}.py" for name in known}


def test_no_file_is_too_long_to_read() -> None:
    """Every file has fewer than 400 lines."""
    lengths = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in _sources()
    }
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines >= 400} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    """Modules are named by what they do."""
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [path for path in _sources() if path.stem in empty] == []


def test_no_statement_numbers_its_parameters() -> None:
    """Python 3.12 takes what a statement calls ``?1`` for a name, and warns of what is given."""
    numbered = re.compile(r"[=(, ]\?[0-9]")
    found = [
        path
        for path in _sources()
        if "SELECT" in (text := path.read_text()) and numbered.search(text)
    ]
    assert not found
