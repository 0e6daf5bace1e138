"""The function resolve_spec."""
