"""Properties are judged by what they find, never by how long a busy machine takes."""

from __future__ import annotations

from hypothesis import settings


def test_no_example_has_a_deadline() -> None:
    """Where a property says nothing of it, an example may take as long as it takes."""
    assert settings().deadline is None
