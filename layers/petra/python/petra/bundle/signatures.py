"""The files beside a bundle: ``FILE.sig``, ``FILE.sigstore.json``, ``FILE.intoto.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.archive.sink import FileSink
from petra.bundle.provenance import PROVENANCE_SUFFIX
from petra.content.digest import Digest, Hasher
from petra.errors import FormatError, NotFoundError, SignatureError, StorageError
from petra.oci.media_types import IN_TOTO
from petra.trust.blob import (
    BUNDLE_SUFFIX,
    SIGNATURE_SUFFIX,
    signature_file,
    sigstore_bundle,
    verify_blob_by_any,
)
from petra.trust.dsse import sign_envelope
from petra.trust.sigstore import BUNDLE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from petra.archive.source import Source
    from petra.content.progress import Progress
    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer

_CHUNK: Final = 4 * 1024 * 1024


def signature_path(file: Path) -> Path:
    """Return the path of the ``.sig`` beside `file`."""
    return file.with_name(file.name + SIGNATURE_SUFFIX)


def bundle_path(file: Path) -> Path:
    """Return the path of the ``.sigstore.json`` beside `file`."""
    return file.with_name(file.name + BUNDLE_SUFFIX)


def provenance_path(file: Path) -> Path:
    """Return the path of the ``.intoto.json`` beside `file`."""
    return file.with_name(file.name + PROVENANCE_SUFFIX)


def hash_source(source: Source, progress: Progress) -> Digest:
    """Return the digest of all of `source`, read once in constant memory.

    Args:
        source: an open file.
        progress: told of each chunk; phases are the caller's.

    Raises:
        FormatError: the source ends before its size.
        StorageError: it cannot be read.
    """
    hasher, buffer = Hasher(), memoryview(bytearray(min(_CHUNK, max(source.size, 1))))
    for offset in range(0, source.size, len(buffer)):
        part = buffer[: source.size - offset]
        source.read_into(offset, part)
        hasher.update(part)
        progress.on_progress(len(part))
    return hasher.digest()


def signed_files(
    name: str, digest: Digest, signer: Signer, statement: bytes | None = None
) -> dict[str, bytes]:
    """Sign what has `digest` and return what lies beside it, by file name.

    Args:
        name: the signed file's name.
        digest: its digest.
        signer: who signs.
        statement: the file's provenance, which is signed too; None for none.

    Raises:
        PetraError: as :func:`write_signatures`, less the disk.
    """
    der = signer.sign_digest(digest)
    contents = {
        name + SIGNATURE_SUFFIX: signature_file(der),
        name + BUNDLE_SUFFIX: sigstore_bundle(digest, der, signer.public_key),
    }
    if statement is not None:
        contents[name + PROVENANCE_SUFFIX] = sign_envelope(IN_TOTO, statement, signer)
    return contents


def write_signatures(
    file: Path, digest: Digest, signer: Signer, statement: bytes | None = None
) -> tuple[Path, ...]:
    """Sign what has `digest` and write both forms of the signature beside `file`.

    Each file appears whole or not at all, and none before all are on the disk.

    Args:
        file: the signed file's path; not read.
        digest: its digest.
        signer: who signs.
        statement: the file's provenance, which is signed and written too; None for none.

    Returns:
        The paths of ``.sig`` and ``.sigstore.json``, and of ``.intoto.json`` if it was written.

    Raises:
        AccessError: the signer refuses.
        TransportError: the signer cannot be reached.
        SignatureError: what the signer returned does not verify.
        NoSpaceError: the disk is full.
        StorageError: the disk refused for another reason.
    """
    contents = signed_files(file.name, digest, signer, statement)
    sinks: list[FileSink] = []
    try:
        for name, data in contents.items():
            sinks.append(FileSink(file.with_name(name), len(data)))
            sinks[-1].write_at(0, data)
        for sink in sinks:
            sink.commit()
    finally:
        for sink in sinks:
            sink.abort()
    return tuple(map(file.with_name, contents))


def verified_document(
    path: Path, keys: Sequence[PublicKey], *, limit: int
) -> tuple[bytes, PublicKey]:
    """Return a small signed file, read once and verified with what lies beside it.

    Args:
        path: the file; ``.sig``, ``.sigstore.json`` or both lie beside it.
        keys: whose signature counts.
        limit: the most bytes that it may have.

    Returns:
        Its content, and the key that signed it.

    Raises:
        NotFoundError: it is not there.
        FormatError: it is larger.
        SignatureError: it is unsigned, was changed, or another key signed it.
        StorageError: it cannot be read.
    """
    from petra.oci._files import FileStream  # noqa: PLC0415  # few need it

    with FileStream.open(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise FormatError("file too large", where=str(path), expected=f"at most {limit} bytes")
    signature, bundle = read_signatures(path)
    key = verify_blob_by_any(
        Digest.of(data), keys, signature=signature, bundle=bundle, where=str(path)
    )
    return data, key


def write_document(path: Path, data: bytes, signer: Signer) -> tuple[Path, ...]:
    """Write a small file and both forms of its signature; the file comes last, whole or not at all.

    Args:
        path: the file; what stood there is replaced.
        data: its content.
        signer: who signs.

    Returns:
        The paths of the file, of ``.sig`` and of ``.sigstore.json``.

    Raises:
        PetraError: as :func:`write_signatures`.
    """
    sink = FileSink(path, len(data))
    try:
        sink.write_at(0, data)
        signatures = write_signatures(path, Digest.of(data), signer)
        sink.commit()
    finally:
        sink.abort()
    return path, *signatures


def remove_signatures(file: Path) -> None:
    """Remove the files beside a bundle that an unsigned one has replaced: they fit no more."""
    for path in (signature_path(file), bundle_path(file), provenance_path(file)):
        path.unlink(missing_ok=True)


def read_provenance(file: Path) -> bytes | None:
    """Return the content of the ``.intoto.json`` beside a bundle, None where there is none.

    Raises:
        SignatureError: it is too large.
        StorageError: it cannot be read.
    """
    return _read(provenance_path(file))


def read_beside(file: Path) -> dict[str, bytes]:
    """Return all that lies beside a bundle and belongs to it, by the end of its name.

    Raises:
        SignatureError: one is too large.
        StorageError: one cannot be read.
    """
    suffixes = (SIGNATURE_SUFFIX, BUNDLE_SUFFIX, PROVENANCE_SUFFIX)
    found = {suffix: _read(file.with_name(file.name + suffix)) for suffix in suffixes}
    return {suffix: data for suffix, data in found.items() if data is not None}


def read_signatures(file: Path, named: Path | None = None) -> tuple[bytes | None, bytes | None]:
    """Return the contents of a bundle's signature files, as ``verify_blob_digest`` takes them.

    Args:
        file: the bundle.
        named: the signature file that the user names, of either form; it then stands alone.
            Without it, whichever of the two lies beside the bundle is read.

    Returns:
        The ``.sig`` and the ``.sigstore.json``, None for one that is not there.

    Raises:
        NotFoundError: the named file is not there.
        SignatureError: a file is too large for a signature.
        StorageError: a file cannot be read.
    """
    if named is None:
        return _read(signature_path(file)), _read(bundle_path(file))
    data = _read(named)
    if data is None:
        raise NotFoundError("no such signature file", where=str(named), hint="check --signature")
    # A Sigstore bundle is a JSON object, and base64 has no braces.
    return (None, data) if data.lstrip()[:1] == b"{" else (data, None)


def _read(path: Path) -> bytes | None:
    from petra.oci._files import FileStream  # noqa: PLC0415  # few need it

    try:
        with FileStream.open(path) as file:
            data = file.read(BUNDLE_LIMIT + 1)
    except NotFoundError:
        return None
    except StorageError as error:
        raise StorageError(
            "signature file cannot be read", where=str(path), found=error.found or error.message
        ) from None
    if len(data) > BUNDLE_LIMIT:
        raise SignatureError(
            "file too large for a signature",
            where=str(path),
            expected=f"at most {BUNDLE_LIMIT} bytes",
        )
    return data
