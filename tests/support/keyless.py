"""Keyless signatures and attestations in each form, whole or with one thing wrong."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

# urllib3, which it imports, tries out a socket when it is first imported.
import sigstore.verify  # noqa: F401

from petra.content.digest import Digest
from petra.trust.documents import SignatureDocument
from petra.trust.dsse import pae
from tests.support import fake_sigstore
from tests.support.fake_sigstore import LOG, Entry, Leaf
from tests.support.log_bodies import dsse, hashedrekord, hashedrekord_2, intoto_1, intoto_2
from tests.support.signing import (
    BUNDLE,
    IN_TOTO,
    SIMPLE_SIGNING,
    image,
    manifest,
    payload,
    sign,
    statement,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from petra.content.descriptor import Descriptor
    from tests.support.fake_tsa import TimestampAuthority
    from tests.support.signing import Key

#: The forms: a signature by tag, a signature in a bundle, and the same of an attestation.
Form = Literal["tag", "bundle", "attestation tag", "attestation bundle"]
FORMS: Final[tuple[Form, ...]] = ("tag", "bundle", "attestation tag", "attestation bundle")
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
SPDX: Final = "https://spdx.dev/Document"

#: A manifest, so that other tools take it for one.
MANIFEST: Final = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": str(Digest.of(b"{}")),
            "size": 2,
        },
        "layers": [],
    }
)
SUBJECT: Final = image(MANIFEST)
OTHER: Final = image("another image")

_KINDS: Final = {
    "dsse": dsse,
    "intoto 0.0.1": intoto_1,
    "intoto 0.0.2": intoto_2,
    "rekor 2": hashedrekord_2,
}


@dataclass(frozen=True)
class Signing:
    """How something is signed; right unless replaced.

    Attributes:
        subject: what the signature is about.
        leaf: whose certificate comes with it.
        key: what signs, where not the certificate's key.
        content: what is signed, where that is to be another payload or statement.
        payload_type: of an envelope.
        kind: of the log entry about an envelope.
        body: changes the log entry's body.
        entry: members of the log entry to replace.
        annotations: of a layer, to replace; None removes one.
        material: of a bundle, to replace; None removes one.
        bundled: members of a bundle's log entry, to replace; None removes one.
        stamps: who stamps a bundle's signature, and when.
        refers_to: what the manifest refers to, where it says so.
    """

    subject: Descriptor = SUBJECT
    leaf: Leaf = field(default_factory=fake_sigstore.leaf)
    key: Key | None = None
    content: bytes | None = None
    payload_type: str = IN_TOTO
    kind: Literal["dsse", "intoto 0.0.1", "intoto 0.0.2", "rekor 2"] = "dsse"
    body: Callable[[dict[str, Any]], None] | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    material: Mapping[str, Any] = field(default_factory=dict)
    bundled: Mapping[str, Any] = field(default_factory=dict)
    stamps: Sequence[tuple[TimestampAuthority, datetime]] = ()
    refers_to: Descriptor = SUBJECT

    def sign(self, message: bytes) -> bytes:
        return sign(self.key or self.leaf.key, message)

    def logged(self, body: dict[str, Any]) -> Entry:
        if self.body:
            self.body(body)
        whole = Entry(LOG, json.dumps(body, separators=(",", ":"), sort_keys=True).encode())
        if self.kind == "rekor 2":  # whose one tree numbers entries as the log does
            whole = replace(whole, index=0)
        return replace(whole, **self.entry)


def make(form: Form, **signing: Any) -> SignatureDocument:
    """Return a document of this form, right but for `signing`."""
    one = Signing(**signing)
    if form == "tag":
        return _tag(one)
    content = one.content or (statement(one.subject) if form == "bundle" else attested(one.subject))
    envelope = _envelope(one, content)
    signature = one.sign(pae(one.payload_type, content))
    envelope["signatures"] = [{"sig": text(signature)}]
    document = json.dumps(envelope, separators=(",", ":")).encode()
    body = _KINDS[one.kind](content, signature, one.leaf, document)
    if form == "attestation tag":
        return _layers(one, DSSE, document, one.logged(body), "")
    return _bundle(one, envelope, one.logged(body))


def attested(subject: Descriptor, /, **replaced: Any) -> bytes:
    """Return an attestation's statement, as cosign writes it, parts replaced."""
    parts = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": SPDX,
        "predicate": {"spdxVersion": "SPDX-2.3"},
        "subject": [
            {"name": "registry.example/app", "digest": {"sha256": subject.digest.hex}},
        ],
    }
    return statement(subject, **(parts | replaced))


def _tag(one: Signing) -> SignatureDocument:
    content = one.content or payload(one.subject)
    signature = one.sign(content)
    entry = one.logged(hashedrekord(content, signature, one.leaf))
    return _layers(one, SIMPLE_SIGNING, content, entry, text(signature))


def _layers(
    one: Signing, media_type: str, content: bytes, entry: Entry, signature: str
) -> SignatureDocument:
    right: dict[str, str | None] = {
        "dev.cosignproject.cosign/signature": signature,
        "dev.sigstore.cosign/certificate": one.leaf.pem.decode(),
        "dev.sigstore.cosign/chain": fake_sigstore.AUTHORITY.chain.decode(),
        "dev.sigstore.cosign/bundle": entry.annotation(),
    }
    annotations = _without_none(right | dict(one.annotations))
    layer = _layer(media_type, content) | {"annotations": annotations}
    return SignatureDocument("tag", manifest([layer], None), {Digest.of(content): content})


def _bundle(one: Signing, envelope: dict[str, Any], entry: Entry) -> SignatureDocument:
    signature = b64decode(envelope["signatures"][0]["sig"])
    stamps = [{"signedTimestamp": tsa.stamp(signature, time)} for tsa, time in one.stamps]
    material = {
        "timestampVerificationData": {"rfc3161Timestamps": stamps} if stamps else None,
        "certificate": {"rawBytes": text(one.leaf.der)},
        "tlogEntries": [_without_none(entry.bundled() | dict(one.bundled))],
    } | dict(one.material)
    value = {
        "mediaType": BUNDLE,
        "verificationMaterial": _without_none(material),
        "dsseEnvelope": envelope,
    }
    content = json.dumps(value).encode()
    document = manifest([_layer(BUNDLE, content)], one.refers_to)
    return SignatureDocument("referrer", document, {Digest.of(content): content})


def _envelope(one: Signing, content: bytes) -> dict[str, Any]:
    return {"payloadType": one.payload_type, "payload": text(content)}


def _layer(media_type: str, content: bytes) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "size": len(content),
        "digest": str(Digest.of(content)),
    }


def _without_none(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in value.items() if member is not None}
