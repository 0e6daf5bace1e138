"""Vulnerability scans: scanners, the gate, and waivers."""
