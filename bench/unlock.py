"""From a locked vault to the first hits, in this new process: ``python -m bench.unlock``.

Reads ``{"folder", "passphrase", "secret_key"}`` as JSON on standard input and prints seconds.
What search needs (numpy, onnxruntime, the model, the index) is loaded inside the time measured.
"""

from __future__ import annotations

import json
import sys
import time

from coffret import Vault
from coffret.testing import cheap
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS, PUBLISHED, KdfLimits, stretch

QUESTION = "where did I leave the blue umbrella?"


def argon2(limits: KdfLimits) -> float:
    """Seconds for one passphrase."""
    kdf = limits.choose(bytes(16))
    started = time.perf_counter()
    stretch("a passphrase", kdf, limits)
    return time.perf_counter() - started


def main() -> None:
    """Unlock, search twice, print."""
    order = json.load(sys.stdin)
    with Vault.open(order["folder"], ambient=cheap()) as vault:
        started = time.perf_counter()
        vault.unlock(order["passphrase"], order["secret_key"])
        unlocked = time.perf_counter()
        hits = vault.search(QUESTION)
        found = time.perf_counter()
        assert hits
        vault.search("which train did we take?")
        again = time.perf_counter()
    print(
        json.dumps(
            {
                "unlock": unlocked - started,
                "search": found - unlocked,
                "again": again - found,
                "argon2_cheap": argon2(CHEAPEST_FOR_TESTS),
                "argon2": argon2(PUBLISHED),
            }
        )
    )


if __name__ == "__main__":
    main()
