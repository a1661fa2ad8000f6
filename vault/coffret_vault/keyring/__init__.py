"""The keys while a vault is unlocked."""

from coffret_vault.keyring.keyring import Identity, Keyring, generate_identity, open_identity

__all__ = ["Identity", "Keyring", "generate_identity", "open_identity"]
