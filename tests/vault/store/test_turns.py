"""Threads that share a store's connection, which SQLite asks about statements."""

import subprocess
import sys
from pathlib import Path

from coffret_vault.store.schema import connect

# In a process of its own: where both wait for each other, no thread of it goes on, nor its tests.
_MANY = """
import sys, threading
from pathlib import Path
from coffret_vault.store.schema import connect

database = connect(Path(sys.argv[1]))
database.executemany("INSERT INTO leaves VALUES (?, ?)", [(at, b"leaf") for at in range(3)])
sys.setswitchinterval(1e-6)
reads = (
    lambda rows: rows.fetchone(),
    lambda rows: rows.fetchmany(2),
    lambda rows: rows.fetchall(),
    lambda rows: list(rows),
)

def work(read):
    for at in range(10_000):
        assert read(database.execute(f"SELECT at, leaf FROM leaves WHERE at < {1 + at % 300}"))

threads = [threading.Thread(target=work, args=(read,)) for read in reads]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("all went on")
"""


def test_rows_are_read_while_other_threads_ask(tmp_path: Path) -> None:
    """No two wait for each other: whoever reads has the connection to itself, as whoever asks."""
    ran = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _MANY, str(tmp_path / "store.db")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stdout == "all went on\n", ran.stderr


def test_rows_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    """All of them, in order, however many: by the one, by the dozen, and together."""
    database = connect(tmp_path / "store.db")
    database.executemany("INSERT INTO leaves VALUES (?, ?)", [(at, b"") for at in range(120)])
    rows = database.execute("SELECT at FROM leaves ORDER BY at")
    found = [rows.fetchone(), *rows.fetchmany(12), *rows]
    assert [row[0] for row in found] == list(range(120))
    assert (rows.fetchone(), rows.fetchall(), list(rows)) == (None, [], [])
    database.close()
