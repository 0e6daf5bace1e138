"""What a bundle says about itself: ``metadata.json``, ``index.json`` and the plan's members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra import __version__
from petra.archive import members
from petra.archive.plan import Stored, Text
from petra.archive.sums import checksums
from petra.archive.target import NAME, RUNTIME_NAME
from petra.bundle.lock import Lock, dump_lock
from petra.bundle.metadata import (
    UNVERIFIED,
    ChartRecord,
    Check,
    Checks,
    ComponentRecord,
    ImageRecord,
    LogRecord,
    Member,
    Metadata,
    PolicyRecord,
    SignatureCheck,
    Tool,
    Totals,
    TrustedRootRecord,
    VerifiedSignature,
    dump_metadata,
    image_names,
)
from petra.content.descriptor import Descriptor
from petra.content.digest import Digest
from petra.content.stream import BytesStream
from petra.encoding.json import dump_json
from petra.helm.index import repository_index
from petra.oci.media_types import OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from petra.bundle.evidence_records import Gathered, ImageEvidence
    from petra.bundle.images import ResolvedImage
    from petra.bundle.lock import LockedImage
    from petra.bundle.metadata import Base
    from petra.bundle.platform_files import PlatformFiles
    from petra.bundle.resolve import Resolution
    from petra.content.protocols import ByteStream
    from petra.helm.repository import ResolvedChart
    from petra.trust import verdict as verdicts
    from petra.trust.verdict import SignatureVerdict

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
UNSIGNED = "output.sign is false in the spec"
UNVERIFIED_CHART = "provenance files of charts are not verified by this version"

TRUSTED_ROOT = "attestations/trusted_root.json"


@dataclass(frozen=True, slots=True)
class InMemory:
    """A RangeFetcher over bytes that are at hand."""

    data: bytes

    def fetch(self, descriptor: Descriptor, /) -> ByteStream:  # noqa: ARG002  # the protocol's
        """Return all bytes."""
        return BytesStream(self.data)

    def fetch_range(self, descriptor: Descriptor, offset: int, length: int, /) -> ByteStream:  # noqa: ARG002  # the protocol's
        """Return some of them."""
        return BytesStream(self.data[offset : offset + length])


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a bundle's members are made from.

    Attributes:
        resolution: what was found.
        lock: what it was pinned to.
        platform: the manifests, with overrides.
        components: what the manifests deploy, for the metadata.
        verdicts: for each image, by its name in the spec, what vouches for it.
        evidence: what there is about the images beside their signatures.
        policy: what it was made by; None where the spec decided alone.
        trusted_root: the ``trusted_root.json`` that a keyless signature was verified against; None
            where there was none.
        base: what the receiver holds already, and so stays out; None for a whole bundle.
    """

    resolution: Resolution
    lock: Lock
    platform: PlatformFiles
    components: tuple[ComponentRecord, ...]
    verdicts: Mapping[str, SignatureVerdict]
    evidence: Gathered
    policy: PolicyRecord | None = None
    trusted_root: bytes | None = None
    base: Base | None = None


def bundle_members(contents: Contents) -> list[Text | Stored]:
    """Return all members of the bundle, in the format's order. Sections 2 to 4.

    Raises:
        UsageError: two charts have one name and version.
    """
    opening = [
        Text(members.OCI_LAYOUT, LAYOUT),
        Text(members.INDEX, image_index(contents.lock.images)),
    ]
    spec = Text(members.SPEC, contents.resolution.spec_bytes)
    lock = Text(members.LOCK, dump_lock(contents.lock))
    rest = [*_charts(contents), *_texts(contents), *_blobs(contents)]
    listed = [*opening, spec, lock, *rest]
    metadata = Text(members.METADATA, dump_metadata(_metadata(contents, listed)))
    whole = [*opening, metadata, spec, lock, *rest]
    sums = Text(members.SUMS, checksums((member.name, member.digest) for member in whole))
    return [*whole[: len(members.HEAD) - 1], sums, *rest]


def _charts(contents: Contents) -> Iterator[Text | Stored]:
    charts = contents.resolution.charts
    if not charts:
        return
    files = {f"charts/{chart.file_name}": chart for chart in charts}
    for name in sorted([*files, "charts/index.yaml"]):
        if name in files:
            yield _chart(name, files[name])
        else:
            yield Text(name, repository_index(charts, contents.lock.created))


def _chart(name: str, chart: ResolvedChart) -> Stored:
    descriptor = Descriptor("application/gzip", chart.digest, chart.size)
    return Stored(name, descriptor, InMemory(chart.data), f"chart {chart.name} {chart.version}")


def _texts(contents: Contents) -> list[Text]:
    texts = [Text(name, data) for name, data in contents.platform.files.items()]
    if contents.trusted_root is not None:
        texts.append(Text(TRUSTED_ROOT, contents.trusted_root))
    texts += contents.evidence.members
    return sorted(texts, key=lambda member: members.rank(member.name))


