"""What makes the vectors: accept cases with ``coffret_vault``, reject cases by hand from those.

HPKE ciphertexts are made by the verifier, because the library draws its own randomness and could
not make the same bytes twice.
"""
