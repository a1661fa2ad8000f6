"""Coffret for owners and app developers."""
