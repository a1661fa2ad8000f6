"""How many durable appends and how much sync one server process does, on SQLite.

    python bench/server_throughput.py [--singles 8000] [--batches 60]

The server runs as a subprocess on a database of its own; the load comes from another process with
every request prepared and signed beforehand, so that the server is what is measured. Each append is
verified (signature, Merkle root, digests) and acknowledged after its commit reached the disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LIMIT_SECONDS = 180


def start(folder: Path) -> tuple["subprocess.Popen[str]", int]:
    """A server on a new database, and its port."""
    command = [sys.executable, "-m", "coffret_server", "serve", "--port", "0"]
    command += ["--database", f"sqlite:///{folder / 'bench.db'}"]
    limits = {"COFFRET_ACCOUNT_RATE": "100000000", "COFFRET_AUTH_RATE": "100000"}
    with (folder / "access.log").open("w") as log:
        server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | limits,
        )
    assert server.stdout is not None
    return server, int(server.stdout.readline().rsplit(":", 1)[1])


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--singles", type=int, default=8_000)
    parser.add_argument("--batches", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server, port = start(Path(name))
        assert server.stdout is not None
        drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)  # noqa: S607 - the log must be read
        try:
            load = subprocess.run(  # noqa: S603 - our own interpreter and file
                [
                    sys.executable,
                    HERE / "server_load.py",
                    str(port),
                    str(options.singles),
                    str(options.batches),
                ],
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        finally:
            server.terminate()
            server.wait(10)
            drain.wait(10)
    if load.returncode:
        sys.exit(load.stderr)
    print(f"{os.cpu_count()} cores, the load generator on one of them")
    for name, rate in json.loads(load.stdout).items():
        print(f"{name:34} {rate:>10,}")


if __name__ == "__main__":
    main()
