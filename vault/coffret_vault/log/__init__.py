"""The vault's log: Merkle tree, heads, proofs, and what entries do."""
