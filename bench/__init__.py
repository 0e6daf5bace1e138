"""Benchmarks against real peers: ratios measured in one run, never asserted."""
