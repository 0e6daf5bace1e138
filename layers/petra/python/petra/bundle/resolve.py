"""From a spec to a lock: every tag a digest, every chart a file, every blob a size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from petra import __version__
from petra.archive.zstd import library_version
from petra.bundle.documents import Kept
from petra.bundle.images import ResolvedImage, resolve_image
from petra.bundle.lock import (
    Lock,
    LockedAttachment,
    LockedBlob,
    LockedChart,
    LockedFile,
    LockedImage,
    LockedNeed,
    LockedTools,
)
from petra.content.digest import Digest
from petra.content.parallel import in_parallel
from petra.errors import DriftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from petra.bundle.documents import ContentStore, Registries
    from petra.bundle.needs import Settled
    from petra.bundle.spec import Spec
    from petra.helm.repository import ChartSource, ResolvedChart
    from petra.oci.referrers import Attachment

#: Images and charts that are resolved at a time. Small requests: latency counts, not bandwidth.
_WORKERS = 6


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things are found.

    Attributes:
        registries: image registries.
        charts: chart repositories.
        store: where blobs are looked for first; None for no store.
    """

    registries: Registries
    charts: ChartSource
    store: ContentStore | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """A spec, resolved.

    Attributes:
        spec: the spec.
        spec_bytes: its bytes, which travel.
        images: in the spec's order.
        charts: in the spec's order, then those that the platform needs.
        kept: the documents that were read on the way.
    """

    spec: Spec
    spec_bytes: bytes
    images: tuple[ResolvedImage, ...]
    charts: tuple[ResolvedChart, ...]
    kept: Kept


@dataclass(frozen=True, slots=True)
class WantedChart:
    """A chart to find: from the spec, or because a bundled HelmRelease needs it."""

    name: str
    repo: str
    version: str
    allow_scripts: tuple[str, ...] = ()


def resolve(
    spec: Spec,
    spec_bytes: bytes,
    sources: Sources,
    charts: Sequence[WantedChart],
    locked: Lock | None = None,
) -> Resolution:
    """Find everything that `spec` names.

    Args:
        spec: the spec.
        spec_bytes: its bytes.
        sources: where to look.
        charts: the charts to find, see :func:`petra.bundle.create.wanted_charts`.
        locked: takes the images by its digests and not by their tags.

    Raises:
        NotFoundError: a tag, digest, platform or chart is not there.
        VerificationError: a source serves something else than it says.
        DriftError: `locked` was made from another spec, or names what is no longer there.
        TransportError: a source failed.
    """
    if locked:
        check_spec(locked, spec, spec_bytes)
    pinned = {image.name: image for image in locked.images} if locked else {}
    kept = Kept()
    wanted = spec.spec.platforms
    images = in_parallel(
        lambda image: resolve_image(
            image, wanted, sources.registries, kept, pinned.get(image.name), sources.store
        ),
        spec.spec.images,
        workers=_WORKERS,
    )
    found = in_parallel(
        lambda chart: sources.charts.resolve(
            chart.name, chart.repo, chart.version, allow_scripts=chart.allow_scripts
        ),
        charts,
        workers=_WORKERS,
    )
    return Resolution(spec, spec_bytes, images, found, kept)


def make_lock(
    resolution: Resolution,
    settled: Settled,
    *,
    now: datetime,
    locked: Lock | None = None,
) -> Lock:
    """Return the lock of `resolution`.

    Args:
        resolution: what was found.
        settled: the manifests as they will stand in the bundle, and what they need.
        now: the moment of resolving, UTC.
        locked: an earlier lock, whose moment and serial hold.

    Raises:
        DriftError: `locked` says something else; every difference is named.
    """
    spec = resolution.spec
    moment = now.astimezone(UTC).replace(microsecond=0)
    serial = spec.spec.serial
    if serial is None:
        serial = locked.serial if locked else int(moment.timestamp())
    lock = Lock(
        name=spec.metadata.name,
        version=spec.metadata.version,
        serial=serial,
        created=locked.created if locked else moment,
        spec_digest=Digest.of(resolution.spec_bytes),
        tools=LockedTools(petra=__version__, zstd=library_version()),
        platforms=spec.spec.platforms,
        images=tuple(_locked_image(image) for image in resolution.images),
        charts=tuple(_locked_chart(chart) for chart in resolution.charts),
        platform_files=tuple(
            LockedFile(path=name, digest=Digest.of(data), size=len(data))
            for name, data in settled.files.files.items()
        ),
        needs=tuple(
            LockedNeed(owner=one.owner, file=one.file, how=one.how, images=one.images)
            for one in settled.needed
        ),
    )
    if locked:
        check_same(locked, lock)
    return lock


def _locked_image(image: ResolvedImage) -> LockedImage:
    return LockedImage(
        name=image.name,
        reference=str(image.reference),
        root=LockedBlob.of(image.root),
        platforms=image.platforms,
        absent_platforms=image.absent,
        documents=tuple(LockedBlob.of(blob) for blob in image.documents),
        layers=tuple(LockedBlob.of(blob) for blob in image.layers),
        attachments=tuple(_locked_attachment(one) for one in image.attachments),
    )


def _locked_attachment(attachment: Attachment) -> LockedAttachment:
    descriptor = attachment.manifest.descriptor
    return LockedAttachment(
        kind=attachment.kind,
        scheme=attachment.scheme,
        subject=attachment.subject,
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        artifact_type=attachment.manifest.effective_artifact_type,
        tag=attachment.tag,
    )


def _locked_chart(chart: ResolvedChart) -> LockedChart:
    return LockedChart(
        name=chart.name,
        version=chart.version,
        repo=chart.repo,
        url=chart.url,
        digest=chart.digest,
        size=chart.size,
    )


def check_spec(locked: Lock, spec: Spec, spec_bytes: bytes) -> None:
    """Refuse a lock that was made from another spec.

    Raises:
        DriftError: the spec has changed since.
    """
    if locked.spec_digest != Digest.of(spec_bytes) or locked.stem != spec.stem:
        raise DriftError(
            "the spec has changed since the lock was made",
            expected=f"{locked.stem}, {locked.spec_digest}",
            found=f"{spec.stem}, {Digest.of(spec_bytes)}",
            hint="make a new lock: petra bundle lock",
        )


def check_same(locked: Lock, found: Lock) -> None:
    """Refuse what was found unless it is what was locked, to the last digest.

    Raises:
        DriftError: it names each image, chart, file and tool that differs.
    """
    if locked == found:
        return
    raise DriftError(
        "what the lock names is not what is there now",
        found="; ".join(_differences(locked, found)) or "another order",
        hint="make a new lock: petra bundle lock",
    )


def _differences(locked: Lock, found: Lock) -> Iterable[str]:
    groups = (
        ("image", {i.name: i for i in locked.images}, {i.name: i for i in found.images}),
        ("chart", {c.file_name: c for c in locked.charts}, {c.file_name: c for c in found.charts}),
        (
            "file",
            {f.path: f for f in locked.platform_files},
            {f.path: f for f in found.platform_files},
        ),
        ("tool", dict(locked.tools), dict(found.tools)),
        ("field", _fields(locked), _fields(found)),
    )
    for kind, before, after in groups:
        for name in dict.fromkeys((*before, *after)):
            old, new = before.get(name), after.get(name)
            if old != new:
                yield f"{kind} {name} {'is new' if old is None else _change(new)}"


def _change(new: object) -> str:
    return "is gone" if new is None else "differs"


def _fields(lock: Lock) -> dict[str, object]:
    return {name: getattr(lock, name) for name in ("serial", "created", "platforms")}
