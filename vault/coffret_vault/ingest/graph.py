"""The knowledge graph of the MCP memory server: ``memory.jsonl``, or what ``read_graph`` gives.

A line is an entity with observations, or a relation between two entities::

    {"type": "entity", "name": "Ana", "entityType": "person", "observations": ["Likes figs"]}
    {"type": "relation", "from": "Ana", "to": "Lisbon", "relationType": "lives in"}

Each entity becomes one memory, with its observations and the relations that begin at it, so that a
later file changes it and leaves nothing of an older one behind. An entity that only relations name
is one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import SourceDamagedError, SourceEmptyError
from coffret_vault.ingest.fits import check_fits
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import clean_line, clean_title, printable_path
from coffret_vault.ingest.reading import decode_json, json_lines, read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

T = TypeVar("T")

KIND = "mcp-memory"
_MAX_TYPE_CHARS = 64
_UNTYPED = "contextual"


class _Entity(Unshown, msgspec.Struct):
    name: str
    observations: list[str] = []
    entity_type: str = msgspec.field(default="", name="entityType")


class _Relation(Unshown, msgspec.Struct):
    begin: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")
    relation_type: str = msgspec.field(name="relationType")


class _Graph(msgspec.Struct):
    entities: list[msgspec.Raw] = []
    relations: list[msgspec.Raw] = []


class _Kind(msgspec.Struct):
    type: str = ""


class _Node:
    """An entity, and what is said of it."""

    def __init__(self) -> None:
        self.type = ""
        self.observations: dict[str, None] = {}  # in order, none twice
        self.relations: dict[str, None] = {}


class _Nodes:
    """The graph as it is read, and what of it could not be."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: dict[str, _Node] = {}
        self._refused: list[ImportSkipped] = []

    def take(self, raw: bytes | msgspec.Raw, where: str, kind: type[_Entity | _Relation]) -> None:
        try:
            item = decode_json(raw, kind)
        except SourceDamagedError as error:
            self.refuse(where, str(error))
            return
        if isinstance(item, _Entity):
            self._add(item)
        else:
            self._relate(item)

    def refuse(self, where: str, reason: str) -> None:
        self._refused.append(ImportSkipped(f"{self._name}, {where}", reason))

    def _add(self, entity: _Entity) -> None:
        node = self._nodes.setdefault(entity.name, _Node())
        node.type = node.type or clean_line(entity.entity_type).lower()[:_MAX_TYPE_CHARS].strip()
        node.observations |= dict.fromkeys(
            text for seen in entity.observations if (text := seen.strip())
        )

    def _relate(self, relation: _Relation) -> None:
        ends = (relation.begin, relation.relation_type, relation.end)
        said = " ".join(filter(None, map(clean_line, ends)))
        self._nodes.setdefault(relation.begin, _Node()).relations[said] = None

    def read(self, limits: Limits) -> Iterator[Imported]:
        if not self._nodes and not self._refused:
            raise SourceEmptyError
        drafts = (self._draft(name, node, limits) for name, node in self._nodes.items())
        return iter([*drafts, *self._refused])

    def _draft(self, name: str, node: _Node, limits: Limits) -> Imported:
        lines = [f"- {text}" for text in (*node.observations, *node.relations)]
        kind = f" ({node.type})" if node.type else ""
        called = clean_line(name)
        draft = Draft(
            key=f"{KIND}:{printable_path([name])}",
            source=f"{KIND}:{called}",
            content="\n".join([f"{called}{kind}", *lines]).strip(),
            title=clean_title(name),
            type=node.type or _UNTYPED,
        )
        try:
            check_fits(draft, limits)
        except SourceDamagedError as error:
            return ImportSkipped(f"{self._name}, {called}", str(error))
        return draft


def read_graph(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read the file of an MCP memory server, or the graph that its ``read_graph`` gave.

    Raises:
        SourceDamagedError: the file as a whole is not of that shape; a line that is not is skipped.
        SourceEmptyError: nothing is remembered in it.
    """
    data = read_json(path, limits.max_json_bytes)
    nodes = _Nodes(printable_path([path.name]))
    if is_graph_line(_first(data)):
        _read_lines(data, nodes)
    else:
        graph = decode_json(data, _Graph)
        _take_all(nodes, graph.entities, "entity", _Entity)
        _take_all(nodes, graph.relations, "relation", _Relation)
    return nodes.read(limits)


def _first(data: bytes) -> bytes:
    return next(json_lines(data), (0, b""))[1]


def is_graph_line(line: bytes) -> bool:
    """Whether a line is JSON of its own, and what such a server writes."""
    try:
        return decode_json(line, _Kind).type in _LINES
    except SourceDamagedError:
        return False


_LINES: dict[str, type[_Entity | _Relation]] = {"entity": _Entity, "relation": _Relation}


def _read_lines(data: bytes, nodes: _Nodes) -> None:
    for number, line in json_lines(data):
        where = f"line {number}"
        try:
            kind = _LINES.get(decode_json(line, _Kind).type)
        except SourceDamagedError as error:
            nodes.refuse(where, str(error))
            continue
        if kind is None:
            nodes.refuse(where, "neither an entity nor a relation")
        else:
            nodes.take(line, where, kind)


def _take_all(
    nodes: _Nodes, raws: Iterable[msgspec.Raw], what: str, kind: type[_Entity | _Relation]
) -> None:
    for number, raw in enumerate(raws, 1):
        nodes.take(raw, f"{what} {number}", kind)
