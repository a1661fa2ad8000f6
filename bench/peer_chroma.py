"""Chroma over HTTP: adds a second, one by one and in hundreds. Runs in the peers' environment.

Reads ``{"folder", "texts", "single", "batches"}`` as JSON on standard input, starts ``chroma run``
on a free port of this machine over a new folder, and prints one JSON line. The vectors are made
beforehand, so no model is asked and nothing is fetched.
"""

import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chromadb  # type: ignore[import-not-found]  # installed beside, by make bench-peers
from chromadb.config import Settings  # type: ignore[import-not-found]  # the same

DIMENSION = 384
BATCH = 100
START_SECONDS = 60.0


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connect(port: int) -> Any:  # noqa: ANN401 - the library has no types here
    """A client, once the server answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return chromadb.HttpClient(
                host="127.0.0.1", port=port, settings=Settings(anonymized_telemetry=False)
            )
        except ValueError:  # what it raises while the server does not answer
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def measure(collection: Any, plan: dict[str, Any]) -> dict[str, float]:  # noqa: ANN401 - the same
    """Adds a second."""
    rng = random.Random(5)  # noqa: S311 - sample data
    texts, single, batches = plan["texts"], plan["single"], plan["batches"]
    vectors = [[rng.gauss(0, 1) for _ in range(DIMENSION)] for _ in texts]

    def add(name: str, count: int, at: int) -> None:
        places = [(at + step) % len(texts) for step in range(count)]
        collection.add(
            ids=[f"{name}-{step}" for step in range(count)],
            documents=[texts[place] for place in places],
            embeddings=[vectors[place] for place in places],
            metadatas=[{"title": "a title", "importance": 0.5} for _ in places],
        )

    for number in range(10):
        add(f"warm-{number}", 1, number)
    started = time.perf_counter()
    for number in range(single):
        add(f"one-{number}", 1, number)
    between = time.perf_counter()
    for number in range(batches):
        add(f"many-{number}", BATCH, number)
    ended = time.perf_counter()
    return {"single": single / (between - started), "batch": batches * BATCH / (ended - between)}


def main() -> None:
    """Start the server, measure, end the server."""
    plan = json.load(sys.stdin)
    port = free_port()
    command = [str(Path(sys.executable).parent / "chroma"), "run", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--path", plan["folder"]]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - the peers' own program
    try:
        collection = connect(port).create_collection("bench", embedding_function=None)
        result = measure(collection, plan)
    finally:
        server.terminate()
        server.wait(20)
    print(json.dumps(result | {"version": chromadb.__version__}))


if __name__ == "__main__":
    main()
