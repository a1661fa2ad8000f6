"""Which of the folders of one name this is: one that was imported before, or another.

Keys name a folder by its name alone, so that it may move, and come from another computer. Two
folders of one name are told apart by what they hold: of those pieces that a vault has under the
same keys, at least half are unchanged where it is the same folder. See the README beside this.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import accumulate, count
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.ingest.draft import EMPTY, Draft

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from coffret_vault.ingest.draft import Imported

PREFIX = "markdown:"
_BELOW = frozenset(("", "/", "#", ":"))
_NUMBERED = re.compile(r" \([1-9][0-9]*\)")


class Likeness(msgspec.Struct, frozen=True):
    """How much of a folder a vault has under one namespace.

    Attributes:
        namespace: the name under which it was imported.
        there: how many pieces of the folder the vault has under the same keys.
        same: how many of these are unchanged.
    """

    namespace: str
    there: int
    same: int

    @property
    def is_it(self) -> bool:
        """Whether the folder is taken for that one."""
        return 0 < self.there <= 2 * self.same


def namespaces(name: str, keys: Iterable[str]) -> frozenset[str]:
    """The namespaces for folders of this name that occur in keys: the name, and numbered ones."""
    before, found = PREFIX + name, set()
    for key in keys:
        if not key.startswith(before):
            continue
        number = _NUMBERED.match(key, len(before))
        end = number.end() if number else len(before)
        if key[end : end + 1] == "/":
            found.add(key[len(PREFIX) : end])
    return frozenset(found)


def likeness(drafts: Iterable[Draft], name: str, known: Mapping[str, str]) -> Likeness | None:
    """That of a folder with what it is most like of all that was imported under its name.

    Args:
        drafts: what is in the folder, read under its ``name``.
        name: the folder's.
        known: the digest of each memory imported before, by its key.

    Returns:
        None where nothing in the folder has the key of anything imported.
    """
    there: Counter[str] = Counter()
    same: Counter[str] = Counter()
    spaces = sorted(namespaces(name, known))
    for draft in drafts:
        for space in spaces:
            before = known.get(_under(draft.key, name, space))
            there[space] += before is not None
            same[space] += before == draft.digest
    found = [Likeness(space, there[space], same[space]) for space in spaces if there[space]]
    return max(found, key=lambda item: (item.same / item.there, item.same), default=None)


def free_namespace(name: str, taken: Collection[str]) -> str:
    """The name, or the first numbered one that is not taken."""
    if name not in taken:
        return name
    return next(space for n in count(2) if (space := f"{name} ({n})") not in taken)


def renamed(items: Iterable[Imported], name: str, namespace: str) -> Iterator[Imported]:
    """What was read under a folder's name, as if it had been read under the namespace."""
    for item in items:
        if isinstance(item, Draft) and name != namespace:
            key, source = (_under(text, name, namespace) for text in (item.key, item.source))
            yield msgspec.structs.replace(item, key=key, source=source)
        else:
            yield item


def _under(text: str, name: str, namespace: str) -> str:
    return PREFIX + namespace + text[len(PREFIX) + len(name) :]


def is_from(source: str, wanted: str) -> bool:
    """Whether a memory with this source is of what is named: the same, or a part of it.

    A folder is named by its namespace, with ``markdown:`` before it or without; a kind of export by
    its first part (``chatgpt``), and one of its conversations by all of it (``chatgpt:6f2c``).
    """
    name = wanted.rstrip("/")
    for whole in (name, PREFIX + name):
        rest = source.removeprefix(whole)
        if source.startswith(whole) and rest[:1] in _BELOW:
            return True
    return False


def gone(
    items: Iterable[Imported], namespace: str, known: Mapping[str, str], *, whole: bool
) -> frozenset[str]:
    """The keys of what was imported from a folder of which it has nothing any more.

    A file was deleted, emptied or renamed, or a heading in it. Nothing is deleted by an import; its
    caller may offer it. A file that was passed over for another reason may still have all of it.

    Args:
        items: what was read, under the namespace.
        namespace: the folder's.
        known: the source of each memory imported before, by its key.
        whole: whether the whole folder was read, and not only some files of it.
    """
    top = f"{PREFIX}{namespace}/"
    keys: set[str] = set()
    read: set[str] = set()
    unread: set[str] = set()
    for item in items:
        if isinstance(item, Draft):
            keys.add(item.key)
            read.add(item.source)
        else:
            (read if item.reason == EMPTY else unread).add(top + item.source)
    return frozenset(
        key
        for key, source in known.items()
        if key not in keys
        and key.split("#", 1)[0] == source.split("#", 1)[0]
        and (source in read or (whole and source.startswith(top)))
        and unread.isdisjoint(_with_folders(source))
    )


def _with_folders(source: str) -> Iterator[str]:
    """A file's source, and those of the folders that it is in."""
    return accumulate(source.split("/"), "{}/{}".format)
