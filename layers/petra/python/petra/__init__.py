"""Carries software across an air gap: one signed file, verified and loaded on the other side."""

__version__ = "0.1.0"
