"""What of its secrets a process still holds after ``lock``: copies counted in its memory.

    python bench/after_lock.py

Another process reads all the memory of one that opened a vault, searched it and locked it again
(Linux, and a user who may do so). Python cannot wipe what it freed, so this counts, and promises
nothing: see SECURITY.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from coffret import Vault
from coffret.testing import Server, cheap

PASSPHRASE = "plum violin harbour sixteen"  # noqa: S105 - of a vault that lives for seconds
QUESTION = "where does the zebra-striped umbrella hang?"
CONTENT = "The zebra-striped umbrella hangs behind the cellar door, number {}."
MEMORIES = 50

_CHILD = """
import gc, json, sys
from coffret import Vault
from coffret.testing import cheap
order = json.loads(sys.stdin.readline())
vault = Vault.open(order["folder"], ambient=cheap())
vault.unlock(order["passphrase"], order["secret_key"])
assert vault.search(order["question"])
order.clear()
print("open", flush=True); sys.stdin.readline()
vault.lock()
gc.collect()
print("locked", flush=True); sys.stdin.readline()
"""


def secrets(vault: Vault, secret_key: bytes) -> dict[str, bytes]:
    """What is looked for, by name."""
    ring = vault._state.keys.keyring  # noqa: SLF001 - what is looked for is not public
    return {
        "passphrase": PASSPHRASE.encode(),
        "Secret Key": secret_key,
        "account key": ring.account_key().reveal(),
        "key of memory keys": ring.kek("memory").reveal(),
        "a memory's text": CONTENT.format(7).encode(),
        "the question": QUESTION.encode(),
    }


def copies(process: int, wanted: dict[str, bytes]) -> dict[str, int]:
    """How often each secret occurs in the writable memory of a process."""
    found = dict.fromkeys(wanted, 0)
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if rights.startswith("rw"):
                content = _read(memory, *(int(part, 16) for part in span.split("-")))
                for name, secret in wanted.items():
                    found[name] += content.count(secret)
    return found


def _read(memory: IO[bytes], start: int, end: int) -> bytes:
    try:
        memory.seek(start)
        return memory.read(end - start)
    except OSError:  # a page that cannot be read, such as the kernel's
        return b""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as made, Server() as server:
        folder = Path(made) / "vault"
        vault, kit = Vault.create(server.url, "ana", PASSPHRASE, folder, ambient=cheap())
        with vault:
            for number in range(MEMORIES):
                vault.remember(CONTENT.format(number))
            vault.index()
            wanted = secrets(vault, kit.secret_key.reveal())
        order = {
            "folder": str(folder),
            "passphrase": PASSPHRASE,
            "secret_key": kit.secret_key_code(),
            "question": QUESTION,
        }
        with subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            print(f"{'copies in memory':24}{'open':>8}{'locked':>8}")
            counted = []
            say = json.dumps(order)
            for _ in ("open", "locked"):
                print(say, file=child.stdin, flush=True)
                child.stdout.readline()
                counted.append(copies(child.pid, wanted))
                say = ""
            print(file=child.stdin, flush=True)
        for name in wanted:
            print(f"{name:24}{counted[0][name]:>8}{counted[1][name]:>8}")


if __name__ == "__main__":
    main()
