"""Creates a bundle: resolve, verify, plan, pack, sign. One pass over the network, one file written.

The steps, each owned by one function:

1. platform manifests are read, which says which charts are needed (:mod:`petra.bundle.needs`);
2. every image and chart is resolved (:func:`petra.bundle.resolve.resolve`);
3. images' signatures are verified (:func:`verify_images`);
4. the manifests get the images' digests, and missing images are named
   (:func:`petra.bundle.needs.settle`);
5. the lock is made, or compared with the one given (:func:`petra.bundle.resolve.make_lock`);
6. the members are listed and planned, packed and signed (:func:`create`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from petra.archive import members
from petra.archive.framing import framing
from petra.archive.plan import Plan, Text
from petra.archive.sink import FileSink
from petra.archive.writer import FETCHERS, pack
from petra.bundle.describe import Contents, bundle_members
from petra.bundle.metadata import load_metadata
from petra.bundle.needs import read_platform, settle, wanted_charts
from petra.bundle.provenance import Invocation, make_statement
from petra.bundle.refusals import refuse
from petra.bundle.resolve import make_lock, resolve
from petra.bundle.signatures import remove_signatures, write_signatures
from petra.content.parallel import in_parallel
from petra.content.stream import fetch_document
from petra.errors import VerificationError
from petra.trust.documents import signature_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from petra.archive.blobs import BlobStore
    from petra.archive.sink import Sink
    from petra.archive.writer import Packed, Watch
    from petra.bundle.images import ResolvedImage
    from petra.bundle.lock import Lock
    from petra.bundle.needs import Settled
    from petra.bundle.resolve import Resolution, Sources
    from petra.bundle.spec import ImageSpec, Spec
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.trust.policy import SignaturePolicy
    from petra.trust.signer import Signer
    from petra.trust.verdict import SignatureVerdict

#: Images whose signatures are fetched and checked at a time.
_WORKERS = 6


@dataclass(frozen=True, slots=True)
class Request:
    """What to create.

    Attributes:
        spec: the spec.
        spec_bytes: its bytes.
        folder: where the spec lies; its relative paths start there.
        sources: where images and charts are found.
        now: the moment of resolving.
        locked: a lock to keep to, or None.
        allow_missing_images: go on although a bundled release needs an image the spec lacks.
    """

    spec: Spec
    spec_bytes: bytes
    folder: Path
    sources: Sources
    now: datetime
    locked: Lock | None = None
    allow_missing_images: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request, resolved: everything is known, nothing large was fetched."""

    resolution: Resolution
    settled: Settled
    lock: Lock


class Place(Protocol):
    """What a bundle is written to, in one pass.

    Attributes:
        sink: takes its bytes.
        watch: is handed them in order; None where nobody needs them.
    """

    sink: Sink
    watch: Watch | None

    def sign(
        self, digest: Digest, signer: Signer, statement: bytes, progress: Progress, /
    ) -> tuple[Path, ...]:
        """Sign the bundle, all of which was written; not yet committed.

        Returns:
            The paths of ``.sig``, ``.sigstore.json`` and ``.intoto.json``.
        """
        ...