def _blobs(contents: Contents) -> Iterator[Stored]:
    origins: dict[str, ResolvedImage] = {}
    for image in contents.resolution.images:
        for blob in (*image.documents, *image.layers):
            origins.setdefault(blob.digest, image)
    absent = {blob.digest for blob in contents.base.absent} if contents.base else set()
    for blob in contents.lock.blobs():
        if blob.digest in absent:
            continue
        image = origins[blob.digest]
        yield Stored(blob.digest.blob_path, blob, image.source, f"image {image.reference}")


def image_index(images: Sequence[LockedImage]) -> bytes:
    """Return ``index.json``: each image by tag and by digest, and what is attached without a name.

    Pods ask by digest, people by tag, so each image stands there under both names. A name on a
    signature would make ``ctr images import`` fail on it. Format, section 2.
    """
    entries: list[dict[str, Any]] = []
    attached: dict[str, dict[str, Any]] = {}
    for image in images:
        entry = image.root.descriptor.to_json()
        entries += [
            entry | {"annotations": _names(name)}
            for name in image_names(image.reference, image.root.digest)
        ]
        for one in image.attachments:
            attached.setdefault(one.digest, one.descriptor.to_json())
    unique = {(entry["digest"], entry["annotations"][RUNTIME_NAME]): entry for entry in entries}
    manifests = [*unique.values(), *attached.values()]
    return dump_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def _names(name: str) -> dict[str, str]:
    return {RUNTIME_NAME: name, NAME: name}


def _metadata(contents: Contents, listed: Sequence[Text | Stored]) -> Metadata:
    lock, spec = contents.lock, contents.resolution.spec
    output = spec.spec.output
    return Metadata(
        name=lock.name,
        version=lock.version,
        serial=lock.serial,
        created=lock.created,
        not_after=spec.spec.not_after,
        base=contents.base,
        tool=Tool(name="petra", version=__version__),
        platforms=lock.platforms,
        policy=contents.policy,
        trusted_root=_trusted_root(contents),
        checks=Checks(
            sign=Check.done() if output.sign else Check.skipped(UNSIGNED),
            verify=Check.done() if output.verify else Check.skipped(UNVERIFIED),
            scan=contents.evidence.scan,
        ),
        totals=Totals(
            members=len(listed),
            bytes=sum(member.size for member in listed),
            images=len(lock.images),
            charts=len(lock.charts),
        ),
        images=tuple(
            _image(image, contents.verdicts[image.name], contents.evidence.images[image.name])
            for image in lock.images
        ),
        charts=tuple(
            ChartRecord(
                name=chart.name,
                version=chart.version,
                repo=chart.repo,
                member=f"charts/{chart.file_name}",
                digest=chart.digest,
                size=chart.size,
                provenance=Check.skipped(UNVERIFIED_CHART),
            )
            for chart in lock.charts
        ),
        platform=contents.components,
        members=tuple(
            Member(name=member.name, size=member.size, digest=member.digest) for member in listed
        ),
    )


def _trusted_root(contents: Contents) -> TrustedRootRecord | None:
    if contents.trusted_root is None:
        return None
    return TrustedRootRecord(member=TRUSTED_ROOT, digest=Digest.of(contents.trusted_root))


def _image(image: LockedImage, verdict: SignatureVerdict, evidence: ImageEvidence) -> ImageRecord:
    return ImageRecord(
        name=image.name,
        reference=image.reference,
        digest=image.root.digest,
        media_type=image.root.media_type,
        size=image.size,
        platforms=image.platforms,
        absent_platforms=image.absent_platforms,
        signatures=_signatures(verdict),
        scan=evidence.scan,
        scans=evidence.scans,
        attachments=image.attachments,
        sboms=evidence.sboms,
        no_sbom=evidence.no_sbom,
        provenance=evidence.provenance,
        uncounted=evidence.uncounted,
    )


def _signatures(verdict: SignatureVerdict) -> SignatureCheck:
    if verdict.skipped:
        return SignatureCheck(status="skipped", reason=verdict.skipped)
    verified = tuple(signature_record(one) for one in verdict.signatures)
    return SignatureCheck(status="done", verified=verified)


def signature_record(signature: verdicts.VerifiedSignature) -> VerifiedSignature:
    """Return how a signature was verified, as the metadata record it."""
    scheme, manifest, who = signature.scheme, signature.manifest, signature.certified
    if who is None:
        return VerifiedSignature(key=signature.key, scheme=scheme, digest=manifest)
    return VerifiedSignature(
        method="keyless",
        identity=who.identity,
        issuer=who.issuer,
        certificate=who.certificate,
        log=LogRecord(id=who.log_id, index=who.log_index),
        time=who.time,
        root=who.root,
        scheme=scheme,
        digest=manifest,
    )
