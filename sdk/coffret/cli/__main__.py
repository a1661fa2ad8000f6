"""``python -m coffret.cli``."""

from coffret.cli import main

main()
