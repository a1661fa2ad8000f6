"""What a command says to whoever runs it."""

import sys


def say(text: str) -> None:
    """Tell a person something, on standard error: standard output is for what programs read."""
    print(f"coffret-server: {text}", file=sys.stderr, flush=True)  # noqa: T201 - a command speaks to a person
