"""From a verified bundle to a reconciled cluster."""
