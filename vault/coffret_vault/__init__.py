"""The trusted core of Coffret: everything that touches plaintext or keys, and nothing that touches a network."""
