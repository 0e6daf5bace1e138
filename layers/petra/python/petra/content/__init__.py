"""Digests, descriptors, verified streams and the small interfaces that everything else shares."""
