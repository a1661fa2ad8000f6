"""Published vectors as the package ``cryptography-vectors`` carries them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def published_text(path: str) -> str:
    """A file of the package."""
    return files("cryptography_vectors").joinpath(path).read_text(encoding="utf-8")


def published_json(path: str) -> Any:
    """A JSON file of the package."""
    return json.loads(published_text(path))


def published_records(path: str) -> Iterator[dict[str, str]]:
    """The records of a NIST response file: what follows ``count``, with the section's settings."""
    section: dict[str, str] = {}
    record: dict[str, str] = {}
    for line in [*published_text(path).splitlines(), "COUNT = end"]:
        name, _, value = (part.strip() for part in line.strip("[]").partition("="))
        if line.startswith("["):
            section = section | {name.lower(): value}
        elif name.lower() == "count":
            if record:
                yield record
            record = dict(section)
        elif name and not name.startswith("#") and record is not None:
            record[name.lower()] = value
