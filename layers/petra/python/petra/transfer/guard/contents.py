"""The filters that look at content: what it is, how strict its form, what it could do."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from petra.content.executables import executable_kind
from petra.encoding.json import load_json
from petra.encoding.yaml import load_all_yaml
from petra.errors import PetraError
from petra.helm.chart import check_chart
from petra.transfer.guard.filters import Filter
from petra.transfer.guard.kinds import COMPRESSED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petra.content.digest import Digest
    from petra.transfer.guard.profile import KindRule, Rules
    from petra.transfer.guard.walk import Entry

_BLOBS: Final = "blobs/sha256/"
_CHARTS: Final = "charts/"
_SUMS: Final = "SHA256SUMS"
#: A document with more parts than this would be much memory; an SBOM of a large image has a tenth.
_PARTS_LIMIT: Final = 8_000_000
_TEXT: Final = ("json", "yaml", "text")
#: What stands in no text: all control characters but tab, line feed, form feed, carriage return.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class Kinds(Filter):
    """Content is of a kind that may stand at its path: told by its bytes, not by its name."""

    name = "kinds"
    rule = "content of an allowed kind at every path, told by its bytes"

    def entry(self, entry: Entry) -> None:
        """Find the first rule for the path, and compare."""
        self.checked += 1
        rule = self._rule(entry.name)
        if rule is None:
            self.refuse(entry.name, "no rule says what may stand here", found=entry.kind)
        elif entry.kind not in rule.kinds:
            expected = " or ".join(rule.kinds)
            self.refuse(entry.name, "kind not allowed here", expected=expected, found=entry.kind)

    def _rule(self, name: str) -> KindRule | None:
        return next((rule for rule in self.rules.kinds if _matches(name, rule.members)), None)


class Nesting(Filter):
    """Compressed content stands only where the profile lets it: OCI layers and charts."""

    name = "nesting"
    rule = "compressed content only where the profile says"

    def entry(self, entry: Entry) -> None:
        """Look at content that is compressed."""
        self.checked += 1
        if entry.kind in COMPRESSED and not _matches(entry.name, self.rules.compressed):
            self.refuse(entry.name, "compressed content in the archive", found=entry.kind)


class Expansion(Filter):
    """Nothing expands too far. The walk itself measures, and stops where it does."""

    name = "expansion"
    rule = "no decompression bomb: bounded in bytes and by ratio"

    def entry(self, entry: Entry) -> None:
        """Count what was expanded."""
        self.checked += 1 + (entry.expanded is not None)


class Encoding(Filter):
    """Text is UTF-8 in one normal form, without byte order mark and control characters."""

    name = "encoding"
    rule = "text in UTF-8, normal form C, without byte order mark and control characters"

    def entry(self, entry: Entry) -> None:
        """Decode text."""
        if entry.kind not in _TEXT or entry.name.startswith(_BLOBS):
            return
        self.checked += 1
        if entry.data is None:
            self.refuse(entry.name, "text too large to be looked into", found=entry.size)
            return
        if control := _CONTROL.search(entry.data):
            self.refuse(entry.name, "a control character", found=f"byte {control.start()}")
        try:
            text = entry.data.decode("utf-8")
        except UnicodeDecodeError as error:
            self.refuse(entry.name, "not UTF-8", found=f"byte {error.start}")
            return
        if text.startswith("\ufeff"):
            self.refuse(entry.name, "byte order mark")
        elif not unicodedata.is_normalized("NFC", text):
            self.refuse(entry.name, "text in another normal form", expected="NFC")


class StrictJSON(Filter):
    """JSON is strict: no name twice, no NaN, no halves of characters."""

    name = "json"
    rule = "strict JSON: no name twice in an object, no NaN"

    def entry(self, entry: Entry) -> None:
        """Parse what is JSON by its bytes; blobs too, since manifests are read by clusters."""
        if entry.kind != "json":
            return
        self.checked += 1
        if entry.data is None or _parts(entry.data) > _PARTS_LIMIT:
            self.refuse(entry.name, "JSON too large to be looked into", found=entry.size)
            return
        if not _is_text(entry.data):
            return
        try:
            load_json(entry.data, where=entry.name)
        except PetraError as error:
            self.refuse(error.where or entry.name, error.message)


class StrictYAML(Filter):
    """YAML is strict: no name twice, no anchors, aliases, tags or merge keys."""

    name = "yaml"
    rule = "strict YAML: no name twice, no anchors, aliases, tags or merge keys"

    def entry(self, entry: Entry) -> None:
        """Parse what is YAML by its name and bytes."""
        if entry.kind != "yaml":
            return
        self.checked += 1
        if entry.data is None or _parts(entry.data) > _PARTS_LIMIT:
            self.refuse(entry.name, "YAML too large to be looked into", found=entry.size)
            return
        if not _is_text(entry.data):
            return
        try:
            load_all_yaml(entry.data, where=entry.name)
        except PetraError as error:
            self.refuse(error.where or entry.name, error.message, found=error.found)


class Programs(Filter):
    """No program stands outside OCI blobs, told by its first bytes."""

    name = "programs"
    rule = "no program (ELF, PE, Mach-O, #!) outside OCI blobs"

    def entry(self, entry: Entry) -> None:
        """Look at the first bytes."""
        if entry.name.startswith(_BLOBS):
            return
        self.checked += 1
        if kind := executable_kind(entry.head):
            self.refuse(entry.name, "a program", found=kind)


class Charts(Filter):
    """Charts hold templates and text: no programs, links or bombs."""

    name = "charts"
    rule = "charts that hold templates and text, no programs, links or bombs"

    def entry(self, entry: Entry) -> None:
        """Read a chart, member by member, in memory."""
        if not (entry.name.startswith(_CHARTS) and entry.name.endswith(".tgz")):
            return
        self.checked += 1
        if entry.data is None:
            self.refuse(entry.name, "chart too large to be looked into", found=entry.size)
            return
        try:
            check_chart(entry.data, where=entry.name, allow_scripts=self.rules.scripts)
        except PetraError as error:
            self.refuse(error.where or entry.name, error.message, expected=error.expected)


class Digests(Filter):
    """Content is what its name and the list of checksums say."""

    name = "digests"
    rule = "every member listed in SHA256SUMS with its digest; blobs named by theirs"

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._found: dict[str, Digest] = {}
        self._listed: dict[str, str] | None = None

    def entry(self, entry: Entry) -> None:
        """Note the digest; compare a blob's with its name."""
        self.checked += 1
        if entry.name.startswith(_BLOBS) and entry.name != _BLOBS + entry.digest.hex:
            self.refuse(entry.name, "blob of another digest", found=entry.digest)
        if entry.name != _SUMS:
            self._found.setdefault(entry.name, entry.digest)
        elif self._listed is None and entry.data is not None:
            self._listed = _listed(entry.data)

    def end(self) -> None:
        """Compare with the list."""
        if self._listed is None:
            self.refuse(_SUMS, "no list of checksums")
            return
        for name, digest in self._found.items():
            expected = self._listed.pop(name, None)
            if expected != digest.hex and not name.startswith(_BLOBS):
                self.refuse(name, "not as listed", expected=expected or "a line", found=digest.hex)
        for name in self._listed:
            self.refuse(name, "listed, and not there")


def _listed(data: bytes) -> dict[str, str]:
    """Return hex digest by name; a line of another form counts for nothing."""
    lines = (line.partition("  ") for line in data.decode("utf-8", "replace").splitlines())
    return {name: digest for digest, _, name in lines if name}


def _parts(data: bytes) -> int:
    """Return a number of which a JSON or YAML document has no more than as many values again."""
    return sum(map(data.count, (b"[", b"{", b",", b"\n")))


def _is_text(data: bytes) -> bool:
    """Say whether `data` is UTF-8; the filter on encoding tells of others."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
