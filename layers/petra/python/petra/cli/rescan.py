"""A bundle's images as a scanner needs them: what to scan, by which SBOM, and what was known."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from petra.archive.target import ArchiveTarget
from petra.bundle.agreement import bundle_lock
from petra.bundle.subjects import subjects
from petra.errors import FormatError
from petra.scan.model import load_result
from petra.scan.sbom import Sbom
from petra.scan.scanner import RegistryImage, ScanJob
from petra.serve.bundle import BundleRepository
from petra.serve.server import BundleServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from petra.archive.reader import ArchiveReader
    from petra.bundle.lock import LockedImage
    from petra.bundle.metadata import ImageRecord, Metadata
    from petra.content.digest import Digest
    from petra.scan.model import Finding, ScanResult, Subject
    from petra.scan.scanner import ImageSource, OpenImage

#: The forms of SBOMs, those that scanners read best first.
_FORMS: Final = ("spdx", "syft", "cyclonedx")


class BundleImages:
    """The images in a bundle, read in place; layers are served on loopback to those who ask.

    Args:
        reader: the bundle.
        metadata: what it says of itself.

    Raises:
        FormatError: the bundle is malformed.
    """

    def __init__(self, reader: ArchiveReader, metadata: Metadata) -> None:
        self._reader = reader
        self._metadata = metadata
        self._archive = ArchiveTarget(reader)
        self._lock = bundle_lock(reader, metadata)
        self._server: BundleServer | None = None
        self._mutex = Lock()
        self._stack = ExitStack()

    def jobs(self, *, layers: bool = True) -> list[ScanJob]:
        """Return what there is to scan, in the metadata's order.

        Args:
            layers: whether they may be read where there is no fit SBOM.
        """
        found = [job for record in self._metadata.images for job in self._jobs(record)]
        return found if layers else [replace(job, image=None) for job in found]

    def _jobs(self, record: ImageRecord) -> Iterator[ScanJob]:
        root = self._archive.manifest(self._archive.resolve(record.digest))
        found = subjects(record.reference, root, record.platforms, self._archive.exists)
        for subject, manifest in found:
            served = self._served(record.name, manifest.digest)
            yield ScanJob(subject, self._sboms(record, subject), served)

    def _sboms(self, record: ImageRecord, subject: Subject) -> tuple[Sbom, ...]:
        about = [
            one
            for one in record.sboms
            if (one.subject or record.digest) == subject.digest
            or (subject.sole and (one.subject or record.digest) == subject.index)
        ]
        about.sort(key=lambda one: _preference(one.format))
        return tuple(Sbom(self._reader.read(one.member), one.member) for one in about)

    def _served(self, name: str, digest: Digest) -> OpenImage:
        @contextmanager
        def serve() -> Iterator[ImageSource]:
            yield RegistryImage(self._start().host, name, digest)

        return serve

    def _start(self) -> BundleServer:
        with self._mutex:
            if self._server is None:
                repositories = _ByName(self._archive, {one.name: one for one in self._lock.images})
                server = BundleServer("127.0.0.1", 0, repositories)
                self._server = self._stack.enter_context(server)
            return self._server

    def recorded(self) -> dict[Digest, ScanResult]:
        """Return the scans that the bundle has with it, by the digest of what was scanned."""
        found: dict[Digest, ScanResult] = {}
        for member in self._metadata.members:
            if member.name.startswith("scan/"):
                try:
                    result = load_result(self._reader.read(member.name), where=member.name)
                except FormatError:
                    continue  # another scanner's own report
                found[result.subject.digest] = result
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def news(result: ScanResult, known: ScanResult | None) -> tuple[Finding, ...] | None:
    """Return the findings that a scan has and the one before had not; None where there was none."""
    if known is None:
        return None
    before = {finding.key for finding in known.findings}
    return tuple(finding for finding in result.findings if finding.key not in before)


def _preference(form: str) -> int:
    places = [place for place, name in enumerate(_FORMS) if name in form.lower()]
    return min(places, default=len(_FORMS))


class _ByName:
    """Repositories by the images' names in the spec, which every registry client can ask for."""

    def __init__(self, archive: ArchiveTarget, images: dict[str, LockedImage]) -> None:
        self._archive = archive
        self._images = images

    def names(self) -> list[str]:
        return [*self._images]

    def get(self, name: str) -> BundleRepository | None:
        image = self._images.get(name)
        return BundleRepository(self._archive, [image]) if image else None

    def tags(self, name: str) -> list[str]:
        found = self.get(name)
        return found.tags() if found else []
