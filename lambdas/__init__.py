"""The Lambdas: each a folder of its own, deployed by itself."""
