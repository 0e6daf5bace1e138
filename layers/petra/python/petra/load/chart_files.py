"""The charts of a bundle, read in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.errors import NotFoundError, PolicyError
from petra.serve.bundle import BundleCharts

if TYPE_CHECKING:
    from petra.bundle.metadata import ChartRecord
    from petra.content.digest import Digest
    from petra.load.destination import OpenBundle

#: What the file beside a chart is called, which its publisher signed.
PROVENANCE_SUFFIX = ".prov"


@dataclass(frozen=True, slots=True)
class BundledChart:
    """One chart of a bundle; its bytes are read when they are asked for.

    Attributes:
        record: what the bundle says of it.
        files: where its bytes are.
    """

    record: ChartRecord
    files: BundleCharts

    @property
    def label(self) -> str:
        """What messages call it, ``NAME VERSION``."""
        return f"{self.record.name} {self.record.version}"

    @property
    def file_name(self) -> str:
        """``NAME-VERSION.tgz``."""
        return self.record.member.rpartition("/")[2]

    def read(self) -> bytes:
        """Return the ``.tgz``, checked.

        Raises:
            NotFoundError: the bundle lacks it.
            DigestMismatchError: it is not what the metadata says.
        """
        data = self.files.read(self.file_name)
        if data is None:
            raise NotFoundError("the bundle lacks a chart", where=self.record.member)
        return data

    def provenance(self) -> bytes | None:
        """Return the ``.prov`` that travels with it, if any."""
        return self.files.read(self.file_name + PROVENANCE_SUFFIX)


def bundled_charts(bundle: OpenBundle) -> tuple[BundledChart, ...]:
    """Return the bundle's charts, in the order of its metadata."""
    files = BundleCharts(bundle.reader)
    return tuple(BundledChart(record, files) for record in bundle.metadata.charts)


def refuse_other(chart: BundledChart, found: Digest, *, where: str) -> PolicyError:
    """Return the error for a place that holds another chart of the same name and version."""
    return PolicyError(
        f"another chart {chart.label} is there already",
        where=where,
        expected=chart.record.digest,
        found=found,
        hint="find out which of the two is right; remove the other one, or replace it (--replace)",
    )
