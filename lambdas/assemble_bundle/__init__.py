"""The function assemble_bundle."""
