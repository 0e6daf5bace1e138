"""Challenges: what a registry asks for when it answers 401."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # RFC 9110's word, no secret
# Unquoted values should be tokens; some registries leave the quotes off a URL.
_PARAMETER: Final = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,\s*|$)')
_SCHEME: Final = re.compile(rf"({_TOKEN})(\s*,\s*|\s+|$)")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*\s*(?:,\s*|$)")
_LIMIT: Final = 8192


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a registry offers.

    Attributes:
        scheme: ``bearer``, ``basic`` …, in lower case.
        parameters: by name in lower case: ``realm``, ``service``, ``scope``, ``error``.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges in `values`, the WWW-Authenticate headers of an answer.

    What cannot be read ends the header it stands in; the challenges before it count.

    Source: RFC 9110, section 11.6.1: one header may carry several challenges, and both they and
    their parameters are parted by commas.
    """
    return [challenge for value in values for challenge in _parse(value[:_LIMIT])]


def _parse(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    text = text.lstrip(" \t,")
    while match := _SCHEME.match(text):
        parameters: dict[str, str] = {}
        found.append(Challenge(match[1].lower(), parameters))
        text = text[match.end() :]
        if match[2].isspace() and not _PARAMETER.match(text):
            opaque = _TOKEN68.match(text)  # as Negotiate and its like have it
            text = text[opaque.end() :] if opaque else text
        while parameter := _PARAMETER.match(text):
            quoted = parameter[2]
            value = parameter[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(parameter[1].lower(), value)
            text = text[parameter.end() :].lstrip(" \t,")
    return found
