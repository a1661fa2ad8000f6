"""Measurements, each against what it has to reach: ``python -m bench``. See bench/README.md."""
