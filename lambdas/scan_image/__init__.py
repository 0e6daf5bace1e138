"""The function scan_image."""
