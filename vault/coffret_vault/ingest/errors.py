"""What can be wrong with a whole import; a single bad item is an ``ImportSkipped`` instead.

::

    InputError
     └─ IngestError               the source as a whole cannot be imported
         ├─ SourceMissingError    there is nothing at that path
         ├─ SourceUnknownError    the file is of no kind that Coffret imports
         ├─ SourceEmptyError      there is nothing in it to import
         ├─ SourceTooLargeError   over the size that is read into memory
         └─ SourceDamagedError    it should be JSON, or text, and is not
"""

from __future__ import annotations

from coffret_vault.errors import InputError


class IngestError(InputError):
    """That source cannot be imported."""

    code = "import-failed"


class SourceMissingError(IngestError):
    """There is no file or folder at that path, or it may not be read."""

    code = "import-missing"


class SourceUnknownError(IngestError):
    """That is not a kind of file that Coffret imports."""

    code = "import-unknown"


class SourceEmptyError(IngestError):
    """There is nothing to import in that source."""

    code = "import-empty"


class SourceTooLargeError(IngestError):
    """That source is larger than Coffret reads in one piece."""

    code = "import-too-large"


class SourceDamagedError(IngestError):
    """That source is damaged: it does not hold what its name says."""

    code = "import-damaged"
