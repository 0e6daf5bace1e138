"""``awskms://`` URIs, as cosign writes them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self

from petra.errors import SettingError

SCHEME: Final = "awskms://"

_KEY_ID: Final = r"(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-f]{32})"
_ALIAS: Final = r"alias/[A-Za-z0-9/_-]{1,250}"
_KEY: Final = re.compile(
    rf"(?:{_KEY_ID}|{_ALIAS}"
    rf"|arn:aws[a-z0-9-]{{0,20}}:kms:(?P<region>[a-z0-9-]{{1,30}}):[0-9]{{12}}:(?:key/{_KEY_ID}|{_ALIAS}))"
)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:]{2,45}\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class KmsUri:
    """A key in AWS KMS, ``awskms://[HOST[:PORT]]/KEY``.

    Source: cosign's KMS support; the grammar is that of sigstore's AWS provider.

    Attributes:
        endpoint: the service's URL, where the URI names a host; None for AWS's own.
        key: a key's id, ARN or alias, as the service takes it.
        region: that of an ARN; None where the environment says it.
    """

    endpoint: str | None
    key: str
    region: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return `text` as a KMS URI.

        A host on loopback is spoken to in plain HTTP, any other in HTTPS.

        Raises:
            SettingError: it has another form.
        """
        host, slash, key = text.removeprefix(SCHEME).partition("/")
        match = _KEY.fullmatch(key)
        if not text.startswith(SCHEME) or not slash or not match or not _is_host(host):
            raise SettingError(
                "not a key in AWS KMS",
                where="awskms:// setting",
                expected="awskms:///alias/NAME, awskms:///KEY-ID, awskms:///arn:…, "
                "or awskms://HOST:PORT/… for an endpoint of your own",
                # A user and password before the host would be a secret.
                found=text[:200] if "@" not in text else None,
            )
        return cls(_endpoint(host) if host else None, key, match["region"])


def _is_host(host: str) -> bool:
    return not host or _HOST.fullmatch(host) is not None


def _endpoint(host: str) -> str:
    name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return f"{'http' if _is_loopback(name) else 'https'}://{host}"


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
