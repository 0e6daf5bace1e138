"""Strict YAML and JSON: positions for errors, canonical bytes for output."""