class FilePlace:
    """One file, and its signatures beside it.

    Args:
        path: the file.
        size: its length in bytes.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.sink: Sink = FileSink(path, size)
        self.watch: Watch | None = None

    def sign(
        self, digest: Digest, signer: Signer, statement: bytes, progress: Progress
    ) -> tuple[Path, ...]:
        """Write the signatures; see :class:`Place`."""
        del progress  # nothing here takes long
        return write_signatures(self._path, digest, signer, statement)


@dataclass(frozen=True, slots=True)
class Output:
    """What is written, and how.

    Attributes:
        path: the bundle's file.
        form: ``tar.zst`` or ``tar.gz``.
        mtime: every member's time, seconds since 1970; None for the lock's.
        store: takes a copy of each blob that it has not; None for no copies.
        fetchers: connections that fetch at once.
        flags: what the caller chose beside the spec; the provenance tells it.
        place: opens what it is written to, given path and size.
        approve: is shown the plan before anything is written; raises to refuse it.
    """

    path: Path
    form: str = "tar.zst"
    mtime: int | None = None
    store: BlobStore | None = None
    fetchers: int = FETCHERS
    flags: Mapping[str, bool | str] = field(default_factory=dict)
    place: Callable[[Path, int], Place] = FilePlace
    approve: Callable[[Plan], None] | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """What was written.

    Attributes:
        path: the bundle.
        packed: its digest and size.
        contents: what it holds.
        signatures: both forms of its signature; none for an unsigned bundle.
        provenance: its provenance; None for an unsigned bundle.
    """

    path: Path
    packed: Packed
    contents: Contents
    signatures: tuple[Path, ...]
    provenance: Path | None


def prepare(request: Request) -> Prepared:
    """Resolve a request and make its lock.

    Raises:
        PetraError: what :func:`petra.bundle.resolve.resolve` raises.
        IncompleteError: a bundled release needs an image that the spec lacks.
        DriftError: the lock that was given says something else.
    """
    wanted = request.spec.spec.platform
    path = request.folder / wanted.path if wanted.path else None
    files = read_platform(request.spec, path)
    charts = wanted_charts(request.spec, files)
    resolution = resolve(request.spec, request.spec_bytes, request.sources, charts, request.locked)
    settled = settle(
        request.spec,
        files,
        resolution.charts,
        resolution.images,
        allow_missing=request.allow_missing_images or wanted.allow_missing_images,
        locked=request.locked,
    )
    lock = make_lock(resolution, settled, now=request.now, locked=request.locked)
    return Prepared(resolution, settled, lock)


def verify_images(
    resolution: Resolution, policy: Callable[[ImageSpec], SignaturePolicy]
) -> dict[str, SignatureVerdict]:
    """Verify the signatures of every image.

    Args:
        resolution: the images and their attachments.
        policy: gives for an image of the spec what its signatures must satisfy.

    Returns:
        For each image, by name, what vouches for it.

    Raises:
        SignatureError: an image is unsigned, or no signature of it suffices.
        PolicyError: no policy says who must have signed an image. Of several images that are
            refused each is named, with its reason.
    """
    return accepted(resolution, check_images(resolution, policy))


def accepted(
    resolution: Resolution, outcomes: Mapping[str, SignatureVerdict | VerificationError]
) -> dict[str, SignatureVerdict]:
    """Return the verdicts of images of which none was refused.

    Args:
        resolution: the images.
        outcomes: as :func:`check_images` returns them.

    Raises:
        VerificationError: some were; each is named, with its reason.
    """
    images = resolution.images
    failures = {
        f"{image.name} ({image.reference})": outcome
        for image in images
        if isinstance(outcome := outcomes[image.name], VerificationError)
    }
    refuse(failures, len(images))
    return {
        name: outcome
        for name, outcome in outcomes.items()
        if not isinstance(outcome, VerificationError)
    }


def check_images(
    resolution: Resolution, policy: Callable[[ImageSpec], SignaturePolicy]
) -> dict[str, SignatureVerdict | VerificationError]:
    """Check the signatures of every image, several at a time.

    Args:
        resolution: the images and their attachments.
        policy: gives for an image of the spec what its signatures must satisfy.

    Returns:
        For each image, by name, what vouches for it, or why it is refused.

    Raises:
        PetraError: a source failed.
    """

    def check(pair: tuple[ImageSpec, ResolvedImage]) -> SignatureVerdict | VerificationError:
        image, found = pair
        try:
            return _verify_image(found, policy(image))
        except VerificationError as error:
            return error

    pairs = [*zip(resolution.spec.spec.images, resolution.images, strict=True)]
    outcomes = in_parallel(check, pairs, workers=_WORKERS)
    return {image.name: one for (image, _), one in zip(pairs, outcomes, strict=True)}


def _verify_image(image: ResolvedImage, policy: SignaturePolicy) -> SignatureVerdict:
    documents = signature_documents(
        image.attachments,
        lambda descriptor: fetch_document(image.source, descriptor),
        subject=image.root.digest,
    )
    return policy.evaluate(image.root, documents, where=f"{image.name} ({image.reference})")


def create(
    contents: Contents, output: Output, signer: Future[Signer] | None, progress: Progress
) -> Created:
    """Write the bundle and its signatures.

    Args:
        contents: what goes in.
        output: where it goes.
        signer: who signs it, perhaps still on the way (unsealing a key takes its time); awaited
            before a byte is fetched. None to write no signature.
        progress: told of each piece.

    Raises:
        PetraError: a source, the disk or the signer failed. Nothing is left under `path`, unless
            it stood there before.
    """
    path, mtime = output.path, output.mtime
    time = int(contents.lock.created.timestamp()) if mtime is None else mtime
    plan = Plan(bundle_members(contents), time, framing(output.form))
    if output.approve:
        output.approve(plan)
    # Before the window is allocated: unsealing a key takes 64 MiB for a moment.
    who = signer.result() if signer else None
    place = output.place(path, plan.size)
    try:
        progress.on_start(path.name, plan.size)
        packed = pack(plan, place.sink, progress, output.store, output.fetchers, place.watch)
        # The signatures come first: a bundle is never there unsigned.
        written = (
            place.sign(packed.digest, who, _statement(plan, packed, output), progress)
            if who
            else ()
        )
        place.sink.commit()
        progress.on_done()
    finally:
        place.sink.abort()
    if not who:
        remove_signatures(path)
    return Created(path, packed, contents, written[:2], written[2] if written else None)


def _statement(plan: Plan, packed: Packed, output: Output) -> bytes:
    """Return the provenance of the bundle that `plan` describes. Its own documents say what."""
    head = {member.name: member for member in plan.members[: len(members.HEAD)]}
    metadata = head[members.METADATA]
    assert isinstance(metadata, Text)  # noqa: S101  # for mypy: all of the head is text
    how = Invocation(
        spec=head[members.SPEC].digest,
        lock=head[members.LOCK].digest,
        started=datetime.fromtimestamp(plan.mtime, UTC),
        flags={"format": output.form, **output.flags},
    )
    return make_statement(output.path.name, packed.digest, load_metadata(metadata.data), how)
