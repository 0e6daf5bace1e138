"""Signatures of files, as ``cosign sign-blob`` writes them and ``cosign verify-blob`` reads them.

Two forms stand beside a file, of one and the same signature: ``FILE.sig`` and
``FILE.sigstore.json``. :func:`verify_blob_digest` takes these steps, each by the function named:

1. something to verify was given (:func:`verify_blob_digest`);
2. the ``.sig`` is canonical base64 (:func:`_decoded`);
3. it is the key's signature over the digest (:func:`_check_signature`);
4. the ``.sigstore.json`` is a bundle of v0.3 and holds a message signature (:func:`_message`);
5. it claims a bare public key, no certificate (``require_public_key``);
6. the digest in it is SHA-256 and the file's (:func:`_check_digest`);
7. the signature in it is the key's over the digest (:func:`_check_signature`).

Where both are given, both must verify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.errors import SettingError, SignatureError
from petra.trust.keys import SIGNING_ALGORITHM
from petra.trust.sigstore import (
    SHA256_NAME,
    MessageSignature,
    message_bundle,
    parse_sigstore_bundle,
    require_public_key,
)
from petra.trust.text import decode_base64, encode_base64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.digest import Digest
    from petra.trust.keys import PublicKey

SIGNATURE_SUFFIX: Final = ".sig"
BUNDLE_SUFFIX: Final = ".sigstore.json"
#: The largest accepted key is RSA of 8192 bits: 1368 characters.
SIGNATURE_FILE_LIMIT: Final = 4096


def signature_file(der: bytes) -> bytes:
    """Return a ``.sig`` file's content: base64 of the DER signature, no newline."""
    return encode_base64(der).encode("ascii")


def sigstore_bundle(digest: Digest, der: bytes, public_key: PublicKey) -> bytes:
    """Return a ``.sigstore.json`` file's content.

    Args:
        digest: of the file.
        der: the signature over it.
        public_key: whose signature it is.
    """
    return message_bundle(digest, der, public_key)


def verify_blob_digest(
    digest: Digest,
    key: PublicKey,
    *,
    signature: bytes | None,
    bundle: bytes | None,
    where: str,
) -> None:
    """Check a file's signature, given in one form or both. Returns only if all of it is right.

    Args:
        digest: of the whole file, as it was read.
        key: who must have signed it.
        signature: the ``.sig`` file's content, where there is one; a newline at its end is let
            pass, since editors and shells add one.
        bundle: the ``.sigstore.json`` file's content, where there is one.
        where: the file's name, for errors.

    Raises:
        SignatureError: there is no signature, or one of them is not right.
    """
    if signature is None and bundle is None:
        raise SignatureError(
            "file is not signed",
            where=where,
            expected=f"{where}{SIGNATURE_SUFFIX} or {where}{BUNDLE_SUFFIX}",
            hint="copy the signature beside the file, or name it with --signature",
        )
    if signature is not None:
        name = f"{where}{SIGNATURE_SUFFIX}"
        _check_signature(_decoded(signature, name), digest, key, name)
    if bundle is not None:
        name = f"{where}{BUNDLE_SUFFIX}"
        message = _message(bundle, name)
        _check_digest(message, digest, name)
        _check_signature(message.signature, digest, key, name)


def verify_blob_by_any(
    digest: Digest,
    keys: Sequence[PublicKey],
    *,
    signature: bytes | None,
    bundle: bytes | None,
    where: str,
) -> PublicKey:
    """Check a file's signature as :func:`verify_blob_digest` does, by one of several keys.

    Returns:
        The key that verified it.

    Raises:
        SettingError: there is no key.
        SignatureError: no key verifies it; the error is the last key's.
    """
    failure: Exception = SettingError(
        "no public key to verify with", where=where, hint="name one with --key"
    )
    for key in keys:
        try:
            verify_blob_digest(digest, key, signature=signature, bundle=bundle, where=where)
        except SignatureError as error:
            failure = error
        else:
            return key
    raise failure


def _decoded(signature: bytes, where: str) -> bytes:
    if len(signature) > SIGNATURE_FILE_LIMIT:
        raise SignatureError(
            "signature file too large",
            where=where,
            expected=f"at most {SIGNATURE_FILE_LIMIT} bytes",
            found=f"{len(signature)} bytes",
        )
    text = signature.decode("latin-1").removesuffix("\n").removesuffix("\r")
    return decode_base64(text, what="signature", where=where)


def _message(bundle: bytes, where: str) -> MessageSignature:
    parsed = parse_sigstore_bundle(bundle, where=where)
    require_public_key(parsed, where=where)
    if not isinstance(parsed.content, MessageSignature):
        raise SignatureError(
            "Sigstore bundle signs a statement, not a file",
            where=where,
            expected="messageSignature",
            found="dsseEnvelope",
        )
    return parsed.content


def _check_digest(message: MessageSignature, digest: Digest, where: str) -> None:
    if message.algorithm != SHA256_NAME:
        raise SignatureError(
            "Sigstore bundle with a digest of another kind",
            where=where,
            expected=SHA256_NAME,
            found=message.algorithm,
            hint=f"sign with an {SIGNING_ALGORITHM} key, as `petra keygen` makes",
        )
    if message.digest != digest.raw:
        raise SignatureError(
            "Sigstore bundle is for another file",
            where=where,
            expected=digest,
            found=f"sha256:{message.digest.hex()[:128]}",
            hint="the file was changed after signing, or the signature belongs to another one",
        )


def _check_signature(signature: bytes, digest: Digest, key: PublicKey, where: str) -> None:
    if key.verifies_digest(signature, digest):
        return
    raise SignatureError(
        "signature does not verify",
        where=where,
        expected=f"a signature by {key} over {digest}",
        hint="the file was changed after signing, or another key signed it: get it anew, or give "
        "the signer's public key"
        if key.algorithm == SIGNING_ALGORITHM
        else f"files are verified with {SIGNING_ALGORITHM} keys; the hash that goes with an "
        f"{key.algorithm} key may be another one than SHA-256",
    )
