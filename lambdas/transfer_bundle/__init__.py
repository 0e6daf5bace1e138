"""The function transfer_bundle."""
