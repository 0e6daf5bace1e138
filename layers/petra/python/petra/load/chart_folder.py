"""Charts into a folder that is a chart repository: archives, and an ``index.yaml`` over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from petra.archive.sink import write_file
from petra.content.digest import Digest
from petra.errors import NotFoundError
from petra.helm.chart import inspect_chart
from petra.helm.folder import ChartFolder
from petra.helm.index_file import find_entry
from petra.helm.index_merge import merge_index
from petra.helm.tarball import COMPRESSED_LIMIT
from petra.load.chart_files import PROVENANCE_SUFFIX, bundled_charts, refuse_other
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.sending import check_space

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from petra.content.progress import Progress
    from petra.load.chart_files import BundledChart
    from petra.load.destination import OpenBundle

_INDEX = "index.yaml"


@dataclass(frozen=True, slots=True)
class _Indexed:
    """A chart as an index needs it."""

    metadata: Mapping[str, Any]
    digest: Digest


class ChartRepositoryFolder:
    """The folder of a chart repository that takes a bundle's charts.

    Every file appears whole or not at all, and the index last, so that whoever serves the folder
    serves a good repository at any moment. What was in it before stays in it.

    Args:
        bundle: whose charts.
        path: the folder; made if it is not there.
        replace: let the bundle's chart take the place of another one of its name and version.
    """

    part: Part = "charts"

    def __init__(self, bundle: OpenBundle, path: Path, *, replace: bool = False) -> None:
        self.name = str(path)
        self._path = path
        self._charts = bundled_charts(bundle)
        self._created = bundle.metadata.created
        self._replace = replace

    def survey(self) -> Survey:
        """Find out what a load would do; change nothing.

        Raises:
            PolicyError: another chart of the same name and version is there.
            FormatError: the index that is there is none.
            AccessError: a file there may not be read.
            NoSpaceError: the charts do not fit.
        """
        index = self._index()
        listed = [self._is_listed(chart, index) for chart in self._charts]
        present = [self._has_file(chart) for chart in self._charts]
        sizes = [chart.record.size for chart in self._charts]
        to_send = sum(size for size, there in zip(sizes, present, strict=True) if not there)
        check_space(self._path, to_send, "the charts")
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(sizes),
            present=sum(one and other for one, other in zip(present, listed, strict=True)),
            bytes_total=sum(sizes),
            bytes_to_send=to_send,
        )

    def load(self, progress: Progress) -> Loaded:
        """Write each archive that is not there, and then the index.

        Raises:
            PolicyError: another chart of the same name and version is there; nothing was changed.
            FormatError: the index that is there is none.
            NoSpaceError: the disk is full.
            StorageError: the disk refused for another reason.
        """
        self.survey()
        progress.on_start(
            f"charts to {self.name}", sum(chart.record.size for chart in self._charts)
        )
        placed, described = [], []
        for chart in self._charts:
            sent = not self._has_file(chart)
            data = chart.read()
            if sent:
                self._write(chart, data)
            info = inspect_chart(data, where=chart.record.member)
            described.append(_Indexed(info.metadata, chart.record.digest))
            reference = str(self._path / chart.file_name)
            placed.append(Placed(chart.label, reference, chart.record.digest, sent))
            progress.on_progress(chart.record.size)
        self._write_index(described)
        progress.on_done()
        sent_bytes = sum(
            chart.record.size for chart, one in zip(self._charts, placed, strict=True) if one.sent
        )
        return Loaded(self.part, self.name, tuple(placed), sent_bytes)

    def _write(self, chart: BundledChart, data: bytes) -> None:
        path = self._path / chart.file_name
        provenance = chart.provenance()
        if provenance is not None:
            write_file(path.with_name(path.name + PROVENANCE_SUFFIX), provenance)
        write_file(path, data)

    def _write_index(self, charts: list[_Indexed]) -> None:
        before, path = self._index(), self._path / _INDEX
        after = merge_index(before, charts, self._created, where=str(path))
        if after != before:
            write_file(path, after)

    def _index(self) -> bytes | None:
        return ChartFolder(self._path).index() if self._path.is_dir() else None

    def _is_listed(self, chart: BundledChart, index: bytes | None) -> bool:
        """Say whether the index names the chart; refuse another one under its name."""
        if index is None:
            return False
        where = str(self._path / _INDEX)
        try:
            entry = find_entry(index, chart.record.name, chart.record.version, where=where)
        except NotFoundError:
            return False
        if entry.version != chart.record.version or entry.digest is None:
            return False
        if entry.digest != chart.record.digest:
            if not self._replace:
                raise refuse_other(chart, entry.digest, where=where)
            return False
        return entry.urls == (chart.file_name,)

    def _has_file(self, chart: BundledChart) -> bool:
        """Say whether the archive is there; refuse another one under its name."""
        path = self._path / chart.file_name
        if not path.exists():
            return False
        found = Digest.of(ChartFolder(self._path).read(path, COMPRESSED_LIMIT))
        if found != chart.record.digest and not self._replace:
            raise refuse_other(chart, found, where=str(path))
        return found == chart.record.digest
