"""The function poll_releases."""
