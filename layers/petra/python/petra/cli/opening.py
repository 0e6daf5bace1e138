"""How commands open a bundle: verified with a key, or marked as unverified."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from petra.errors import PetraError, PolicyError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from petra.archive.source import Source
    from petra.bundle.metadata import Metadata
    from petra.bundle.receive import Receiver
    from petra.bundle.verify import Signed, VerifiedBundle
    from petra.cli.command import Call
    from petra.content.progress import Progress
    from petra.trust.keys import PublicKey


@contextmanager
def verified(
    call: Call,
    file: str,
    signature: str | None = None,
    *,
    key: str | Sequence[PublicKey] | None = None,
    provenance: bool = False,
    policy: Callable[[Signed], None] | None = None,
    receiver: Receiver | None = None,
) -> Iterator[VerifiedBundle]:
    """Verify the bundle `file` and give it, held open.

    Args:
        call: settings and console.
        file: the bundle's path, or its chunk folder's.
        signature: the signature file that the user names.
        key: the public key's place; None to take it from the settings, or else the receiver's
            signers. Or public keys at hand.
        provenance: whether the bundle's provenance is checked too, by the same keys. The receiver
            may ask for it as well.
        policy: further rules, asked once the signature is good.
        receiver: what is asked of the bundle; None asks for a good signature alone.

    Raises:
        SettingError: no public key is given.
        VerificationError: the bundle is not what it should be.
    """
    from petra.bundle.provenance import check_provenance  # noqa: PLC0415  # start-up time
    from petra.bundle.signatures import read_provenance, read_signatures  # noqa: PLC0415  # as above
    from petra.bundle.verify import verify_bundle  # noqa: PLC0415  # as above

    def check(signed: Signed) -> None:
        if receiver:
            from petra.bundle.receive import check_signed  # noqa: PLC0415  # as above

            check_signed(receiver, signed)
        if policy:
            policy(signed)

    keys = sender_keys(call, key, receiver)
    provenance = provenance or (receiver is not None and receiver.bundle.provenance)
    with open_source(Path(file), keys) as source:
        path = Path(source.name)  # for a chunk folder, the name of the bundle in it
        signatures = read_signatures(path, Path(signature) if signature else None)
        envelope = read_provenance(path) if provenance else None
        with call.console.progress() as progress, _chunks_named(source, progress):
            found = verify_bundle(source, signatures, keys, progress, policy=check)
        if provenance:
            check_provenance(
                envelope, found.archive.digest, found.metadata, keys, where=source.name
            )
        yield _received(receiver, found) if receiver else found


def _received(receiver: Receiver, found: VerifiedBundle) -> VerifiedBundle:
    """Return the bundle with what vouches for its images, if it is what the receiver asks for."""
    from petra.bundle.receive import receiver_policy  # noqa: PLC0415  # start-up time

    return replace(found, verdicts=receiver_policy(receiver, found))


def sender_keys(
    call: Call, key: str | Sequence[PublicKey] | None, receiver: Receiver | None
) -> Sequence[PublicKey]:
    """Return who may have signed a bundle: `key`, else the setting, else the receiver's policy.

    Raises:
        SettingError: none of them says.
    """
    from petra.cli.keys import public_keys  # noqa: PLC0415  # start-up time

    if key is not None and not isinstance(key, str):
        return key
    named = key or call.settings.verify_key
    signers = receiver.signers if receiver and not named else ()
    return signers or public_keys(named or call.settings.need("verify_key"))


@contextmanager
def open_source(path: Path, keys: Sequence[PublicKey] | None = None) -> Iterator[Source]:
    """Open a bundle: a file, or a folder of chunks as one file.

    Args:
        path: the file or folder.
        keys: who may have signed the manifest of a folder; None to check no signature.

    Raises:
        SignatureError: the manifest is not signed by one of them.
        ChunksError: a chunk is missing or has another size.
    """
    if path.is_dir():
        from petra.transfer.source import ChunkSource, open_folder  # noqa: PLC0415  # as above

        with ChunkSource(open_folder(path, keys)) as chunks:
            yield chunks
        return
    from petra.archive.source import FileSource  # noqa: PLC0415  # start-up time

    with FileSource(path) as source:
        yield source


@contextmanager
def _chunks_named(source: Source, progress: Progress) -> Iterator[None]:
    """Where verification fails on a chunk folder, name the damaged chunks."""
    try:
        yield
    except PolicyError:
        raise  # of a bundle that is whole
    except VerificationError:
        if folder := getattr(source, "folder", None):
            from petra.transfer.restore import name_damage  # noqa: PLC0415  # as above

            name_damage(folder, progress)
        raise


def unverified_metadata(path: Path) -> tuple[Metadata, int]:
    """Return what the bundle at `path` says of itself, unchecked, and the file's size in bytes.

    Raises:
        FormatError: it is no bundle.
    """
    from petra.archive.members import METADATA  # noqa: PLC0415  # start-up time
    from petra.archive.reader import ArchiveReader  # noqa: PLC0415  # as above
    from petra.bundle.metadata import load_metadata  # noqa: PLC0415  # as above

    with open_source(path) as source:
        try:
            return load_metadata(ArchiveReader(source).read(METADATA)), source.size
        except PetraError as error:
            error.name(f"bundle {path}")
            raise
