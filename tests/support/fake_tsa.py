"""A timestamp authority: RFC 3161 tokens, made by hand where no library makes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from petra.content.digest import Digest
from tests.support.certificates import (
    certificate_builder,
    ec_key,
    for_certificates,
    key_usage,
    x509_name,
)
from tests.support.fake_sigstore import ALWAYS, DAY, TIME, Period, period_json
from tests.support.signing import sign, text

if TYPE_CHECKING:
    from datetime import datetime

_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_ECDSA_SHA256: Final = "1.2.840.10045.4.3.2"
_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"


@dataclass(frozen=True)
class TimestampAuthority:
    """An authority whose certificate is issued by a root of its own.

    Attributes:
        name: names its keys.
        period: when the trusted root lets it count.
    """

    name: str = "tsa"
    period: Period = ALWAYS

    @cached_property
    def certificates(self) -> tuple[x509.Certificate, x509.Certificate]:
        """The authority's own and the root's."""
        valid = (TIME - 300 * DAY, TIME + 3000 * DAY)
        root_key, key = ec_key(f"{self.name} root"), ec_key(self.name)
        name = x509_name("tsa root")
        root = for_certificates(certificate_builder(name, name, root_key, valid), 0)
        own = (
            certificate_builder(x509_name("tsa"), name, key, valid)
            .add_extension(key_usage(signs=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
                critical=False,
            )
        )
        return own.sign(root_key, hashes.SHA256()), root.sign(root_key, hashes.SHA256())

    def stamp(self, message: bytes, time: datetime) -> str:
        """Return a response with a token that says that `message` was there at `time`."""
        info = _sequence(
            _integer(1),
            _oid("1.2.3.4"),
            _sequence(_sequence(_oid(_SHA256)), _tagged(0x04, Digest.of(message).raw)),
            _integer(1),
            _tagged(0x18, time.strftime("%Y%m%d%H%M%SZ").encode()),
        )
        token = _sequence(_oid(_SIGNED_DATA), _tagged(0xA0, self._signed_data(info)))
        return text(_sequence(_sequence(_integer(0)), token))

    def _signed_data(self, info: bytes) -> bytes:
        own, _ = self.certificates
        algorithm = _sequence(_oid(_SHA256))
        attributes = _attribute(_CONTENT_TYPE, _oid(_TST_INFO)) + _attribute(
            _MESSAGE_DIGEST, _tagged(0x04, Digest.of(info).raw)
        )
        signer = _sequence(
            _integer(1),
            _sequence(own.issuer.public_bytes(), _integer(own.serial_number)),
            algorithm,
            _tagged(0xA0, attributes),
            _sequence(_oid(_ECDSA_SHA256)),
            _tagged(0x04, sign(ec_key(self.name), _tagged(0x31, attributes))),
        )
        return _sequence(
            _integer(3),
            _tagged(0x31, algorithm),
            _sequence(_oid(_TST_INFO), _tagged(0xA0, _tagged(0x04, info))),
            _tagged(0xA0, own.public_bytes(Encoding.DER)),
            _tagged(0x31, signer),
        )

    def to_json(self) -> dict[str, Any]:
        """As a trusted root has it."""
        certificates = [
            {"rawBytes": text(one.public_bytes(Encoding.DER))} for one in self.certificates
        ]
        return {
            "subject": {"organization": "example", "commonName": self.name},
            "uri": f"https://{self.name}.example",
            "certChain": {"certificates": certificates},
            "validFor": period_json(self.period),
        }


def _tagged(tag: int, data: bytes) -> bytes:
    size = len(data)
    if size < 128:
        return bytes([tag, size]) + data
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + data


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    encoded = bytes([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.insert(0, 0x80 | number & 0x7F)
        encoded += bytes(groups)
    return _tagged(0x06, encoded)


def _attribute(oid: str, value: bytes) -> bytes:
    return _sequence(_oid(oid), _tagged(0x31, value))
