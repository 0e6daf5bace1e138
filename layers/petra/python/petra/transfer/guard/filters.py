"""The filters that look at files and headers. Each owns one rule, and says what breaks it.

A filter is told of everything that passes and never stops the walk: in a linear pipeline every
filter has its verdict. Source: NIST SP 800-53 r5, AC-4(8), (12), (13), (27), (28).
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from petra.transfer.guard.stop import StopError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petra.transfer.guard.profile import Rules
    from petra.transfer.guard.walk import Entry

#: How many findings of one filter are told; the rest are counted.
SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Outer:
    """A file that crosses.

    Attributes:
        name: its name, without folders.
        size: bytes.
        form: ``tar.gz``, ``tar.zst``, or None for what is no bundle (signatures, a manifest).
    """

    name: str
    size: int
    form: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a filter does not let pass."""

    where: str
    message: str
    expected: str | None = None
    found: str | None = None

    def to_json(self) -> dict[str, str]:
        """Return it as the verdict has it."""
        value = {"where": self.where, "message": self.message}
        parts = {"expected": self.expected, "found": self.found}
        return value | {name: text for name, text in parts.items() if text is not None}


class Filter:
    """One filter of the pipeline.

    Attributes:
        name: what verdicts call it.
        rule: what it holds to, one line.
        checked: how many things it looked at.
        findings: the first ones.
        count: of all findings.
    """

    name: ClassVar[str]
    rule: ClassVar[str]

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.checked = 0
        self.findings: list[Finding] = []
        self.count = 0

    def file(self, outer: Outer) -> None:
        """Look at a file that crosses."""

    def entry(self, entry: Entry) -> None:
        """Look at a member of the archive."""

    def end(self) -> None:
        """Say what only the whole shows."""

    def refuse(
        self, where: str, message: str, *, expected: object = None, found: object = None
    ) -> None:
        """Note a finding."""
        self.count += 1
        if len(self.findings) < SHOWN:
            texts = (None if text is None else str(text)[:200] for text in (expected, found))
            self.findings.append(Finding(where[:200], message, *texts))


class Container(Filter):
    """The file is an archive of an allowed form, whole, with nothing after it."""

    name = "container"
    rule = "one compressed tar archive of an allowed form, whole, and nothing after it"

    def file(self, outer: Outer) -> None:
        """Compare the form with those allowed."""
        if outer.form is None:
            return
        self.checked += 1
        allowed = self.rules.files.formats
        if outer.form not in allowed:
            self.refuse(outer.name, "form not allowed", expected=_or(allowed), found=outer.form)


class FileSize(Filter):
    """No file that crosses is too large."""

    name = "file-size"
    rule = "no file that crosses is larger than the guard takes"

    def file(self, outer: Outer) -> None:
        """Compare the size with the limit."""
        self.checked += 1
        limit = self.rules.files.max_bytes
        if limit is not None and outer.size > limit:
            self.refuse(outer.name, "file too large", expected=f"at most {limit}", found=outer.size)


class FileNames(Filter):
    """Every file that crosses has a plain name."""

    name = "file-names"
    rule = "files that cross have names that the guard takes"

    def file(self, outer: Outer) -> None:
        """Compare the name with the pattern."""
        self.checked += 1
        pattern = self.rules.files.name
        if pattern is not None and not re.fullmatch(pattern, outer.name):
            self.refuse(outer.name, "file name not allowed", expected=pattern)


class Count(Filter):
    """There are not too many members."""

    name = "count"
    rule = "not too many members"

    def entry(self, entry: Entry) -> None:
        """Count it; at the first one too many the walk ends, since filters remember names."""
        self.checked += 1
        limit = self.rules.members.max_count
        if self.checked > limit:
            expected = f"at most {limit}"
            raise StopError(self.name, "too many members", where=entry.name, expected=expected)


