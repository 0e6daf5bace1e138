"""OCI images: references, manifests, registries, layouts and what refers to them."""
