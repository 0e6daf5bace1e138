"""Keyless signatures of images and attestations, verified offline against a trusted root.

A keyless signature is made with a key that lives for minutes. A certificate says whose it was, and
a transparency log when it signed. Both forms must pass all of this; the form's own steps are in
:mod:`petra.trust.image` and :mod:`petra.trust.attestation`.

The older form keeps what verifies it in the layer's annotations. Steps, each by the function named:

1. certificate and log entry are there (:func:`_annotation`), and are such (``load_leaf``,
   ``annotated_entry``); the chain beside them is not looked at;
2. the certificate's key made the signature (:func:`_check_signature`);
3. a pinned transparency log, while its key counted, promised the log entry at a certain time
   (``check_promise``);
4. the log entry is about these bytes, this signature and this certificate (``check_body``);
5. at that time the certificate was valid, for signing code, issued under the trusted root and
   logged, and is one of the identities' (``check_certificate``, five steps of its own);
6. the signature is old enough, where policy asks for an age (:func:`_check_age`).

The Sigstore bundle goes through sigstore-python, which verifies certificate, log entry with its
inclusion proof, and signature; and then through what sigstore-python leaves out
(:mod:`petra.trust.bundled`). Log entries of kind ``intoto``, which it refuses, take the steps
above.

Source: cosign's specs/SIGNATURE_SPEC.md; Sigstore's client specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from petra.errors import PolicyError, SettingError, SignatureError
from petra.trust.attestation import AttestationVerdict, verify_attestations
from petra.trust.identity import CHAINGUARD, CHAINGUARD_ISSUER, Identity, catalogue, exact
from petra.trust.image import verify_image
from petra.trust.log import Logged, annotated_entry, bundled_entry, check_body, check_promise
from petra.trust.signers import Proof
from petra.trust.verdict import Certified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.trust.certificate import Leaf
    from petra.trust.documents import SignatureDocument
    from petra.trust.dsse import Envelope
    from petra.trust.log import LogEntry
    from petra.trust.root import TrustedRoot
    from petra.trust.signers import LayerSignature
    from petra.trust.sigstore import MessageSignature, SigstoreBundle
    from petra.trust.verdict import SignatureVerdict

__all__ = ["CHAINGUARD", "CHAINGUARD_ISSUER", "Identity", "KeylessPolicy", "catalogue"]

CERTIFICATE_ANNOTATION: Final = "dev.sigstore.cosign/certificate"
ENTRY_ANNOTATION: Final = "dev.sigstore.cosign/bundle"


@dataclass(frozen=True, slots=True)
class KeylessPolicy:
    """Asks for a keyless signature by one of some identities.

    Attributes:
        identities: who may sign, at least one, exactly as certificates have them.
        root: the keys and certificates to start from.
        min_age: how long ago the signature must have been made, so that a stolen identity can be
            noticed first; None asks for no age.
        now: the time to reckon the age from, with a zone.
    """

    identities: tuple[Identity, ...]
    root: TrustedRoot
    min_age: timedelta | None
    now: datetime

    def __post_init__(self) -> None:
        if not self.identities:
            raise SettingError(
                "keyless verification without an identity",
                hint="name who may sign: issuer and identity, or a preset",
            )
        for identity in self.identities:
            exact(identity, where="keyless verification")
        if self.min_age is not None and self.min_age < timedelta():
            raise SettingError("minimum age of a signature is negative", found=self.min_age)
        if self.now.tzinfo is None:
            raise ValueError("the time to reckon from has no zone")

    def evaluate(
        self, subject: Descriptor, documents: Sequence[SignatureDocument], /, *, where: str
    ) -> SignatureVerdict:
        """Return the verdict of ``verify_image``, which see.

        Raises:
            PolicyError: a signature is genuine, yet not old enough.
        """
        return verify_image(subject, documents, KeylessSigners(self), where=where)

    def attested(
        self, subjects: Sequence[Digest], documents: Sequence[SignatureDocument], /, *, where: str
    ) -> AttestationVerdict:
        """Return the verdict of ``verify_attestations``, which see."""
        return verify_attestations(subjects, documents, KeylessSigners(self), where=where)


@dataclass(frozen=True, slots=True)
class KeylessSigners:
    """The identities of a policy.

    Attributes:
        policy: what is asked for.
    """

    policy: KeylessPolicy

    def layer(self, signed: LayerSignature, /, *, where: str) -> Proof:
        """Verify a signature whose certificate and log entry stand in its layer's annotations."""
        from petra.trust.certificate import load_leaf  # noqa: PLC0415  # loads cryptography

        annotations = signed.layer.annotations
        pem = _annotation(annotations, CERTIFICATE_ANNOTATION, "certificate")
        leaf = load_leaf(pem.encode("utf-8", "replace"), where=where)
        text = _annotation(annotations, ENTRY_ANNOTATION, "log entry")
        entry = annotated_entry(text, where=where)
        document = signed.document if signed.is_envelope else None
        logged = Logged(leaf, signed.signature, signed.payload, signed.is_envelope, document)
        _check_signature(leaf, signed.signature, signed.signed)
        return self._proof(entry, logged, where=where)

    def check_material(self, bundle: SigstoreBundle, /, *, where: str) -> None:
        """Check that a bundle claims a certificate."""
        if bundle.material != "certificate":
            raise SignatureError(
                "signed with a bare key, which no identity stands behind",
                where=where,
                expected="verificationMaterial.certificate",
                found=f"verificationMaterial.{bundle.material}",
            )

    def envelope(
        self, bundle: SigstoreBundle, envelope: Envelope, data: bytes, /, *, where: str
    ) -> Proof:
        """Verify a bundle's envelope."""
        from petra.trust.bundled import leaf_of, log_entry_of, verify_bundle  # noqa: PLC0415  # as above

        leaf, value = leaf_of(bundle, where=where), log_entry_of(bundle)
        kind = value.get("kindVersion")
        if isinstance(kind, dict) and kind.get("kind") == "intoto":
            entry = bundled_entry(value, where=where)
            signature = envelope.signatures[0]
            logged = Logged(leaf, signature, envelope.payload, is_envelope=True)
            _check_signature(leaf, signature, envelope.signed)
            return self._proof(entry, logged, where=where)
        verified = verify_bundle(data, leaf, envelope, self.policy)
        _check_age(verified.time, self.policy)
        return Proof(leaf.key.fingerprint, verified)

    def message(self, message: MessageSignature, digest: Digest, /) -> Proof:  # noqa: ARG002  # the protocol's
        """Refuse: keyless, cosign signs statements only."""
        raise SignatureError(
            "keyless signature over the manifest itself, which cosign does not make",
            expected="dsseEnvelope",
            found="messageSignature",
        )

    def expected(self) -> str:
        """Name the identities."""
        return "a keyless signature by " + " or ".join(map(str, self.policy.identities))

    def hint(self) -> str:
        """Say what to do where none of them signed."""
        return (
            "check that issuer and identity are the signer's, exactly, and that the trusted root "
            "is of the Sigstore instance that was used; if they are, do not use this image"
        )

    def _proof(self, entry: LogEntry, logged: Logged, *, where: str) -> Proof:
        """Take the steps from the log entry on."""
        from petra.trust.certificate import check_certificate  # noqa: PLC0415  # as above

        policy = self.policy
        time = check_promise(entry, policy.root)
        check_body(entry, logged, where=where)
        leaf = logged.leaf
        who = check_certificate(leaf, time, policy.root, policy.identities)
        _check_age(time, policy)
        certified = Certified(
            identity=who.identity,
            issuer=who.issuer,
            certificate=leaf.digest,
            log_id=entry.log_id.hex(),
            log_index=entry.index,
            time=time,
            root=policy.root.digest,
        )
        return Proof(leaf.key.fingerprint, certified)


def _annotation(annotations: Mapping[str, str], name: str, what: str) -> str:
    """Step 1: what verifies a keyless signature is there."""
    text = annotations.get(name)
    if not text:
        raise SignatureError(f"signature without a {what}, as keyless ones have", expected=name)
    return text


def _check_signature(leaf: Leaf, signature: bytes, message: bytes) -> None:
    """Step 2: the certificate's key made the signature."""
    if not leaf.key.verifies(signature, message):
        raise SignatureError("signature is not by the certificate's key, or over other bytes")


def _check_age(time: datetime, policy: KeylessPolicy) -> None:
    """Step 6: the signature is old enough."""
    if policy.min_age is None:
        return
    age = policy.now - time
    if age < policy.min_age:
        raise PolicyError(
            "signature is too young",
            expected=f"made at least {_hours(policy.min_age)} hours ago",
            found=f"made {_hours(age)} hours ago, at {time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            hint="wait, or lower the minimum age of signatures in the policy",
        )


def _hours(span: timedelta) -> str:
    """Return a length of time in hours, with one digit where it is not whole."""
    return f"{span.total_seconds() / 3600:.1f}".removesuffix(".0")
