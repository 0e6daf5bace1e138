"""A local folder as a chart repository, with an ``index.yaml`` or with the archives alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.errors import AccessError, ContentRefusedError, NotFoundError
from petra.helm.index_file import INDEX_LIMIT
from petra.helm.versions import same_version

if TYPE_CHECKING:
    from pathlib import Path


class ChartFolder:
    """Reads charts from a folder, and from nowhere else.

    Args:
        path: the folder.

    Raises:
        NotFoundError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_dir():
            raise NotFoundError("no such folder of charts", where=str(path))

    def index(self) -> bytes | None:
        """Return ``index.yaml``; None where the folder has none."""
        path = self._path / "index.yaml"
        return self.read(path, INDEX_LIMIT) if path.is_file() else None

    def find(self, name: str, version: str) -> Path:
        """Return the archive ``NAME-VERSION.tgz``; a leading ``v`` makes no difference.

        Raises:
            NotFoundError: there is none.
        """
        for version_text in (version, f"v{version}", version.removeprefix("v")):
            path = self._path / f"{name}-{version_text}.tgz"
            if same_version(version, version_text) and path.is_file():
                return path
        near = sorted(path.name for path in self._path.glob("*.tgz"))[:5]
        raise NotFoundError(
            f"no chart {name} {version} in the folder",
            where=str(self._path),
            expected=f"{name}-{version}.tgz",
            found=", ".join(near) or "no .tgz at all",
        )

    def inside(self, reference: str) -> Path:
        """Return the path of a relative URL in the folder's index.

        Raises:
            ContentRefusedError: it leads out of the folder.
        """
        root = self._path.resolve()
        path = (root / reference).resolve()
        if not path.is_relative_to(root):
            raise ContentRefusedError(
                "index leads out of its folder", where=str(self._path), found=reference
            )
        return path

    def read(self, path: Path, limit: int) -> bytes:
        """Return the content of a file.

        Raises:
            NotFoundError: it is not there.
            AccessError: it may not be read.
            ContentRefusedError: it has more than `limit` bytes.
        """
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFoundError("no such file", where=str(path)) from None
        except OSError as error:
            raise AccessError(
                "cannot read the file", where=str(path), found=error.strerror
            ) from None
        if len(data) > limit:
            raise ContentRefusedError(
                "file is too large", where=str(path), expected=f"at most {limit} bytes"
            )
        return data
