"""The function verify_bundle."""
