"""Memories: the owner's view, and how it becomes a record and back. docs/spec/4-records.md."""
