"""mem0ai in this process with local qdrant: adds a second. Runs in the peers' environment.

Reads ``{"folder", "texts", "single"}`` as JSON on standard input and prints one JSON line.
``infer=False`` stores a memory as it is, without a language model; the vectors are made beforehand.
"""

import json
import random
import sys
import time
from importlib.metadata import version
from pathlib import Path

from mem0 import Memory  # type: ignore[import-not-found]  # installed beside, by make bench-peers

DIMENSION = 384
NOWHERE = {"api_key": "none", "openai_base_url": "http://127.0.0.1:9/v1"}


class MadeEmbedding:
    """Vectors that were made beforehand, one after the other."""

    def __init__(self, count: int) -> None:
        """Make them."""
        rng = random.Random(5)  # noqa: S311 - sample data
        self._vectors = [[rng.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(count)]
        self._next = 0

    def embed(self, _text: str, _action: str | None = None) -> list[float]:
        """The next one."""
        self._next += 1
        return self._vectors[self._next % len(self._vectors)]


def main() -> None:
    """Measure."""
    plan = json.load(sys.stdin)
    folder, texts, single = Path(plan["folder"]), plan["texts"], plan["single"]
    store = {"path": str(folder / "qdrant"), "embedding_model_dims": DIMENSION, "on_disk": True}
    memory = Memory.from_config(
        {
            "vector_store": {"provider": "qdrant", "config": store},
            "embedder": {"provider": "openai", "config": NOWHERE},
            "llm": {"provider": "openai", "config": NOWHERE},
            "history_db_path": str(folder / "history.db"),
        }
    )
    memory.embedding_model = MadeEmbedding(len(texts))
    for number in range(10):
        memory.add(texts[number % len(texts)], user_id="ana", infer=False)
    started = time.perf_counter()
    for number in range(single):
        memory.add(
            texts[number % len(texts)],
            user_id="ana",
            metadata={"title": "a title", "importance": 0.5},
            infer=False,
        )
    taken = time.perf_counter() - started
    print(json.dumps({"single": single / taken, "version": version("mem0ai")}))


if __name__ == "__main__":
    main()
