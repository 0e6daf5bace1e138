"""Chart versions: Semantic Versioning 2, with the leniency that Helm has."""

from __future__ import annotations

import re

from petra.errors import UsageError

_SEMVER = re.compile(
    r"v?(?P<core>\d{1,18}\.\d{1,18}\.\d{1,18})"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+(?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_LENGTH_LIMIT = 256
_EXACT = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")


def check_exact(version: str, *, where: str) -> None:
    """Refuse a range: a bundle takes one version, the one that is named.

    Args:
        version: as the spec has it.
        where: the chart, for the error.

    Raises:
        UsageError: it is a range, or no version at all.
    """
    wild = any(part in {"x", "X"} for part in version.split("."))
    if wild or version == "latest" or not _EXACT.fullmatch(version):
        raise UsageError(
            "chart version is not exact",
            where=where,
            expected="one version, such as 1.16.5",
            found=version or "(empty)",
            hint="name the very version; ranges would give another bundle each day",
        )


def same_version(one: str, other: str) -> bool:
    """Say whether two texts name the same version: equal, or equal but for a leading ``v``."""
    if one == other:
        return True
    return bool(version_key(one)[0]) and version_key(one) == version_key(other)


def version_key(
    version: str,
) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...], str]:
    """Return a sort key: precedence by Semantic Versioning 2, section 11; others come first.

    Build metadata has no precedence; it only makes the order a total one.
    """
    match = _SEMVER.fullmatch(version) if len(version) <= _LENGTH_LIMIT else None
    if not match:
        return (), False, (), version
    core = tuple(int(part) for part in match["core"].split("."))
    pre = tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part)
        for part in (match["pre"] or "").split(".")
        if part
    )
    return core, not pre, pre, match["build"] or ""
