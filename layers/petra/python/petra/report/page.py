"""The report: one HTML page that stands alone, for reading, filtering and printing.

No script, style or picture comes from outside, and the page's own policy forbids it. Everything is
there without the script, which only filters. Names and texts come from strangers: the template
escapes them all.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from petra.bundle.fields import time_text
from petra.content.digest import Digest
from petra.report.layers import picture
from petra.report.view import SEVERITIES, attention, counts, rows

if TYPE_CHECKING:
    from petra.bundle.lock import Lock
    from petra.bundle.metadata import Metadata, VerifiedSignature

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the file beside what it says of itself.

    Attributes:
        name: the file's name.
        size: bytes.
        digest: of the file; None where it was not read whole.
        key: the fingerprint of the key whose signature was verified; None for an unverified file.
    """

    name: str
    size: int
    digest: Digest | None = None
    key: str | None = None


def report(metadata: Metadata, lock: Lock, facts: Facts) -> bytes:
    """Return the page, always the same bytes for the same arguments.

    Args:
        metadata: what the bundle says of itself.
        lock: what it was made from.
        facts: what is known of the file.
    """
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  # the one who makes pages

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"size": size_text, "time": time_text, "signer": signer}
    script, style = _asset("filter.js"), _asset("style.css")
    found = rows(metadata)
    text = environment.from_string(_asset("page.html")).render(
        metadata=metadata,
        facts=facts,
        script=script,
        style=style,
        script_hash=_source_hash(script),
        style_hash=_source_hash(style),
        findings=found,
        counts=counts(found),
        severities=SEVERITIES,
        attention=attention(metadata, verified=facts.key is not None),
        picture=picture(lock.images),
    )
    return (text.rstrip() + "\n").encode("utf-8", "backslashreplace")


def _asset(name: str) -> str:
    return files("petra.report").joinpath("assets", name).read_text("utf-8")


def _source_hash(text: str) -> str:
    """Return what the page's policy names its own script or style by. Source: CSP 3, 2.3.1."""
    return f"'sha256-{b64encode(Digest.of(text.encode()).raw).decode()}'"


def size_text(count: int) -> str:
    """Return a number of bytes as people read it, ``1.1 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} TiB"


def signer(signature: VerifiedSignature) -> dict[str, Any]:
    """Return who made a signature and how that is known, line by line, by name."""
    lines: dict[str, Any] = {}
    if signature.method == "key":
        lines["public key"] = f"sha256:{signature.key}"
    else:
        lines["identity"] = signature.identity
        lines["issuer"] = signature.issuer
        lines["certificate"] = signature.certificate
        lines["signed at"] = time_text(signature.time) if signature.time else None
        if signature.log:
            lines["log entry"] = f"{signature.log.index} of log {signature.log.id}"
        lines["trusted root"] = signature.root
    lines["form"] = f"by {signature.scheme}, {signature.digest}"
    return {name: text for name, text in lines.items() if text is not None}
