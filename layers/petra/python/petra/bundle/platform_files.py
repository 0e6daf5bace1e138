"""The platform's manifests as files: found, read within bounds, parsed, and put under local names.

The manifests are data. Nothing here talks to a network or a cluster.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petra.archive.members import check_name
from petra.content.executables import HEAD_SIZE, executable_kind
from petra.encoding.yaml import dump_yaml, load_all_yaml
from petra.errors import ContentRefusedError, DocumentError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from petra.encoding.yaml import Document

#: The two parts, as they are called in the spec and in a bundle (``platform/base/…``).
PARTS = ("base", "observability")
#: What stands for the local registry, and the folder in it, in the URL of every chart's source.
SUBSTITUTION = "${PETRA_CHARTS}"

#: Bounds on what is read: one file, all of them together, and their number.
FILE_LIMIT = 8 * 1024 * 1024
TOTAL_LIMIT = 64 * 1024 * 1024
COUNT_LIMIT = 2_000

_DEPTH_LIMIT = 6
_YAML = (".yaml", ".yml")
# Company that manifests keep in a repository; Flux would not apply it either.
_COMPANY = re.compile(r"\..*|.*\.md|LICENSE.*|NOTICE.*|OWNERS|CODEOWNERS", re.IGNORECASE)
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+([._/-]+[a-z0-9]+)*)?")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One Kubernetes object.

    Attributes:
        file: the member it stands in, ``platform/base/cilium/release.yaml``.
        number: its place among the documents of that file, from 0.
        document: the parsed document, which knows the lines.
    """

    file: str
    number: int
    document: Document

    @property
    def value(self) -> dict[str, Any]:
        """The object."""
        value: dict[str, Any] = self.document.value
        return value

    @property
    def kind(self) -> str:
        """Its kind, ``HelmRelease``."""
        return str(self.value.get("kind", ""))

    @property
    def group(self) -> str:
        """Its API group, ``helm.toolkit.fluxcd.io``; empty for the core group."""
        group, slash, _ = str(self.value.get("apiVersion", "")).partition("/")
        return group if slash else ""

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata; empty where there is none."""
        return mapping(self.value.get("metadata"))

    @property
    def spec(self) -> dict[str, Any]:
        """Its spec; empty where there is none."""
        return mapping(self.value.get("spec"))

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        """Its namespace, ``default`` where it names none."""
        return str(self.metadata.get("namespace") or "default")

    @property
    def annotations(self) -> dict[str, Any]:
        """Its annotations."""
        return mapping(self.metadata.get("annotations"))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class PlatformFiles:
    """Manifests by their name in the bundle.

    Attributes:
        files: member name to content, in the order of the names.
    """

    files: Mapping[str, bytes]

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """Every object in every file, in order.

        Raises:
            DocumentError: a file is no YAML of the strict kind, or an item is no object.
        """
        found: list[Manifest] = []
        for name, data in self.files.items():
            for number, document in enumerate(load_all_yaml(data, where=name)):
                found.append(_manifest(name, number, document))
        return tuple(found)

    def of_kind(self, group: str, *kinds: str) -> list[Manifest]:
        """Return the objects of an API group and, where named, of these kinds."""
        return [
            item
            for item in self.manifests
            if item.group == group and (not kinds or item.kind in kinds)
        ]

    def replaced(self, changes: Mapping[tuple[str, int], Any]) -> PlatformFiles:
        """Return the files with some objects replaced; every other file keeps all its bytes.

        Args:
            changes: new objects by file and number of the document.
        """
        touched = {file for file, _ in changes}
        parts: dict[str, list[bytes]] = {name: [] for name in sorted(touched)}
        for item in self.manifests:
            if item.file in touched:
                value = changes.get((item.file, item.number), item.value)
                parts[item.file].append(dump_yaml(value))
        written = {name: b"---\n".join(texts) for name, texts in parts.items()}
        return PlatformFiles({name: written.get(name, data) for name, data in self.files.items()})

    def part(self, name: str) -> dict[str, bytes]:
        """Return the files of a part, by their path below it.

        Args:
            name: ``base`` or ``observability``.
        """
        prefix = f"platform/{name}/"
        return {
            path.removeprefix(prefix): data
            for path, data in self.files.items()
            if path.startswith(prefix)
        }


def _manifest(file: str, number: int, document: Document) -> Manifest:
    if not isinstance(document.value, dict):
        raise DocumentError(
            "not a Kubernetes object",
            where=document.locate(()),
            expected="a mapping with apiVersion, kind and metadata",
        )
    manifest = Manifest(file, number, document)
    if manifest.kind == "List":
        # What is in it would be read as one object, and its releases and images passed over.
        raise DocumentError(
            "lists of objects are not read",
            where=document.locate(("kind",)),
            hint="write each object as a document of its own, with --- between them",
        )
    return manifest


def mapping(value: Any) -> dict[str, Any]:
    """Return `value` if it is a mapping, else an empty one: manifests are what users write."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def load_platform(*, base: bool, observability: bool, path: Path | None = None) -> PlatformFiles:
    """Return the manifests that a bundle is to carry.

    Args:
        base: take the part ``base``.
        observability: take the part ``observability``.
        path: a folder of the user's with ``base/`` and ``observability/``; where it has neither,
            all of it is the base. None: the manifests that ship with Petra.

    Raises:
        NotFoundError: the folder, or a part of it that is asked for, is not there or is empty.
        UsageError: a file in it is no manifest, a link, or larger than the bounds.
        FormatError: a file's name would not do in a bundle.
        ContentRefusedError: a file is a program.
    """
    wanted = [part for part, asked in zip(PARTS, (base, observability), strict=True) if asked]
    if not wanted:
        return PlatformFiles({})
    root = shipped_manifests() if path is None else path
    if not root.is_dir():
        raise NotFoundError(
            "no folder of platform manifests",
            where=str(root),
            hint="spec.platform.path names a folder, relative to the spec's own",
        )
    flat = not any((root / part).is_dir() for part in PARTS)
    files: dict[str, bytes] = {}
    for part in wanted:
        folder = root if flat and part == "base" else root / part
        files |= _part(folder, part, files)
    return PlatformFiles(dict(sorted(files.items())))


