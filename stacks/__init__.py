"""Petra on AWS: two sides that share nothing, each with a stateful and a stateless stack."""
