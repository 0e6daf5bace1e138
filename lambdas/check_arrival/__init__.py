"""The function check_arrival."""
