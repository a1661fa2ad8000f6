"""A client that was tampered with on its way: what an install takes, and what a build gives."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
EPOCH = "1800000000"
_PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*==[^\s;]+(?: ; [^\\]+)?")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def loose(lock: str) -> list[str]:
    """What a lock file lets through: requirements without version or hash, places, options."""
    joined = lock.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s+(?=--hash)", bare)
        hashes = [item for part in hashes for item in part.split()]
        pinned = _PINNED.fullmatch(requirement.strip()) and "//" not in requirement
        if not pinned or not hashes or not all(map(_HASH.fullmatch, hashes)):
            found.append(bare[:60])
    return found


@pytest.mark.attack(62)
@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_dependency_is_pinned_by_its_hash(lock: Path) -> None:
    """Each line of each lock names one version and hashes, and no address or index."""
    text = lock.read_text()
    assert loose(text) == []
    pins = [line for line in text.splitlines() if line[:1].isalnum()]
    assert text.count("--hash=sha256:") >= len(pins) > 0
    assert "://" not in re.sub(r"(?m)#.*$", "", text)


@pytest.mark.control(62)
@pytest.mark.parametrize(
    "line",
    [
        "evil==1.0",
        "evil>=1.0 --hash=sha256:" + "0" * 64,
        "evil @ https://evil.example/evil.whl --hash=sha256:" + "0" * 64,
        "--index-url https://evil.example/simple",
        "evil==1.0 --hash=md5:" + "0" * 32,
        "-e ./evil",
    ],
)
def test_a_line_that_lets_anything_through_is_found(line: str) -> None:
    """Control: a lock with one loose line does not pass."""
    assert loose(LOCKS[0].read_text() + line + "\n") == [line[:60]]


@pytest.mark.attack(62)
def test_the_makefile_installs_by_hash_alone() -> None:
    """Every install of ``make`` demands hashes, but for our own source and the lock's resolver."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    installs = [line for line in text.splitlines() if "$(PIP) " in line or "pip install" in line]
    ours = [line for line in installs if "--editable" in line or line.strip() == "@$(PIP) uv"]
    rest = [line for line in installs if line not in ours and not line.startswith("PIP :=")]
    assert len(rest) >= 3
    assert [line for line in rest if "--require-hashes" not in line] == []


# -- the same source gives the same bytes -------------------------------------------------------


def built(source: Path, folder: Path) -> dict[str, str]:
    """A wheel of this source: its name and hash."""
    folder.mkdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(  # noqa: S603 - our own build
        command, cwd=source, check=True, capture_output=True,
        env={"SOURCE_DATE_EPOCH": EPOCH, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*")}


SOURCES = {
    "client": ("pyproject.toml", "README.md", "LICENSE", "vault", "sdk"),
    "server": (
        "server/pyproject.toml",
        "server/README.md",
        "server/LICENSE",
        "server/coffret_server",
    ),
}
TARGETS = {"client": "sdk/coffret/transport.py", "server": "coffret_server/tokens.py"}
"""Where a back door would be put."""


def copied(which: str, folder: Path) -> Path:
    """The source of a wheel, elsewhere, with files of another age."""
    kept = shutil.ignore_patterns("__pycache__", "*.egg-info", "dist", ".*")
    folder.mkdir()
    for name in SOURCES[which]:
        source, target = ROOT / name, folder / name.removeprefix("server/")
        if source.is_dir():
            shutil.copytree(source, target, ignore=kept, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, target)
    return folder


@pytest.mark.attack(62)
@pytest.mark.parametrize("which", SOURCES)
def test_a_build_can_be_repeated(tmp_path: Path, which: str) -> None:
    """The same source, in another folder and of another day, gives the very same wheel."""
    first = built(copied(which, tmp_path / "one"), tmp_path / "first")
    assert len(first) == 1
    assert built(copied(which, tmp_path / "two"), tmp_path / "second") == first


@pytest.mark.control(62)
@pytest.mark.parametrize("which", SOURCES)
def test_a_build_with_a_back_door_is_another_wheel(tmp_path: Path, which: str) -> None:
    """Control: one line put into one file is seen in the hash, and found by comparing contents."""
    first = built(copied(which, tmp_path / "one"), tmp_path / "first")
    source = copied(which, tmp_path / "two")
    path = source / TARGETS[which]
    path.write_text(path.read_text() + "\n_LEAK = None\n")
    second = built(source, tmp_path / "second")
    assert first.keys() == second.keys()
    assert first != second
    one, two = (
        {item.filename: item.CRC for item in zipfile.ZipFile(next(folder.glob("*.whl"))).infolist()}
        for folder in (tmp_path / "first", tmp_path / "second")
    )
    changed = {name for name in one if one[name] != two[name]}
    inside = TARGETS[which].removeprefix("sdk/")
    assert {name for name in changed if not name.endswith("RECORD")} == {inside}


RUNNING = {"eval", "exec", "__import__"}
READING = {"pickle", "marshal", "shelve", "dill"}


def run_from_data(source: str) -> list[str]:
    """Where a source runs text, or reads what can run by being read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in RUNNING:
            found.append(ast.unparse(node.func))
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.partition(".")[0] in READING]
    return found


@pytest.mark.attack(62)
def test_no_code_comes_from_a_server() -> None:
    """No module of the client runs text, or reads a format that runs what it reads."""
    sources = [*(ROOT / "sdk").rglob("*.py"), *(ROOT / "vault").rglob("*.py")]
    assert len(sources) > 80
    found = {str(path): run_from_data(path.read_text(encoding="utf-8")) for path in sources}
    assert {name: hits for name, hits in found.items() if hits} == {}


@pytest.mark.control(62)
def test_code_that_comes_from_a_server_is_found() -> None:
    """Control: the same look finds each way of running what somebody sent."""
    assert run_from_data("eval(answer)") == ["eval"]
    assert run_from_data("import pickle\npickle.loads(answer)") == ["pickle"]
    assert run_from_data("from marshal import loads") == ["marshal"]
