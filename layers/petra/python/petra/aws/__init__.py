"""The only package that knows AWS. Clients are passed in."""
