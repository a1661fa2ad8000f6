"""Real processes that are killed with `kill -9` while they write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from coffret import Vault
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import Owner, World

KILLS = 20
_WRITER = """
import sys
from pathlib import Path
from coffret import Vault
from coffret.testing import cheap
folder, secret_key, passphrase, first = sys.argv[1:]
vault = Vault.open(Path(folder), ambient=cheap())
vault.unlock(passphrase, secret_key)
number = int(first)
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(8):
        vault.remember(f"memory {number}")
        print(number, flush=True)
        number += 1
"""


def writing(owner: Owner, folder: Path, first: int) -> subprocess.Popen[bytes]:
    """A process of this device that writes numbered memories when told to."""
    arguments = [str(folder), owner.secret_key, PASSPHRASE, str(first)]
    child = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", _WRITER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # what was read ahead would be missing from the rest
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def killed(child: subprocess.Popen[bytes], after: int) -> list[int]:
    """Let it write, kill it with so many acknowledged, and give those that it told of."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"go\n")
    child.stdin.flush()
    told = [int(child.stdout.readline()) for _ in range(after)]
    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    return told + [int(line) for line in rest.splitlines() if line]


def test_processes_that_are_killed_lose_nothing(world: World) -> None:
    """Twenty processes killed while they write: all they were told of is there, once, in order."""
    owner = world.owner()
    folder = owner.vault.folder
    owner.vault.close()
    chance = random.Random(5)  # noqa: S311 - chooses when to kill
    acknowledged: set[int] = set()
    first = 0
    for _ in range(KILLS):
        child = writing(owner, folder, first)
        told = killed(child, chance.randrange(1, 7))
        acknowledged.update(told)
        first = max(told) + 2  # the one in flight may have come in
    with Vault.open(folder, **world.around()) as vault:
        vault.unlock(PASSPHRASE, owner.secret_key)
        vault.sync()
        found = sorted(int(memory.content.split()[1]) for memory in vault.list())
        assert len(found) == len(set(found))
        assert acknowledged <= set(found)
        assert len(set(found) - acknowledged) <= KILLS
        assert vault.check() == 0
        vault.remember("memory 1000000")
        assert len(list(world.device(owner).list())) == len(found) + 1
