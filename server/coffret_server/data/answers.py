"""What the data plane answers: the shapes that its OpenAPI document tells.

The handlers write these bytes as they are stored, without making such values. That they keep to the
shapes is seen to by the tests: each answer of the server's tests is read as what is told here.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from coffret_server.append import Record

Index = Annotated[int, msgspec.Meta(ge=0)]
Number = Annotated[int, msgspec.Meta(ge=1)]
Status = Literal["accepted", "pending", "rejected"]


class _Map(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    pass


class AppendAnswer(_Map):
    """The log's size with what was appended."""

    size: Number


class WritingAnswer(_Map):
    """The log's size, and the indexes of an app's leaves."""

    size: Number
    indexes: list[Index]


class MemoryAnswer(_Map):
    """One version of a memory: header, envelope, kek, wrap; and its leaf's index."""

    record: Record
    seq: Index
    version: Number
    status: Status


class Version(_Array):
    """Record or nil, version, status, index of its leaf."""

    record: Record | None
    version: Number
    status: Status
    seq: Index


class Leaf(_Array):
    """A leaf, and the record that stands beside it or nil."""

    leaf: bytes
    record: Record | None


class SyncAnswer(_Array):
    """Size, newest head, and items from the index that was asked for."""

    size: Number
    head: str
    items: list[Leaf]


class LogAnswer(_Map):
    """Size, newest head, and leaves from the index that was asked for."""

    size: Number
    head: str
    leaves: list[bytes]


class ProofAnswer(_Map):
    """Hashes of RFC 6962, 2.1."""

    proof: list[bytes]


class MemoryKeysAnswer(_Array):
    """Where to read on or nil, and memory, key number, kek, wrap of each."""

    following: Index | None
    keys: list[tuple[UUID, Number, bytes, bytes]]


class StagedAnswer(_Map):
    """How many wraps wait for the change of keys."""

    staged: Index


class GivenAnswer(_Map):
    """How many keys the grant has."""

    memories: Index


class WrapsAnswer(_Array):
    """Cursor or nil, and memory, key number, wrap of each."""

    cursor: str | None
    wraps: list[tuple[UUID, Number, bytes]]


class Shared(_Array):
    """Header, envelope, key number, wrap, status, and the entry that decided it: index and leaf.

    Of what was rejected the leaf by which it was written stands in the header's place, and the
    other two are empty.
    """

    header: bytes
    envelope: bytes
    key_number: Number
    wrap: bytes
    status: Status
    seq: Index
    leaf: bytes


class RecordsAnswer(_Array):
    """Cursor or nil, items; newest head, its consistency proof, and the items' inclusion."""

    cursor: str | None
    items: list[Shared]
    head: str
    continues: list[bytes]
    included: list[bytes]


class HeadAnswer(_Map):
    """The log's size, the newest head, and its consistency proof."""

    size: Number
    head: str
    continues: list[bytes]


ANSWERS: Final[dict[tuple[str, str], type[msgspec.Struct] | type[list[Version]]]] = {
    ("POST", "/memory-blobs"): AppendAnswer,
    ("POST", "/memory-blobs/batch"): AppendAnswer,
    ("GET", "/sync"): SyncAnswer,
    ("POST", "/log"): AppendAnswer,
    ("GET", "/log"): LogAnswer,
    ("GET", "/log/proof"): ProofAnswer,
    ("PUT", "/memory-blobs/{id}"): AppendAnswer,
    ("DELETE", "/memory-blobs/{id}"): AppendAnswer,
    ("GET", "/memory-blobs/{id}"): MemoryAnswer,
    ("GET", "/memory-blobs/{id}/versions"): list[Version],
    ("GET", "/accounts/me/memory-keys"): MemoryKeysAnswer,
    ("POST", "/accounts/me/rewraps"): StagedAnswer,
    ("POST", "/grants/{id}/wraps"): GivenAnswer,
    ("GET", "/grants/{id}/wraps"): WrapsAnswer,
    ("GET", "/grants/{id}/records"): RecordsAnswer,
    ("POST", "/grants/{id}/memory-blobs"): WritingAnswer,
    ("GET", "/grants/{id}/head"): HeadAnswer,
}
"""What each call answers where it succeeds, by its method and path."""
