"""A recovery that is under way: the Secret Key that it makes is noted until its owner has used it.

It signs a keyslot for a new Secret Key, which it shows when the server has that. Were it stopped in
between, nobody would have the key, and a device that begins anew would sign a second head of that
size. So the key is noted, sealed as any note, with the first that is kept of the vault. What opens
it is what the recovery code opens: the same call in that folder goes on. docs/spec/3-keys.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.errors import StoreAlteredError
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import open_note, seal_note

if TYPE_CHECKING:
    from coffret.flows.state import VaultState
    from coffret_vault.keyring import Keyring
    from coffret_vault.primitives.symmetric import Random
    from coffret_vault.store import Store

_NAME = "recovering"
OVER = {_NAME: b""}
"""What is kept once the Secret Key was used, or is another one."""


def recovering_note(
    keyring: Keyring, secret_key: SecretBytes, *, random: Random
) -> dict[str, bytes]:
    """The value that keeps the Secret Key which a recovery makes."""
    return {_NAME: seal_note(keyring, _NAME, secret_key.reveal(), random=random)}


def is_recovering(store: Store) -> bool:
    """Whether a recovery was begun here, whose Secret Key nobody has used yet; needs no keys."""
    return bool(store.meta(_NAME))


def secret_key_noted(state: VaultState) -> SecretBytes:
    """The Secret Key of the recovery that was begun here.

    Raises:
        StoreAlteredError: it was not noted by this vault.
    """
    note = open_note(state.keys.keyring, _NAME, state.store.meta(_NAME) or b"")
    if note is None:
        raise StoreAlteredError
    return SecretBytes(note)


def end_recovery(store: Store) -> None:
    """Let go of it: who unlocks the vault with a Secret Key has one."""
    if is_recovering(store):
        store.set_meta(_NAME, b"")
