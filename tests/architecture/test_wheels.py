"""What the two distributions hold, built from this tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CIPHERS = (
    *("ciphers", "hpke", "kdf", "cobblestone", "argon2", "mlkem", "x25519", "fernet", "aead"),
    *("crypto_box", "secretbox", "scalarmult", "pwhash", "nacl.public", "nacl.secret"),
)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, by the name of their distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, ROOT / "server"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)  # noqa: S603 - our own build
    return {path.name.split("-", 1)[0]: path for path in folder.glob("*.whl")}


def _modules(wheel: Path) -> set[str]:
    names = zipfile.ZipFile(wheel).namelist()
    return {name.split("/", 1)[0] for name in names if ".dist-info/" not in name}


def test_each_wheel_holds_its_own_packages(wheels: dict[str, Path]) -> None:
    """The wheel of the SDK brings the core with it, and the server's brings the server alone."""
    assert _modules(wheels["coffret"]) == {"coffret", "coffret_vault"}
    assert _modules(wheels["coffret_server"]) == {"coffret_server"}


def test_the_wheels_hold_their_data(wheels: dict[str, Path]) -> None:
    """Vocabulary, migrations and type markers are in the wheels."""
    ours = zipfile.ZipFile(wheels["coffret"]).namelist()
    server = zipfile.ZipFile(wheels["coffret_server"]).namelist()
    assert any(name.startswith("coffret_vault/search/data/") for name in ours)
    assert {"coffret/py.typed", "coffret_vault/py.typed"} <= set(ours)
    assert "coffret_server/py.typed" in server
    assert any(name.startswith("coffret_server/migrations/versions/") for name in server)


def test_each_wheel_says_what_it_may_be_used_for(wheels: dict[str, Path]) -> None:
    """Both wheels have the one license with them, and classifiers."""
    text = (ROOT / "LICENSE").read_bytes()
    for wheel in wheels.values():
        archive = zipfile.ZipFile(wheel)
        (name,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(name) == text
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert b"Classifier: Programming Language :: Python :: 3.11" in archive.read(name)


def test_what_the_server_imports_is_declared() -> None:
    """Its distribution requires each package that its modules import by themselves."""
    declared = tomllib.loads((ROOT / "server" / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*declared["dependencies"], *declared["optional-dependencies"]["postgresql"]]
    names = {re.match(r"[a-z0-9-]+", line)[0] for line in wanted}  # type: ignore[index]
    places = packages_distributions()
    for path in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in (name.partition(".")[0] for name in modules):
                if module not in sys.stdlib_module_names and module != "coffret_server":
                    assert names & {name.lower() for name in places[module]}, (path.name, module)


def test_a_machine_with_the_server_alone_cannot_open_anything(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    """In an empty environment with the server's wheel, no module of ours can open an envelope."""
    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    python = tmp_path / "empty" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-I", "-c", where], check=True, capture_output=True, text=True)  # noqa: S603 - the interpreter just made
    zipfile.ZipFile(wheels["coffret_server"]).extractall(found.stdout.strip())
    look = (
        "from importlib.util import find_spec\n"
        "ours = ('coffret', 'coffret_vault', 'coffret_server')\n"
        "print([name for name in ours if find_spec(name)])"
    )
    seen = subprocess.run([python, "-I", "-c", look], check=True, capture_output=True, text=True)  # noqa: S603 - the same
    assert seen.stdout.strip() == "['coffret_server']"


def test_the_servers_wheel_names_no_cipher(wheels: dict[str, Path]) -> None:
    """No source of the server's wheel imports anything that decrypts, unwraps or derives keys."""
    archive = zipfile.ZipFile(wheels["coffret_server"])
    imported: set[str] = set()
    for name in archive.namelist():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(archive.read(name))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert any("crypto_sign_open" in name for name in imported), (
        "the control: verification is imported"
    )
    foreign = {name for name in imported if not name.startswith("coffret_server")}
    assert not [name for name in foreign if any(part in name.lower() for part in CIPHERS)]
