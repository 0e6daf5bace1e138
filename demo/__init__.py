"""The main job on an embedded registry, with nothing outside this machine: ``make demo``."""
