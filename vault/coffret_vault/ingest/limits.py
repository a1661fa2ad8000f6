"""How much is read, and how finely it is cut."""

from __future__ import annotations

import msgspec

MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Caps and sizes of an import; the defaults suit a person's own notes and chats.

    Attributes:
        max_json_bytes: a larger JSON or JSONL file is refused before it is read.
        max_archive_bytes: an archive is refused in whose files, inflated, more is to be read.
        max_text_bytes: a larger Markdown or text file is skipped before it is read.
        max_content_bytes: a larger single memory, in UTF-8, is refused.
        max_files: a folder of more files is refused.
        section_chars: a longer text is cut at its headings, then between its paragraphs, into
            pieces of about this size: what one memory can be about, and what an embedding model
            of 256 tokens still sees whole.
        episode_chars: a conversation longer than this is cut before the next turn of a person.
        gap_hours: a silence longer than this starts a new episode.
    """

    max_json_bytes: int = 256 * MIB
    max_archive_bytes: int = 1024 * MIB
    max_text_bytes: int = 32 * MIB
    max_content_bytes: int = MIB
    max_files: int = 200_000
    section_chars: int = 1_200
    episode_chars: int = 2_400
    gap_hours: float = 6.0


DEFAULT_LIMITS = Limits()