def shipped_manifests() -> Traversable:
    """Return the folder of the manifests that ship with Petra.

    In an installed package they stand in it; in a checkout, at the repository's root.

    Raises:
        NotFoundError: neither is there.
    """
    from importlib.resources import files  # noqa: PLC0415  # only who carries a platform pays

    package = files("petra")
    packaged = package / "platform"
    if (packaged / "base").is_dir():
        return packaged
    if isinstance(package, Path):
        # layers/petra/python/petra lies four folders below the root.
        checkout = package.parents[3] / "platform"
        if (checkout / "base").is_dir():
            return checkout
    raise NotFoundError(
        "the platform manifests are missing from this installation",
        where=str(packaged),
        hint="install petra again, or name a folder in spec.platform.path",
    )


def substitute_charts(files: PlatformFiles, location: str) -> PlatformFiles:
    """Return the files with the local registry in every chart's URL.

    Args:
        files: manifests with ``oci://${PETRA_CHARTS}/NAME``.
        location: host, port and folder, ``registry.local:5000/charts``; no scheme.

    Raises:
        UsageError: `location` is none.
    """
    place = location.rstrip("/")
    if not _REGISTRY.fullmatch(place):
        raise UsageError(
            "not a place for charts",
            # A user and password before the host would be a secret.
            found=location if "@" not in location else None,
            expected="HOST[:PORT][/FOLDER], such as registry.local:5000/charts",
        )
    mark, text = SUBSTITUTION.encode(), place.encode()
    return PlatformFiles({name: data.replace(mark, text) for name, data in files.files.items()})


def _part(folder: Traversable, part: str, before: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of one part by member name; `before` counts towards the bounds."""
    files: dict[str, bytes] = {}
    if folder.is_dir():
        total = sum(map(len, before.values()))
        for path, entry in _walk(folder, ()):
            name = f"platform/{part}/{path}"
            check_name(name)
            files[name] = _read(entry, name)
            total += len(files[name])
            if total > TOTAL_LIMIT or len(before) + len(files) > COUNT_LIMIT:
                raise UsageError(
                    "too many platform manifests",
                    where=name,
                    expected=f"at most {COUNT_LIMIT} files and {TOTAL_LIMIT >> 20} MiB",
                )
    if not files:
        raise NotFoundError(
            f"no manifests for the platform's {part}",
            where=str(folder),
            expected=f"YAML files in a folder {part}/",
        )
    return files


def _walk(folder: Traversable, above: tuple[str, ...]) -> Iterator[tuple[str, Traversable]]:
    """Yield path and file of each manifest, in the order of the names."""
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        parts = (*above, entry.name)
        path = "/".join(parts)
        if _COMPANY.fullmatch(entry.name):
            continue
        if isinstance(entry, Path) and entry.is_symlink():
            raise UsageError(
                "links are not carried in a bundle",
                where=str(entry),
                hint="put the file itself there",
            )
        if entry.is_dir():
            if len(parts) >= _DEPTH_LIMIT:
                raise UsageError("folders too deep", where=str(entry))
            yield from _walk(entry, parts)
        elif entry.is_file() and entry.name.endswith(_YAML):
            yield path, entry
        else:
            raise UsageError(
                "not a manifest",
                where=str(entry),
                expected="a plain file whose name ends in .yaml or .yml",
                hint="move it out of the folder of platform manifests",
            )


def _read(entry: Traversable, name: str) -> bytes:
    try:
        with entry.open("rb") as file:
            data: bytes = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise UsageError(
            "cannot be read", where=str(entry), found=os.strerror(error.errno or 0)
        ) from None
    if len(data) > FILE_LIMIT:
        raise UsageError(
            "manifest too large", where=str(entry), expected=f"at most {FILE_LIMIT >> 20} MiB"
        )
    if kind := executable_kind(data[:HEAD_SIZE]):
        raise ContentRefusedError("a program among the manifests", where=name, found=kind)
    return data
