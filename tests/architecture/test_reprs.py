"""What holds secrets or plaintext does not print it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Any

import msgspec

import coffret
import coffret_vault
from coffret_vault.formats.checkpoint import SignedHead
from coffret_vault.formats.memory import Header
from coffret_vault.formats.unshown import Unshown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CANARY = "canary-7f3a"
PACKAGES = {"coffret", "coffret_vault"}
SECRET = {
    *("token", "api_key", "developer_key", "access_token", "seeds", "body"),
    *("payload", "content", "text", "parts", "memory", "title", "summary"),
}
PLAIN = re.compile(r"\b(str|bytes|Bearer|Any|object)\b")
PUBLIC = {
    (SignedHead, "text"),  # sizes and digests
    (Header, "title"),  # what its owner chose to let the server see
}


class Anything(float):
    """Stands for the value of any other field, as far as a repr asks it for something."""

    def __getattr__(self, _name: str) -> Anything:
        return self


def _below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for found in kind.__subclasses__():
        yield found
        yield from _below(found)


def _structs() -> set[type[msgspec.Struct]]:
    """Every struct of the client's two packages."""
    for package in (coffret, coffret_vault):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return {
        kind for kind in _below(msgspec.Struct) if kind.__module__.partition(".")[0] in PACKAGES
    }


def _is_plain(kind: type[msgspec.Struct], name: str) -> bool:
    """Whether a field holds its value itself; what is in another struct is that one's to hide."""
    said = [vars(base).get("__annotations__", {}).get(name) for base in kind.__mro__]
    return bool(PLAIN.search(str(next(filter(None, said)))))


def _shown(kinds: Iterable[type[msgspec.Struct]]) -> set[tuple[type[msgspec.Struct], str]]:
    """The fields whose value is in the repr, though it is to be seen by nobody."""
    found = set()
    for kind in kinds:
        for name in SECRET.intersection(kind.__struct_fields__):
            values: dict[str, Any] = dict.fromkeys(kind.__struct_fields__, Anything())
            made = kind(**(values | {name: CANARY}))
            if _is_plain(kind, name) and CANARY in repr(made) + str(made):
                found.add((kind, name))
    return found


def test_secrets_and_plaintext_are_not_printed() -> None:
    """No struct with a token, a key, a seed, a body or a memory's text shows it in its repr."""
    assert _shown(_structs()) == PUBLIC


def test_what_prints_is_found() -> None:
    """The control: a struct that prints a token is found, and its parent that does not is not."""

    class Careful(Unshown, msgspec.Struct):
        token: str

    class Careless(Careful):
        content: bytes = b""
        __repr__ = msgspec.Struct.__repr__

    assert _shown([Careful, Careless]) == {(Careless, "token"), (Careless, "content")}
