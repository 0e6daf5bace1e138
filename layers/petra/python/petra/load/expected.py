"""Which HelmReleases a bundle holds, and which charts they are to run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from petra.bundle.platform_files import PlatformFiles, mapping
from petra.bundle.platform_releases import releases
from petra.errors import FormatError
from petra.load.releases import ExpectedRelease

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from petra.archive.reader import ArchiveReader
    from petra.bundle.metadata import Metadata
    from petra.bundle.platform_releases import Release
    from petra.content.digest import Digest
    from petra.load.ledger import ReleaseRecord

_PLATFORM: Final = "platform/"
_YAML: Final = (".yaml", ".yml")


def expected_releases(reader: ArchiveReader, metadata: Metadata) -> list[ExpectedRelease]:
    """Return every HelmRelease in a bundle's manifests, with the chart as the bundle has it.

    Args:
        reader: the bundle.
        metadata: what it says of itself.

    Raises:
        FormatError: a release's chart is not in the bundle.
        UsageError: a release's chart cannot be told.
    """
    names = [name for name in reader.members if name.startswith(_PLATFORM)]
    files = {name: reader.read(name) for name in names if name.endswith(_YAML)}
    charts = {(one.name, _plain(one.version)): one.digest for one in metadata.charts}
    return [_expected(release, charts) for release in releases(PlatformFiles(files))]


def with_manifests(
    expected: Iterable[ExpectedRelease], placed: Mapping[tuple[str, str], Iterable[Digest]]
) -> list[ExpectedRelease]:
    """Return the releases with the manifests under which their charts were placed in registries.

    Args:
        expected: the releases.
        placed: digests of manifests, by a chart's name and version.
    """
    known = {(name, _plain(version)): found for (name, version), found in placed.items()}
    return [
        replace(one, manifests=frozenset(known.get((one.chart, _plain(one.version)), ())))
        for one in expected
    ]


def release_records(expected: Iterable[ExpectedRelease]) -> tuple[ReleaseRecord, ...]:
    """Return what the ledger remembers of the releases of a bundle."""
    from petra.load.ledger import ReleaseRecord  # noqa: PLC0415  # only those who load need it

    return tuple(
        ReleaseRecord(
            namespace=one.namespace,
            name=one.name,
            chart=one.chart,
            version=one.version,
            archive=one.archive,
            source_namespace=one.source_namespace,
        )
        for one in expected
    )


def _expected(release: Release, charts: Mapping[tuple[str, str], Digest]) -> ExpectedRelease:
    archive = charts.get((release.chart, _plain(release.version)))
    if archive is None:
        raise FormatError(
            f"HelmRelease {release.key} needs a chart that the bundle does not hold",
            where=release.file,
            expected=f"{release.chart} {release.version}",
        )
    return ExpectedRelease(
        namespace=release.namespace,
        name=release.name,
        chart=release.chart,
        version=release.version,
        archive=archive,
        source_namespace=_source_namespace(release),
    )


def _source_namespace(release: Release) -> str | None:
    """Return where the source is, or the HelmChart that Flux makes beside the source."""
    spec = release.manifest.spec
    template = mapping(mapping(spec.get("chart")).get("spec"))
    reference = mapping(spec.get("chartRef")) or mapping(template.get("sourceRef"))
    namespace = reference.get("namespace")
    return str(namespace) if namespace else None


def _plain(version: str) -> str:
    return version.removeprefix("v")