class MemberSize(Filter):
    """No member is too large."""

    name = "member-size"
    rule = "no member is too large"

    def entry(self, entry: Entry) -> None:
        """Compare the size with the limit."""
        self.checked += 1
        limit = self.rules.members.max_bytes
        if entry.size > limit:
            self.refuse(entry.name, "member too large", expected=limit, found=entry.size)


class Names(Filter):
    """Every path has plain characters."""

    name = "names"
    rule = "paths of plain characters"

    def entry(self, entry: Entry) -> None:
        """Compare the path with the pattern."""
        self.checked += 1
        pattern = self.rules.members.name
        if not re.fullmatch(pattern, entry.name):
            self.refuse(repr(entry.name), "path not allowed", expected=pattern)


class Paths(Filter):
    """No path leads out of the folder that it is unpacked in."""

    name = "paths"
    rule = "relative paths without empty parts, '.' and '..'"

    def entry(self, entry: Entry) -> None:
        """Look at each part."""
        self.checked += 1
        if {"", ".", ".."} & set(entry.name.split("/")):
            self.refuse(repr(entry.name), "path leads elsewhere", expected=self.rule)


class Depth(Filter):
    """No path is too deep."""

    name = "depth"
    rule = "paths that are not too deep"

    def entry(self, entry: Entry) -> None:
        """Count the levels."""
        self.checked += 1
        levels, limit = entry.name.count("/") + 1, self.rules.members.max_depth
        if levels > limit:
            self.refuse(entry.name, "path too deep", expected=limit, found=levels)


class Case(Filter):
    """No two paths are one where case does not count."""

    name = "case"
    rule = "no two paths that differ in case alone"

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._seen: dict[str, str] = {}

    def entry(self, entry: Entry) -> None:
        """Compare with those before."""
        self.checked += 1
        first = self._seen.setdefault(entry.name.casefold(), entry.name)
        if first != entry.name:
            self.refuse(entry.name, "differs in case alone", found=first)


class Duplicates(Filter):
    """No path stands twice."""

    name = "duplicates"
    rule = "no path stands twice"

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._seen: set[str] = set()

    def entry(self, entry: Entry) -> None:
        """Compare with those before."""
        self.checked += 1
        if entry.name in self._seen:
            self.refuse(entry.name, "stands twice")
        self._seen.add(entry.name)


_TYPES: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class RegularFiles(Filter):
    """Every member is a regular file."""

    name = "regular-files"
    rule = "regular files only: no links, devices, folders"

    def entry(self, entry: Entry) -> None:
        """Look at the header's type."""
        self.checked += 1
        if entry.type != tarfile.REGTYPE:
            kind = _TYPES.get(entry.type, f"type {entry.type!r}")
            self.refuse(entry.name, "not a regular file", expected="a regular file", found=kind)


class Permissions(Filter):
    """No member has bits that make it a program, set an id, or an owner."""

    name = "permissions"
    rule = "no permission bits beyond the profile's, no setuid or setgid, no owner"

    def entry(self, entry: Entry) -> None:
        """Look at mode and owner."""
        self.checked += 1
        allowed = int(self.rules.members.mode, 8)
        if entry.mode & ~allowed:
            found = f"{entry.mode:04o}"
            self.refuse(entry.name, "mode", expected=f"at most {allowed:04o}", found=found)
        if entry.owner != _NOBODY:
            self.refuse(entry.name, "owner", expected=_NOBODY, found=entry.owner)


_NOBODY: Final = "0:0 :"


class Headers(Filter):
    """Headers are plain: no pax record but the size of large members."""

    name = "headers"
    rule = "ustar headers; of pax records only 'size'"

    def entry(self, entry: Entry) -> None:
        """Look at the pax records."""
        self.checked += 1
        if extra := set(entry.pax) - {"size"}:
            self.refuse(entry.name, "pax records", expected="size", found=", ".join(sorted(extra)))


def _or(texts: Iterable[str]) -> str:
    return " or ".join(texts)
