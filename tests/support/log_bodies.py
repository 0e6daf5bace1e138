"""Bodies of transparency log entries, of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from petra.content.digest import Digest
from petra.trust.dsse import pae
from tests.support.signing import text

if TYPE_CHECKING:
    from tests.support.fake_sigstore import Leaf


def hashedrekord(payload: bytes, signature: bytes, leaf: Leaf) -> dict[str, Any]:
    """Return the body of an entry about a simple signature."""
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": _hash(payload)},
            "signature": {"content": text(signature), "publicKey": {"content": text(leaf.pem)}},
        },
    }


def dsse(payload: bytes, signature: bytes, leaf: Leaf, document: bytes) -> dict[str, Any]:
    """Return the body of an entry about an envelope, of the kind of now."""
    return {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": _hash(document),
            "payloadHash": _hash(payload),
            "signatures": [{"signature": text(signature), "verifier": text(leaf.pem)}],
        },
    }


def intoto_1(payload: bytes, signature: bytes, leaf: Leaf, document: bytes) -> dict[str, Any]:
    """Return the body of an entry about an envelope, of the kind that holds no signature."""
    content = {"hash": _hash(document), "payloadHash": _hash(payload)}
    spec = {"content": content, "publicKey": text(leaf.pem)}
    return {"apiVersion": "0.0.1", "kind": "intoto", "spec": spec}


def intoto_2(payload: bytes, signature: bytes, leaf: Leaf, document: bytes) -> dict[str, Any]:
    """Return the body of an entry about an envelope, of the kind between."""
    twice = text(text(signature).encode())
    envelope = {
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": twice, "publicKey": text(leaf.pem)}],
    }
    content = {"envelope": envelope, "hash": _hash(document), "payloadHash": _hash(payload)}
    return {"apiVersion": "0.0.2", "kind": "intoto", "spec": {"content": content}}


def hashedrekord_2(payload: bytes, signature: bytes, leaf: Leaf, document: bytes) -> dict[str, Any]:
    """Return the body of an entry of Rekor v2 about an envelope."""
    encoded = pae("application/vnd.in-toto+json", payload)
    signed = {
        "data": {"algorithm": "SHA2_256", "digest": text(Digest.of(encoded).raw)},
        "signature": {
            "content": text(signature),
            "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "x509Certificate": {"rawBytes": text(leaf.der)},
            },
        },
    }
    spec = {"hashedRekordV002": signed}
    return {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec}


def _hash(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": Digest.of(data).hex}
