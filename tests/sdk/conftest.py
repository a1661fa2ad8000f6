"""A real server on loopback for each module, and people at it."""

from harness.fixtures import coffret_url, server_clock, world

__all__ = ["coffret_url", "server_clock", "world"]
