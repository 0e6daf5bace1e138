"""The function verify_image."""
