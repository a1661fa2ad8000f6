"""The committing envelope. docs/spec/2-envelope.md."""

from coffret_vault.envelope.seal import OVERHEAD, open_envelope, seal
from coffret_vault.envelope.wrap import unwrap_key, wrap_key

__all__ = ["OVERHEAD", "open_envelope", "seal", "unwrap_key", "wrap_key"]
