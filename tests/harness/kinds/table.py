"""What the tables of types are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from coffret_vault.primitives.secret import SecretBytes
from harness.manifests import digest_of
from vectors.making.samples import MANIFEST_SAMPLE, OWNER_KEYS, REQUEST_SAMPLE, SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[bytes], object]

ONE = OWNER_KEYS
"""The identity of everybody: owner, app and device alike."""

KEY = SecretBytes(bytes(range(32)))
"""The key that seals everything."""

MANIFEST = msgspec.structs.replace(
    MANIFEST_SAMPLE, signing_public=ONE.signing.public, sealing_public=ONE.sealing.public
)
REQUEST = msgspec.structs.replace(REQUEST_SAMPLE, manifest_digest=digest_of(MANIFEST))
OBJECTS = SAMPLES | {"app-manifest": MANIFEST, "access-request": REQUEST}
"""One good object of every layout, everybody in it being the one identity."""


class Reader(NamedTuple):
    """Something that opens, parses or verifies, and the types that it is there for."""

    read: Read
    takes: frozenset[str]


def reader(read: Read, *takes: str) -> Reader:
    """A reader of these types."""
    return Reader(read, frozenset(takes))


class Table(NamedTuple):
    """Types by name with an object of each in bytes, and readers by name."""

    objects: dict[str, bytes]
    readers: dict[str, Reader]


def joined(*tables: Table) -> Table:
    """All of these, which share no name."""
    objects: dict[str, bytes] = {}
    readers: dict[str, Reader] = {}
    for table in tables:
        assert objects.keys().isdisjoint(table.objects)
        assert readers.keys().isdisjoint(table.readers)
        objects |= table.objects
        readers |= table.readers
    return Table(objects, readers)
