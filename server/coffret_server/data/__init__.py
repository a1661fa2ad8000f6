"""The data plane: the few routes that move records, written for speed and for being read."""
