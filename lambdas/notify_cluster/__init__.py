"""The function notify_cluster."""
