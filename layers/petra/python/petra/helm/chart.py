"""Charts: what one says of itself, what it must not carry, and what it lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from petra.content.executables import HEAD_SIZE, SCRIPT, executable_kind
from petra.errors import ContentRefusedError, FormatError
from petra.helm.documents import load_document
from petra.helm.images import ChartImage, Found, images_in_annotations, images_in_values
from petra.helm.tarball import COMPRESSED_LIMIT, Budget, Member, read_members

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Bytes of a Chart.yaml or values.yaml. Helm reads no larger file in a chart either.
FILE_LIMIT = 5 * 1024 * 1024
#: Charts packed inside charts.
NESTING_LIMIT = 5
#: Where a chart keeps scripts as text, for ConfigMaps and containers: no program of the receiver's
#: runs them from there. Helm's own packager drops their execute bit.
SCRIPT_FOLDERS = ("templates/", "files/")

_CHART_FILE = "Chart.yaml"
_KEPT = {_CHART_FILE, "values.yaml", "requirements.yaml"}
_CHART_ROOT = re.compile(r"(?:charts/[^/]+/)*")
_PACKED = re.compile(r"(?:charts/[^/]+/)*charts/[^/_.][^/]*\.tgz")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.+-]+")
_EXECUTE = 0o111


@dataclass(frozen=True, slots=True)
class ChartInfo:
    """What a chart says of itself.

    Attributes:
        where: the chart, as errors and paths name it.
        metadata: ``Chart.yaml``; words are text, but for true, false and null.
        values: ``values.yaml``, likewise.
        subcharts: the charts in ``charts/``, by the order of their names.
    """

    where: str
    metadata: Mapping[str, Any]
    values: Mapping[str, Any]
    subcharts: tuple[ChartInfo, ...] = ()

    @property
    def name(self) -> str:
        """The chart's name."""
        return str(self.metadata["name"])

    @property
    def version(self) -> str:
        """The chart's version, as it is written."""
        return str(self.metadata["version"])

    @property
    def file_name(self) -> str:
        """What a repository calls the archive, ``NAME-VERSION.tgz``."""
        return f"{self.name}-{self.version}.tgz"

    @property
    def app_version(self) -> str | None:
        """The version of what the chart installs, where it says."""
        text = self.metadata.get("appVersion")
        return text if isinstance(text, str) else None

    @property
    def kube_version(self) -> str | None:
        """The range of Kubernetes versions that the chart asks for, where it does."""
        text = self.metadata.get("kubeVersion")
        return text if isinstance(text, str) else None

    @property
    def deprecated(self) -> bool:
        """Whether the publisher has given the chart up."""
        return self.metadata.get("deprecated") is True

    @property
    def images(self) -> tuple[ChartImage, ...]:
        """The images that annotations declare, those of the charts in it included."""
        return self.declared.images

    @property
    def declared(self) -> Found:
        """The images that annotations declare, and what in them is no reference."""
        return _together(
            images_in_annotations(_mapping(chart.metadata.get("annotations")), where=chart.where)
            for chart in self.walk()
        )

    @property
    def guessed(self) -> Found:
        """The images that default values seem to name, those of the charts in it included."""
        return _together(
            images_in_values(chart.values, chart.app_version or "", where=f"{chart.where} values")
            for chart in self.walk()
        )

    @property
    def missing_dependencies(self) -> tuple[str, ...]:
        """The dependencies that ``Chart.yaml`` names and ``charts/`` lacks: Helm refuses those."""
        have = {chart.name for chart in self.subcharts}
        wanted = self.metadata.get("dependencies")
        names = [_mapping(item).get("name") for item in wanted] if isinstance(wanted, list) else []
        return tuple(name for name in names if isinstance(name, str) and name not in have)

    def walk(self) -> Iterator[ChartInfo]:
        """Yield this chart and all the charts in it."""
        yield self
        for chart in self.subcharts:
            yield from chart.walk()


def inspect_chart(data: bytes, *, where: str) -> ChartInfo:
    """Return what a chart says of itself. Nothing is unpacked, and little is held in memory.

    Args:
        data: the ``.tgz``, whole.
        where: what to name in an error and in paths.

    Raises:
        FormatError: it is no chart.
        ContentRefusedError: a member is a link, a device, outside the chart, or a bomb.

    Source: Helm, "Charts": the Chart.yaml file, chart dependencies.
    """
    return _chart(_kept_files(data, where, Budget()), "", where)


def check_chart(data: bytes, *, where: str, allow_scripts: Sequence[str] = ()) -> None:
    """Refuse a chart that carries a program, or anything that unpacks to harm.

    Programs are told by content: ELF, PE, Mach-O and ``#!``. Real charts keep shell scripts as text
    for ConfigMaps (Cilium has ``files/nodeinit/startup.bash``), so ``#!`` passes in ``templates/``
    and ``files/`` as long as the member's mode has no execute bit. Charts packed in the chart are
    looked into as well.

    Args:
        data: the ``.tgz``, whole.
        where: what to name in an error.
        allow_scripts: patterns of further paths at which a script may stand, as text, below the
            chart's own folder: ``scripts/*.sh``.

    Raises:
        ContentRefusedError: it names the chart, the member and what that is.
        FormatError: it is no chart archive.
    """
    _check(data, where, Budget(), tuple(allow_scripts))


