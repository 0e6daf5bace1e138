"""A bundle as a registry and a Helm repository, straight out of the file."""
