"""A second implementation of the formats, written from docs/spec alone.

It shares no code with ``coffret_vault`` and none of its ciphers: AES-GCM, Ed25519, X25519, ML-KEM
and HPKE are here in plain Python from FIPS 197, SP 800-38D, RFC 8032, RFC 7748, FIPS 203 and
RFC 9180. It is slow, not constant-time, and fit for nothing but tests. Hashes come from
``hashlib``, Argon2id from its library.
"""
