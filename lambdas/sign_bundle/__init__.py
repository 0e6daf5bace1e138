"""The function sign_bundle."""
