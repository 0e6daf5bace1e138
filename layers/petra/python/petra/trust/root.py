"""Trusted roots: the keys and certificates that keyless verification starts from.

A trusted root names certificate authorities (who may certify signers), certificate transparency
logs (where certificates must be logged), transparency logs (where signatures must be logged) and
timestamp authorities, each with the period for which it counts. Petra carries the production root
of the public Sigstore instance; another can be given as a file.

Source: sigstore/protobuf-specs, sigstore_trustroot.proto.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from petra.content.digest import Digest
from petra.encoding.json import load_json
from petra.errors import FormatError, SettingError, SignatureError
from petra.trust.keys import PublicKey
from petra.trust.text import decode_base64

if TYPE_CHECKING:
    from collections.abc import Callable

#: The digest of the copy that comes with Petra: what sigstore-python 4.5.1 ships.
PINNED_DIGEST: Final = Digest(
    "sha256:6494e21ea73fa7ee769f85f57d5a3e6a08725eae1e38c755fc3517c9e6bc0b66"
)
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
#: The public instance's root is 8 KiB.
ROOT_LIMIT: Final = 1024 * 1024

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` to `end`, both inclusive; without `end`, until further notice."""

    start: datetime
    end: datetime | None = None

    def covers(self, time: datetime) -> bool:
        """Say whether `time` lies in it."""
        return self.start <= time and (self.end is None or time <= self.end)

    def __str__(self) -> str:
        return f"{self.start.isoformat()} to {self.end.isoformat() if self.end else 'now'}"


@dataclass(frozen=True, slots=True)
class Log:
    """A log: of signatures, or of certificates.

    Attributes:
        id: what entries and timestamps of certificates name it by.
        key: what it signs with.
        period: when its key counts.
    """

    id: bytes
    key: PublicKey
    period: Period


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority.

    Attributes:
        certificates: its chain in DER, the issuing certificate first, the root last.
        period: when what it issues counts.
    """

    certificates: tuple[bytes, ...] = field(repr=False)
    period: Period


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """A parsed ``trusted_root.json``. Compared by its bytes.

    Made by :meth:`parse` and :meth:`pinned`.

    Attributes:
        data: the document, as it was given.
        authorities: who may certify signers.
        certificate_logs: where their certificates must be logged.
        logs: where their signatures must be logged.
    """

    data: bytes = field(repr=False)
    authorities: tuple[Authority, ...] = field(compare=False, repr=False)
    certificate_logs: tuple[Log, ...] = field(compare=False, repr=False)
    logs: tuple[Log, ...] = field(compare=False, repr=False)

    @property
    def digest(self) -> Digest:
        """The document's digest: what metadata and policies name this root by."""
        return Digest.of(self.data)

    @classmethod
    def pinned(cls) -> TrustedRoot:
        """Return the production root of the public Sigstore instance, as it comes with Petra.

        Raises:
            SettingError: the installed copy is not the one that Petra was released with.
        """
        return _pinned()

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Return the trusted root in `data`.

        Logs whose keys are of a kind that is not accepted are passed over: what they logged does
        not verify.

        Args:
            data: a ``trusted_root.json``.
            where: the file's name, for errors.

        Raises:
            SettingError: it is none, or lacks what keyless verification needs.
        """
        value = _document(data, where)
        try:
            return cls(
                data,
                _each(value, "certificateAuthorities", _authority, where),
                _each(value, "ctlogs", _log, where),
                _each(value, "tlogs", _log, where),
            )
        except (KeyError, TypeError, ValueError, OverflowError, SignatureError) as error:
            reason = error.message if isinstance(error, SignatureError) else repr(error)
            raise _unusable(f"trusted root is damaged: {reason[:200]}", where) from None


def require_pinned(data: bytes, *, where: str) -> None:
    """Check that `data` is the trusted root that Petra was released with.

    Raises:
        SettingError: it is another one.
    """
    found = Digest.of(data)
    if found != PINNED_DIGEST:
        raise SettingError(
            "the trusted root that comes with Petra was changed",
            where=where,
            expected=PINNED_DIGEST,
            found=found,
            hint="install Petra anew, from a good source",
        )


@cache
def _pinned() -> TrustedRoot:
    file = resources.files("petra.trust") / "data" / "trusted_root.json"
    data = file.read_bytes()
    require_pinned(data, where=str(file))
    return TrustedRoot.parse(data, where=str(file))


def _document(data: bytes, where: str) -> dict[str, Any]:
    if len(data) > ROOT_LIMIT:
        raise _unusable("file too large to be a trusted root", where)
    try:
        value = load_json(data, where=where)
    except FormatError as error:
        raise _unusable(f"not a trusted root: {error.message}", str(error.where)) from None
    if not isinstance(value, dict) or value.get("mediaType") != MEDIA_TYPE:
        raise _unusable("not a trusted root of a version that Petra reads", where)
    return value


def _unusable(message: str, where: str) -> SettingError:
    return SettingError(
        message,
        where=where,
        expected=f"a trusted_root.json, {MEDIA_TYPE}",
        hint="write one with `cosign trusted-root create`, or leave it out to use the public "
        "Sigstore instance's, which comes with Petra",
    )


def _each(
    value: dict[str, Any], key: str, parse: Callable[[Any], _T | None], where: str
) -> tuple[_T, ...]:
    parsed = tuple(one for item in value.get(key) or () if (one := parse(item)) is not None)
    if not parsed:
        raise _unusable(f"trusted root without usable {key}", where)
    return parsed


def _authority(value: Any) -> Authority:
    chain = value["certChain"]["certificates"]
    certificates = tuple(_bytes(one["rawBytes"], "certificate") for one in chain)
    if not certificates:
        raise ValueError("certificate authority without certificates")
    return Authority(certificates, _period(value["validFor"]))


def _log(value: Any) -> Log | None:
    public_key = value["publicKey"]
    log_id, period = _bytes(value["logId"]["keyId"], "logId"), _period(public_key["validFor"])
    try:
        key = PublicKey.from_der(_bytes(public_key["rawBytes"], "key"), where="trusted root")
    except SettingError:
        return None
    return Log(log_id, key, period)


def _period(value: Any) -> Period:
    start, end = _time(value["start"]), value.get("end")
    return Period(start, None if end is None else _time(end))  # some write null, some nothing


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"time without a zone: {text}")
    return time.astimezone(UTC)


def _bytes(text: object, what: str) -> bytes:
    return decode_base64(text, what=what, where="trusted root")
