"""Helm charts: where they come from, what is in them, and the repository that a bundle carries."""
