"""What ``create`` and ``lock`` share: reading the spec and its lock, and asking the world."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petra.cli.files import read_file
from petra.cli.registries import registry_options
from petra.content.stream import DOCUMENT_LIMIT
from petra.errors import NotFoundError, SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from petra.bundle.create import Request
    from petra.bundle.lock import Lock
    from petra.bundle.platform import MissingImage
    from petra.bundle.spec import Spec
    from petra.cli.command import Call
    from petra.cli.settings import Settings

LOCK_SUFFIX = ".lock"


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A spec on disk."""

    path: Path
    data: bytes
    spec: Spec

    @property
    def lock_path(self) -> Path:
        """Where its lock lies: ``bundle.lock.yaml`` beside ``bundle.yaml``."""
        return self.path.with_name(f"{self.path.stem}{LOCK_SUFFIX}.yaml")


def read_spec(file: str) -> SpecFile:
    """Read a spec.

    Raises:
        NotFoundError: it is not there.
        DocumentError: it is wrong; names file, line and field.
    """
    from petra.bundle.spec import load_spec  # noqa: PLC0415  # pydantic takes its time

    data = read_file(file, limit=DOCUMENT_LIMIT)
    return SpecFile(Path(file), data, load_spec(data, where=file))


def read_lock(path: Path) -> Lock:
    """Read a lock.

    Raises:
        NotFoundError: it is not there.
        DocumentError: it is wrong.
    """
    from petra.bundle.lock import LOCK_LIMIT, load_lock  # noqa: PLC0415  # as above

    try:
        data = read_file(path, limit=LOCK_LIMIT)
    except NotFoundError:
        raise NotFoundError(
            "there is no lock", where=str(path), hint="make one: petra bundle lock -f bundle.yaml"
        ) from None
    return load_lock(data, where=str(path))


@contextmanager
def request(
    file: SpecFile, settings: Settings, *, locked: Lock | None, allow_missing: bool
) -> Iterator[Request]:
    """Give what :func:`petra.bundle.create.prepare` takes; connections close behind it."""
    from petra.bundle.create import Request  # noqa: PLC0415  # as above
    from petra.bundle.documents import ContentStore  # noqa: PLC0415  # as above
    from petra.bundle.resolve import Sources  # noqa: PLC0415  # as above
    from petra.helm.repository import ChartSource  # noqa: PLC0415  # as above
    from petra.oci.registry import RegistryClient  # noqa: PLC0415  # as above

    with RegistryClient(registry_options(settings)) as registries:
        charts = ChartSource.of(registries, folder=file.path.parent)
        store = ContentStore(Path(settings.store)) if settings.store else None
        yield Request(
            spec=file.spec,
            spec_bytes=file.data,
            folder=file.path.parent,
            sources=Sources(registries, charts, store),
            now=datetime.fromtimestamp(source_date_epoch() or int(time.time()), UTC),
            locked=locked,
            allow_missing_images=allow_missing,
        )


def source_date_epoch() -> int | None:
    """Return ``SOURCE_DATE_EPOCH``, seconds since 1970, or None.

    Source: reproducible-builds.org, "SOURCE_DATE_EPOCH specification".

    Raises:
        SettingError: it is no number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len(str(2**33)):
        raise SettingError(
            "unusable SOURCE_DATE_EPOCH",
            expected="seconds since 1970",
            found=text[:20],
            hint="set it to a whole number (`git log -1 --format=%ct` prints one), or unset it",
        )
    return int(text)


def warn_of_missing(call: Call, missing: Iterable[MissingImage]) -> None:
    """Say which images are left out although something in the bundle needs them."""
    for image in missing:
        call.console.warn(f"the spec lacks {image.reference}, for {', '.join(image.owners)}")


def lock_value(lock: Lock) -> dict[str, Any]:
    """Return what ``--output json`` says of a lock."""
    return {
        "name": lock.name,
        "version": lock.version,
        "serial": lock.serial,
        "images": [
            {"name": image.name, "reference": image.reference, "digest": image.root.digest}
            for image in lock.images
        ],
        "charts": [
            {"name": chart.name, "version": chart.version, "digest": chart.digest}
            for chart in lock.charts
        ],
    }