def _check(
    data: bytes, where: str, budget: Budget, allowed: tuple[str, ...], depth: int = 0
) -> None:
    _check_depth(depth, where)
    for member in read_members(data, where=where, budget=budget):
        member_where = f"{where}: {member.name}"
        if _PACKED.fullmatch(member.path):
            packed = budget.keep(member, COMPRESSED_LIMIT, member_where)
            _refuse_program(member, packed, allowed, member_where)
            _check(packed, member_where, budget, allowed, depth + 1)
        else:
            _refuse_program(member, member.read(HEAD_SIZE), allowed, member_where)


def _refuse_program(member: Member, head: bytes, allowed: tuple[str, ...], where: str) -> None:
    kind = executable_kind(head)
    if kind and not (kind == SCRIPT and _is_text_script(member, allowed)):
        raise _program(member, kind, where)


def _is_text_script(member: Member, allowed: tuple[str, ...]) -> bool:
    if member.mode & _EXECUTE:
        return False
    path = _CHART_ROOT.sub("", member.path, count=1)
    return path.startswith(SCRIPT_FOLDERS) or any(
        fnmatchcase(text, pattern) for pattern in allowed for text in (path, member.path)
    )


def _program(member: Member, kind: str, where: str) -> ContentRefusedError:
    if kind == SCRIPT:
        bits = f"mode {member.mode & 0o7777:04o}, {member.path}"
        return ContentRefusedError(
            f"chart carries {kind}",
            where=where,
            expected="scripts only as text in templates/ or files/, without an execute bit",
            found=bits,
            hint="package the chart again without the execute bit, or without the script"
            if member.mode & _EXECUTE
            else "read it; if it is harmless, name its path in spec.charts[].allowScripts",
        )
    return ContentRefusedError(
        f"chart carries {kind}",
        where=where,
        expected="templates, values and text",
        hint="programs travel in images; ask the chart's publisher, or take another version",
    )


def _check_depth(depth: int, where: str) -> None:
    if depth > NESTING_LIMIT:
        raise ContentRefusedError(
            f"charts packed in charts, more than {NESTING_LIMIT} levels deep", where=where
        )


def _kept_files(data: bytes, where: str, budget: Budget, depth: int = 0) -> dict[str, bytes]:
    """Return the files that describe a chart and the charts in it, by path below its folder."""
    _check_depth(depth, where)
    kept: dict[str, bytes] = {}
    packed: dict[str, bytes] = {}
    for member in read_members(data, where=where, budget=budget):
        member_where = f"{where}: {member.name}"
        if _PACKED.fullmatch(member.path):
            content = budget.keep(member, COMPRESSED_LIMIT, member_where)
            inner = _kept_files(content, member_where, budget, depth + 1)
            root = member.path.removesuffix(".tgz")
            packed |= {f"{root}/{path}": text for path, text in inner.items()}
        elif _CHART_ROOT.sub("", member.path, count=1) in _KEPT:
            kept[member.path] = budget.keep(member, FILE_LIMIT, member_where)
    return packed | kept


def _chart(files: Mapping[str, bytes], root: str, where: str) -> ChartInfo:
    if root + _CHART_FILE not in files:
        raise FormatError("not a chart: it has no Chart.yaml", where=where)
    metadata = load_document(files[root + _CHART_FILE], where=f"{where}: {root}{_CHART_FILE}")
    if not isinstance(metadata, dict):
        raise FormatError("Chart.yaml is no mapping", where=where)
    _check_metadata(metadata, where)
    if metadata["apiVersion"] == "v1" and root + "requirements.yaml" in files:
        requirements = load_document(files[root + "requirements.yaml"], where=where)
        metadata = {**_mapping(requirements), **metadata}
    values = load_document(
        files.get(root + "values.yaml", b""), where=f"{where}: {root}values.yaml"
    )
    below = re.compile(re.escape(root) + r"(charts/[^/_.][^/]*/)" + re.escape(_CHART_FILE))
    roots = sorted(match[1] for path in files if (match := below.fullmatch(path)))
    subcharts = [_chart(files, root + name, f"{where}: {root}{name[:-1]}") for name in roots]
    return ChartInfo(where, metadata, _mapping(values), tuple(subcharts))


def _check_metadata(metadata: Mapping[str, Any], where: str) -> None:
    for key, pattern, rule in (
        ("apiVersion", re.compile("v1|v2"), "v1 or v2"),
        ("name", _NAME, "letters, digits, '-', '_' and '.'"),
        ("version", _VERSION, "a semantic version"),
    ):
        text = metadata.get(key)
        if not isinstance(text, str) or not pattern.fullmatch(text):
            raise FormatError(
                f"Chart.yaml without a usable {key}",
                where=where,
                expected=rule,
                found="nothing" if text is None else str(text)[:100],
            )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _together(parts: Iterator[Found]) -> Found:
    images: dict[str, ChartImage] = {}
    unreadable: list[tuple[str, str]] = []
    for part in parts:
        for image in part.images:
            images.setdefault(image.reference, image)
        unreadable += part.unreadable
    return Found(tuple(images.values()), tuple(unreadable))
