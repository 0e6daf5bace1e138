"""The function report_run."""
