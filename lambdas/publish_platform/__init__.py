"""The function publish_platform."""
