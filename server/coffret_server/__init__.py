"""The blind server of Coffret."""
