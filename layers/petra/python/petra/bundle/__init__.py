"""Bundles: spec, lock, metadata; resolve, create, verify, inspect."""
