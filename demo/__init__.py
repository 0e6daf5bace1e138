"""The demo: the main job on an embedded registry."""
