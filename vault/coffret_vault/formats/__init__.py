"""Bytes to frozen structs and back, strictly, without any key. Specification: docs/spec."""
