"""The function load_charts."""
