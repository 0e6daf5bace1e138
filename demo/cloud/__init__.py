"""The whole pipeline on one machine, on an embedded cloud."""
