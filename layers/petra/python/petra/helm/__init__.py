"""Helm charts: repositories over HTTP and OCI, the charts themselves, `index.yaml`."""
