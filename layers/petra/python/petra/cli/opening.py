"""How commands open a bundle: verified with a key, or marked as unverified."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from petra.errors import PetraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from petra.bundle.metadata import Metadata
    from petra.bundle.receive import Receiver
    from petra.bundle.verify import Signed, VerifiedBundle
    from petra.cli.command import Call


@contextmanager
def verified(
    call: Call,
    file: str,
    signature: str | None = None,
    *,
    key: str | None = None,
    provenance: bool = False,
    policy: Callable[[Signed], None] | None = None,
    receiver: Receiver | None = None,
) -> Iterator[VerifiedBundle]:
    """Verify the bundle `file` and give it, held open.

    Args:
        call: settings and console.
        file: the bundle's path.
        signature: the signature file that the user names.
        key: the public key's place; None to take it from the settings, or else the receiver's
            signers.
        provenance: whether the bundle's provenance is checked too, by the same keys. The receiver
            may ask for it as well.
        policy: further rules, asked once the signature is good.
        receiver: what is asked of the bundle; None asks for a good signature alone.

    Raises:
        SettingError: no public key is given.
        VerificationError: the bundle is not what it should be.
    """
    from petra.archive.source import FileSource  # noqa: PLC0415  # start-up time
    from petra.bundle.provenance import check_provenance  # noqa: PLC0415  # as above
    from petra.bundle.signatures import read_provenance, read_signatures  # noqa: PLC0415  # as above
    from petra.bundle.verify import verify_bundle  # noqa: PLC0415  # as above
    from petra.cli.keys import public_keys  # noqa: PLC0415  # as above

    def check(signed: Signed) -> None:
        if receiver:
            from petra.bundle.receive import check_signed  # noqa: PLC0415  # as above

            check_signed(receiver, signed)
        if policy:
            policy(signed)

    named = key or call.settings.verify_key
    signers = receiver.signers if receiver and not named else ()
    keys = signers or public_keys(named or call.settings.need("verify_key"))
    provenance = provenance or (receiver is not None and receiver.bundle.provenance)
    path = Path(file)
    with FileSource(path) as source:
        signatures = read_signatures(path, Path(signature) if signature else None)
        envelope = read_provenance(path) if provenance else None
        with call.console.progress() as progress:
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


def unverified_metadata(path: Path) -> tuple[Metadata, int]:
    """Return what the bundle at `path` says of itself, unchecked, and the file's size in bytes.

    Raises:
        FormatError: it is no bundle.
    """
    from petra.archive.members import METADATA  # noqa: PLC0415  # start-up time
    from petra.archive.reader import ArchiveReader  # noqa: PLC0415  # as above
    from petra.archive.source import FileSource  # noqa: PLC0415  # as above
    from petra.bundle.metadata import load_metadata  # noqa: PLC0415  # as above

    with FileSource(path) as source:
        try:
            return load_metadata(ArchiveReader(source).read(METADATA)), source.size
        except PetraError as error:
            error.name(f"bundle {path}")
            raise
