"""Who takes part in a history, what they do in it, and what they are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from harness.reference import Model, Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import Access, App, Vault
    from coffret_vault.errors import CoffretError
    from coffret_vault.primitives.secret import SecretBytes
    from harness.whims import Whim
    from harness.world import Watch

    Effect = Callable[[Model, Shown], None]
    """Changes the model by what the witness shows; LookupError if it is not that."""


class Step(NamedTuple):
    """Something that a party does.

    Attributes:
        act: does it; gives False where there was nothing to do.
        effects: what it changes, one append after another.
        refused: how it fails with an honest server, if it has to.
    """

    act: Callable[[], Any]
    effects: tuple[Effect, ...] = ()
    refused: type[CoffretError] | None = None


@dataclass(eq=False)
class Device:
    """A device of the owner.

    ``at`` is the newest state of the model that it is known to show; ``lied_to`` says that a server
    has misbehaved to it.
    """

    vault: Vault
    whim: Whim
    watch: Watch
    at: int = 0
    lied_to: bool = False


@dataclass(eq=False)
class Client:
    """An app, the grant that it has, and every key that it ever had.

    ``knows`` is the generation of the owner's keys by which it knows them.
    """

    app: App
    whim: Whim
    watch: Watch
    number: int
    knows: int = 0
    access: Access | None = None
    grant: str = ""
    keys: list[SecretBytes] = field(default_factory=list)

    def keep(self) -> None:
        """Keep what can be kept of what was read."""
        assert self.access is not None
        readable = self.access._shelf._readable.values()
        keys = (item.key for item in readable if item.key is not None)
        self.keys += [key for key in keys if key not in self.keys]


def shown(vault: Vault) -> Shown:
    """What a device shows."""
    return Shown(
        {memory.id: memory.content for memory in vault.list()},
        {
            (item.memory_id, item.version): item.proposed.content if item.proposed else None
            for item in vault.pending()
        },
        {grant.grant_id: grant.state for grant in vault.grants()},
    )


def like(seen: Shown, state: Shown) -> bool:
    """Whether that is shown; the wrap of what waits may have come wrong, so that it is unread."""
    return (
        seen.memories == state.memories
        and seen.waiting.keys() == state.waiting.keys()
        and all(text in {None, state.waiting[key]} for key, text in seen.waiting.items())
    )


def log_of(vault: Vault) -> Iterator[bytes]:
    """A device's log, each leaf as MessagePack."""
    store = vault._state.store
    return (msgspec.msgpack.encode(store.leaf(at)) for at in range(vault.status().entries))


def accepted(key: tuple[str, int]) -> tuple[Effect, Effect]:
    """The effects of accepting a text: it counts, and then it waits no more."""

    def first(model: Model, _seen: Shown) -> None:
        item = model.waiting[key]
        model.accept(key)
        model.waiting[key] = item

    return first, lambda model, _: model.accept(key)
