"""The function report_load."""
