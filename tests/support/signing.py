"""Keys and cosign signatures of images, made here, whole or with one thing wrong."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.oci.manifest import Manifest, parse_manifest
from petra.trust.documents import SignatureDocument
from petra.trust.dsse import pae
from petra.trust.keys import PublicKey, load_private_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.trust.keys import PrivateKey

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IN_TOTO = "application/vnd.in-toto+json"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def key(name: str = "signer", kind: str = "p256") -> Key:
    """Return a private key; the same name and kind give the same one within a run."""
    return _key(name, kind)


@cache
def _key(name: str, kind: str) -> Key:
    curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))
    return ec.generate_private_key(curves[kind])


def pem(private: Any, format_: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """Return a private key as a plain PEM file."""
    text: bytes = private.private_bytes(Encoding.PEM, format_, NoEncryption())
    return text


def spki(private: Any) -> bytes:
    """Return the public half as DER."""
    der: bytes = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def public(private: Any) -> PublicKey:
    """Return the public half as Petra has it."""
    return PublicKey.from_der(spki(private), where="test key")


def petra_key(name: str = "signer") -> PrivateKey:
    """Return the P-256 key of that name as Petra has it."""
    return load_private_key(pem(key(name)), None, where="test key")


def sign(private: Key, message: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    """Return a signature over `message`; SHA-256 where there is a choice."""
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(message)
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(message, padding.PKCS1v15(), algorithm or hashes.SHA256())
    return private.sign(message, ec.ECDSA(algorithm or hashes.SHA256()))


def text(data: bytes) -> str:
    """Return base64."""
    return b64encode(data).decode()


def image(seed: str = "image") -> Descriptor:
    """Return the descriptor of some image."""
    return Descriptor.of(MANIFEST, seed.encode())


def payload(subject: Descriptor, /, **critical: Any) -> bytes:
    """Return a simple signing payload, as cosign writes it, parts of ``critical`` replaced."""
    parts = {
        "identity": {"docker-reference": "registry.example/app"},
        "image": {"docker-manifest-digest": subject.digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": parts | critical, "optional": {"by": "test"}}).encode()


def statement(subject: Descriptor, /, **replaced: Any) -> bytes:
    """Return an in-toto statement, as cosign writes it, parts replaced."""
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": subject.digest.hex}, "annotations": {"by": "test"}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    return json.dumps(value | replaced).encode()


def envelope(private: Key, data: bytes, kind: str = IN_TOTO) -> dict[str, Any]:
    """Return a DSSE envelope."""
    signature = text(sign(private, pae(kind, data)))
    return {"payloadType": kind, "payload": text(data), "signatures": [{"sig": signature}]}


def bundle(private: Key, **replaced: Any) -> dict[str, Any]:
    """Return a Sigstore bundle without content, parts replaced or added."""
    hint = public(private).hint
    value = {"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": hint}}}
    return value | replaced


def manifest(
    layers: Sequence[Mapping[str, Any]], subject: Descriptor | None, **more: Any
) -> Manifest:
    """Return a parsed manifest with these layers."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": _EMPTY}
    value = {"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": list(layers)}
    if subject:
        value["subject"] = subject.to_json()
    return parse_manifest(json.dumps(value | more).encode(), where="test manifest")


_EMPTY = str(Digest.of(b"{}"))


def tag_document(
    subject: Descriptor,
    *signers: Key,
    data: bytes | None = None,
    layer: Mapping[str, Any] | None = None,
    stored: bytes | None = None,
) -> SignatureDocument:
    """Return signatures in the older form.

    Args:
        subject: what is signed.
        signers: one layer each.
        data: the payload, where it is to be another one.
        layer: keys of each layer's descriptor to replace; None removes one.
        stored: what is found under the payload's digest, where that is to be something else.
    """
    content = payload(subject) if data is None else data
    layers = []
    for signer in signers:
        descriptor = {
            "mediaType": SIMPLE_SIGNING,
            "size": len(content),
            "digest": str(Digest.of(content)),
            "annotations": {"dev.cosignproject.cosign/signature": text(sign(signer, content))},
        }
        layers.append({k: v for k, v in (descriptor | dict(layer or {})).items() if v is not None})
    blobs = {Digest.of(content): content if stored is None else stored}
    return SignatureDocument("tag", manifest(layers, None), blobs)


def referrer_document(
    subject: Descriptor,
    signer: Key,
    *,
    value: Mapping[str, Any] | None = None,
    refers_to: Descriptor | Literal["subject"] | None = "subject",
    media_type: str = BUNDLE,
    stored: bytes | None = None,
) -> SignatureDocument:
    """Return a signature in the newer form.

    Args:
        subject: what is signed.
        signer: who signs it.
        value: the Sigstore bundle, where it is to be another one.
        refers_to: the manifest's subject.
        media_type: of the layer.
        stored: what is found under the bundle's digest, where that is to be something else.
    """
    if value is None:
        value = bundle(signer, dsseEnvelope=envelope(signer, statement(subject)))
    content = json.dumps(value).encode()
    layer = {
        "mediaType": media_type,
        "size": len(content),
        "digest": str(Digest.of(content)),
    }
    refers_to = subject if refers_to == "subject" else refers_to
    blobs = {Digest.of(content): content if stored is None else stored}
    return SignatureDocument("referrer", manifest([layer], refers_to), blobs)
