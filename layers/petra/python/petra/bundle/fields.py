"""Types of single values in the spec, the lock and the metadata."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from petra.content.descriptor import Platform
from petra.content.digest import Digest
from petra.encoding.models import FieldError
from petra.errors import PetraError, UsageError
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

API_VERSION: Final = "petra.sh/v1alpha1"

#: RFC 7493: integers beyond it do not survive every reader of JSON.
INTEGER_LIMIT = 2**53 - 1

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?"
_VERSION = r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,62}[A-Za-z0-9])?"
_CHART_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,48}[A-Za-z0-9])?"
_CHART_VERSION = r"v?[0-9]+(\.[0-9]+){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
_PLATFORM = r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9_.]+)?"
_DURATION = r"[1-9][0-9]{0,5}[smhd]"
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise FieldError("wrong type", expected="text")
    return value


def _matches(pattern: str, expected: str, hint: str | None = None) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise FieldError("not a usable value", expected=expected, hint=hint)
        return text

    return AfterValidator(check)


def _pattern(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{pattern}$"}


def _digest(value: Any) -> Digest:
    try:
        return Digest.parse(_text(value))
    except PetraError as error:
        raise FieldError(error.message, expected=error.expected) from None


def _platform(value: Any) -> Platform:
    if isinstance(value, Platform):
        return value
    if not re.fullmatch(_PLATFORM, _text(value)):
        raise FieldError(
            "not a platform", expected="os/architecture[/variant], such as linux/amd64"
        )
    return Platform.parse(value)


def _time(value: Any) -> datetime:
    """Return a moment in UTC, to the second, from RFC 3339 text or an aware datetime."""
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(microsecond=0)
    try:
        if _TIME.fullmatch(_text(value)):
            return datetime.fromisoformat(value.upper()).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        pass
    raise FieldError("not a moment", expected="RFC 3339, such as 2030-01-31T00:00:00Z")


def time_text(moment: datetime) -> str:
    """Return `moment` as documents have it, ``2030-01-31T00:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not re.fullmatch(_DURATION, _text(value)):
        raise FieldError("not a length of time", expected="such as 48h or 5d (s, m, h, d)")
    return timedelta(**{_UNITS[value[-1]]: int(value[:-1])})


def duration_text(length: timedelta) -> str:
    """Return `length` as documents have it, in the largest unit that leaves no rest, ``48h``."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def unique(what: str, key: Callable[[Any], str], field: str) -> AfterValidator:
    """Refuse a list in which `key` gives one value twice; the error points at `field`."""

    def check(items: tuple[Any, ...]) -> tuple[Any, ...]:
        seen: dict[str, int] = {}
        for number, item in enumerate(items):
            first = seen.setdefault(key(item), number)
            if first != number:
                path = (number, field) if field else (number,)
                raise FieldError(
                    f"{what} {key(item)!r} stands twice, first in item {first}",
                    hint="each may stand once; remove or rename one",
                    path=path,
                )
        return items

    return AfterValidator(check)


def _repository(text: str) -> str:
    """Check the URL of a chart repository."""
    try:
        parts = urlsplit(text)
        host = parts.hostname and (parts.port or True)
    except ValueError:
        raise FieldError("not a URL") from None
    if parts.scheme not in ("https", "http", "oci") or not host or re.search(r"\s", text):
        raise FieldError("not a chart repository", expected="https://…, http://… or oci://…")
    if parts.username is not None or parts.password is not None:
        raise FieldError(
            "credentials in a URL",
            expected="a URL without user and password: a spec travels in its bundle",
            hint="put them into docker's config.json, under the repository's host",
        )
    if parts.query or parts.fragment:
        raise FieldError("a chart repository's URL has no query and no fragment")
    return text.rstrip("/")


def _reference(text: str) -> str:
    try:
        Reference.parse(text)
    except UsageError as error:
        raise FieldError(error.message, expected=error.expected, hint=error.hint) from None
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise FieldError("it is empty")
    return text


Label = Annotated[
    str,
    _matches(_LABEL, "1 to 63 of a-z 0-9 and -, with a letter or digit at both ends"),
    WithJsonSchema(_pattern(_LABEL)),
]
Name = Annotated[
    str,
    _matches(_NAME, "1 to 63 of a-z 0-9 . _ and -, with a letter or digit at both ends"),
    WithJsonSchema(_pattern(_NAME)),
]
Version = Annotated[
    str,
    _matches(_VERSION, "1 to 64 of A-Z a-z 0-9 . _ + and -, with a letter or digit at both ends"),
    WithJsonSchema(_pattern(_VERSION)),
]
ChartName = Annotated[
    str,
    _matches(_CHART_NAME, "1 to 50 of A-Z a-z 0-9 . _ and -"),
    WithJsonSchema(_pattern(_CHART_NAME)),
]
ChartVersion = Annotated[
    str,
    Field(max_length=38),
    _matches(
        _CHART_VERSION,
        "one exact version, such as 1.16.5",
        "ranges cannot be locked by hand; write the version that you tested",
    ),
    WithJsonSchema(_pattern(_CHART_VERSION) | {"maxLength": 38}),
]
RepositoryURL = Annotated[
    str,
    AfterValidator(_repository),
    WithJsonSchema({"type": "string", "pattern": "^(https?|oci)://[^@?#\\s]+$"}),
]
Text = Annotated[
    str, AfterValidator(_not_blank), WithJsonSchema({"type": "string", "minLength": 1})
]
ImageReference = Annotated[
    str, AfterValidator(_reference), WithJsonSchema({"type": "string", "minLength": 1})
]
Size = Annotated[int, Field(ge=0, le=INTEGER_LIMIT)]
DigestField = Annotated[
    Digest, PlainValidator(_digest), WithJsonSchema(_pattern("sha256:[0-9a-f]{64}"))
]
PlatformField = Annotated[
    Platform,
    PlainValidator(_platform),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(_pattern(_PLATFORM)),
]
Moment = Annotated[
    datetime,
    PlainValidator(_time),
    PlainSerializer(time_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Duration = Annotated[
    timedelta,
    PlainValidator(_duration),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema(_pattern(_DURATION)),
]
