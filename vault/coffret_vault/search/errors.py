"""What can go wrong in the search, beside a damaged index (``coffret_vault.errors``).

::

    CoffretError
     └─ EmbedderError       an embedder that cannot do its work
         └─ ModelDamagedError   model files that are not the ones this version was made for
"""

from __future__ import annotations

from coffret_vault.errors import CoffretError


class EmbedderError(CoffretError):
    """The embedding model cannot be used."""

    code = "embedder"
    exit_code = 9


class ModelDamagedError(EmbedderError):
    """The embedding model's files are missing or are not the ones this version expects."""

    code = "model-damaged"
