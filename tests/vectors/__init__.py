"""Test vectors, what makes them, and the second implementation that reads them."""
