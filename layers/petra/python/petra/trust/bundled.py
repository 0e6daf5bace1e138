"""Keyless signatures in Sigstore bundles: sigstore-python, and what it leaves out.

sigstore-python verifies: verified time (the log's promise, or a timestamp authority's token), the
certificate's path, usage and embedded timestamp, the log entry's inclusion proof, checkpoint and
promise, the signature over the envelope, and that the log entry is about it. It is given the same
trusted root, and opens no connection. It leaves out, and :func:`verify_bundle` adds:

1. that the log is one of the root's *by its id*, and that its key counted at the time
   (``pinned_log``); sigstore-python tries every key where the id is unknown, and passes over
   the periods of keys;
2. every step of ``check_certificate``, so that the periods of authorities and certificate logs
   count too, the path ends at the root's root, and the identity is read the same way in both forms;
3. that it read the same certificate and payload as will be used: it also takes members under
   other names (``verification_material``) than the bundle's format has (:func:`_verified`);
4. that the time is one that certainly was verified (:func:`_time`): where several timestamps stand
   in a bundle, one good one is enough for sigstore-python, and it does not say which.

Importing this does not load sigstore; verifying does, which takes longer than verifying itself.
(urllib3, which comes with it, tries out a loopback socket when it is first loaded. That is all.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from petra.errors import SignatureError
from petra.trust.certificate import check_certificate, check_identity, load_leaf
from petra.trust.log import pinned_log
from petra.trust.text import decode_base64
from petra.trust.verdict import Certified

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle
    from sigstore.verify import Verifier

    from petra.trust.certificate import Leaf
    from petra.trust.dsse import Envelope
    from petra.trust.identity import Identity
    from petra.trust.keyless import KeylessPolicy
    from petra.trust.root import TrustedRoot
    from petra.trust.sigstore import SigstoreBundle


def leaf_of(bundle: SigstoreBundle, *, where: str) -> Leaf:
    """Return a bundle's certificate.

    Raises:
        SignatureError: there is none.
    """
    value = bundle.verification.get("certificate")
    raw = value.get("rawBytes") if isinstance(value, dict) else None
    return load_leaf(decode_base64(raw, what="certificate", where=where), where=where)


def log_entry_of(bundle: SigstoreBundle) -> dict[str, Any]:
    """Return a bundle's one log entry.

    Raises:
        SignatureError: there is not exactly one.
    """
    entries = bundle.verification.get("tlogEntries")
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        raise SignatureError("Sigstore bundle without exactly one log entry")
    return entries[0]


def verify_bundle(data: bytes, leaf: Leaf, envelope: Envelope, policy: KeylessPolicy) -> Certified:
    """Verify the one signature of a bundle's envelope, all but what the envelope says.

    Args:
        data: the bundle, a JSON document.
        leaf: its certificate, as it will be used.
        envelope: its envelope, as it will be used.
        policy: what to verify against; its age is the caller's to check.

    Raises:
        SignatureError: a step failed.
    """
    parsed = _verified(data, leaf, envelope, policy)
    entry = parsed.log_entry._inner  # noqa: SLF001  # has no public accessor for id and index
    time = _time(parsed)
    pinned_log(policy.root, entry.log_id.key_id, time)
    who = check_certificate(leaf, time, policy.root, policy.identities)
    return Certified(
        identity=who.identity,
        issuer=who.issuer,
        certificate=leaf.digest,
        log_id=entry.log_id.key_id.hex(),
        log_index=entry.log_index,
        time=time,
        root=policy.root.digest,
    )


def _verified(data: bytes, leaf: Leaf, envelope: Envelope, policy: KeylessPolicy) -> Bundle:
    """Return the bundle if sigstore-python is content with it, and read the same in it as we."""
    from sigstore.models import Bundle  # noqa: PLC0415  # takes half a second

    verifier = _verifier(policy.root)
    try:
        bundle = Bundle.from_json(data)
        read = verifier.verify_dsse(bundle, _Exactly(policy.identities))
    except SignatureError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever hostile bytes make it raise is a no
        reason = " ".join(str(error).split())[:200]
        raise SignatureError(f"Sigstore bundle does not verify: {reason}") from None
    if (bundle.signing_certificate, *read) != (
        *(leaf.certificate, envelope.payload_type),
        envelope.payload,
    ):
        raise SignatureError("Sigstore bundle that two readers understand differently")
    return bundle


@dataclass(frozen=True, slots=True)
class _Exactly:
    """Identities, as sigstore-python asks whether a certificate is one of theirs."""

    identities: tuple[Identity, ...]

    def verify(self, cert: Certificate) -> None:
        """Check that `cert` is one of theirs."""
        check_identity(cert, self.identities)


@lru_cache(maxsize=4)
def _verifier(root: TrustedRoot) -> Verifier:
    from sigstore.models import TrustedRoot as SigstoreRoot  # noqa: PLC0415  # as above
    from sigstore.verify import Verifier  # noqa: PLC0415  # as above
    from sigstore_models.trustroot.v1 import TrustedRoot as Inner  # noqa: PLC0415  # as above

    return Verifier(trusted_root=SigstoreRoot(Inner.from_json(root.data)))


def _time(bundle: Bundle) -> datetime:
    """Return the time that was verified: by the log's promise, or the only timestamp there is."""
    entry = bundle.log_entry._inner  # noqa: SLF001  # as above
    if entry.inclusion_promise and entry.integrated_time:
        return datetime.fromtimestamp(entry.integrated_time, UTC)
    data = bundle.verification_material.timestamp_verification_data
    timestamps = data.rfc3161_timestamps if data else []
    if len(timestamps) != 1:
        raise SignatureError(
            "Sigstore bundle without exactly one source of time",
            expected="a log's promise, or one timestamp",
            found=f"{len(timestamps)} timestamps",
        )
    return timestamps[0].tst_info.gen_time.astimezone(UTC)
