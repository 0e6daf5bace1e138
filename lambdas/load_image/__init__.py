"""The function load_image."""
