"""Signatures, keys and policy. No input or output: bytes in, verdict out."""
