"""Charts into an OCI registry, where Flux and Helm find them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.content.parallel import in_parallel
from petra.content.stream import fetch_document
from petra.errors import FormatError, NotFoundError
from petra.helm.artifact import chart_artifact, chart_tag
from petra.helm.registry import chart_layer
from petra.load.chart_files import bundled_charts, refuse_other
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.oci_places import RegistryPlace
from petra.oci.manifest import parse_manifest

if TYPE_CHECKING:
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.load.chart_files import BundledChart
    from petra.load.destination import OpenBundle
    from petra.load.oci_places import Registries
    from petra.oci.manifest import Manifest
    from petra.oci.repository import Repository

# Charts are small; each is in memory while it is sent.
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class _There:
    """What a registry holds under a chart's tag.

    Attributes:
        manifest: its manifest.
        chart: the digest of the chart in it.
        whole: whether all its blobs are there too.
    """

    manifest: Digest
    chart: Digest
    whole: bool


class ChartRegistry:
    """The folder of a registry that takes a bundle's charts.

    A chart goes to ``HOST/PREFIX/NAME:VERSION``, as ``helm push`` puts it there, its ``.tgz`` byte
    for byte. A tag that is there already is present if its chart is the same, whoever pushed it.

    Args:
        bundle: whose charts.
        registries: opens repositories; credentials are its own.
        url: ``oci://HOST[:PORT][/PREFIX]``.
        replace: let the bundle's chart take the place of another one of its name and version.

    Raises:
        UsageError: `url` is malformed.
    """

    part: Part = "charts"

    def __init__(
        self, bundle: OpenBundle, registries: Registries, url: str, *, replace: bool = False
    ) -> None:
        self.name = url
        self.place = RegistryPlace.folder(url)
        self._charts = bundled_charts(bundle)
        self._registries = registries
        self._replace = replace

    def survey(self) -> Survey:
        """Find out what a load would do; change nothing.

        Raises:
            PolicyError: another chart of the same name and version is there.
            PetraError: as for ``Repository.resolve``.
        """
        there = in_parallel(self._look, self._charts, workers=_WORKERS)
        present = [bool(found and found.whole) for found in there]
        sizes = [chart.record.size for chart in self._charts]
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(sizes),
            present=sum(present),
            bytes_total=sum(sizes),
            bytes_to_send=sum(s for s, done in zip(sizes, present, strict=True) if not done),
        )

    def load(self, progress: Progress) -> Loaded:
        """Push each chart that is not there; blobs, then manifest, then tag.

        Raises:
            PolicyError: another chart of the same name and version is there.
            PetraError: as for ``Repository.push``.
        """
        progress.on_start(
            f"charts to {self.name}", sum(chart.record.size for chart in self._charts)
        )

        def place(chart: BundledChart) -> tuple[Placed, int]:
            done = self._place(chart)
            progress.on_progress(chart.record.size)
            return done

        results = in_parallel(place, self._charts, workers=_WORKERS)
        progress.on_done()
        return Loaded(
            part=self.part,
            destination=self.name,
            placed=tuple(placed for placed, _ in results),
            bytes_sent=sum(sent for _, sent in results),
        )

    def _repository(self, chart: BundledChart) -> Repository:
        return self._registries.repository(self.place.registry, self.place.below(chart.record.name))

    def _look(self, chart: BundledChart) -> _There | None:
        """Return what is under the chart's tag; None where that is nothing, or to be replaced."""
        repository, tag = self._repository(chart), chart_tag(chart.record.version)
        where = f"{repository.name}:{tag}"
        try:
            descriptor = repository.resolve(tag)
        except NotFoundError:
            return None
        raw = fetch_document(repository, descriptor, where=where)
        manifest = parse_manifest(raw, descriptor.media_type, where=where)
        found = _chart_digest(manifest, where)
        if found == chart.record.digest:
            whole = all(repository.exists(blob) for blob in manifest.successors())
            return _There(descriptor.digest, found, whole)
        if not self._replace:
            raise refuse_other(chart, found, where=where)
        return None

    def _place(self, chart: BundledChart) -> tuple[Placed, int]:
        repository, tag = self._repository(chart), chart_tag(chart.record.version)
        found = self._look(chart)
        if found and found.whole:
            return self._placed(chart, repository, found.manifest, sent=False), 0
        artifact = chart_artifact(chart.read(), chart.provenance(), where=chart.record.member)
        sent = artifact.push(repository)
        repository.tag(artifact.descriptor, tag)
        return self._placed(chart, repository, artifact.digest, sent=True), sent

    def _placed(
        self, chart: BundledChart, repository: Repository, digest: Digest, *, sent: bool
    ) -> Placed:
        return Placed(chart.label, f"{repository.name}@{digest}", digest, sent)


def _chart_digest(manifest: Manifest, where: str) -> Digest:
    """Return the digest of the chart in `manifest`, or of `manifest` where it holds no chart."""
    try:
        return chart_layer(manifest, where).digest
    except FormatError:
        return manifest.descriptor.digest
