"""Keys as the command line names them: files, or ``awskms:///…``; and their passwords."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from petra.cli.files import read_file
from petra.errors import SettingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer

#: The variable that cosign reads too.
PASSWORD_VARIABLE: Final = "COSIGN_PASSWORD"  # noqa: S105  # a name, no password
KEY_LIMIT: Final = 1024 * 1024
_KMS: Final = "awskms://"


def key_password(where: str) -> bytes | None:
    """Return the password of the key file `where`: from COSIGN_PASSWORD, else from the terminal.

    Returns:
        None where there is neither the variable nor a terminal.
    """
    given = os.environb.get(PASSWORD_VARIABLE.encode())  # any bytes are a password, as for cosign
    if given is not None:
        return given
    return _asked(f"Password for {where}: ") if sys.stdin.isatty() else None


def new_password(where: str) -> bytes | None:
    """Return the password for a key that is being made, asked for twice; else as key_password.

    Raises:
        UsageError: the two answers differ.
    """
    first = key_password(where)
    asked = PASSWORD_VARIABLE not in os.environ and first is not None
    if asked and _asked("Again: ") != first:
        raise UsageError("the two passwords differ", where=where)
    return first


def signer_from(location: str, password: Callable[[str], bytes | None] = key_password) -> Signer:
    """Return who signs.

    Args:
        location: a private key file, or ``awskms:///…``.
        password: gives the password of an encrypted file, by its name.

    Raises:
        SettingError: the key is unusable, or its password is missing or wrong.
        NotFoundError: there is no such file.
    """
    if location.startswith(_KMS):
        from petra.aws.clients import kms_signer  # noqa: PLC0415  # boto3 is slow to load

        return kms_signer(location)
    from petra.trust.keys import is_encrypted, load_private_key  # noqa: PLC0415  # as needed
    from petra.trust.signer import LocalSigner  # noqa: PLC0415  # as needed

    pem = read_file(_plain(location), limit=KEY_LIMIT)
    secret = password(location) if is_encrypted(pem, where=location) else None
    return LocalSigner(load_private_key(pem, secret, where=location))


def public_keys(location: str) -> list[PublicKey]:
    """Return the public keys at `location`: those of a PEM file, or the one of a KMS key.

    Raises:
        SettingError: there is no usable key in it.
        NotFoundError: there is no such file or key.
    """
    if location.startswith(_KMS):
        from petra.aws.clients import kms_verification_key  # noqa: PLC0415  # boto3 is slow to load

        return [kms_verification_key(location)]
    from petra.trust.keys import load_public_keys  # noqa: PLC0415  # as needed

    return load_public_keys(read_file(_plain(location), limit=KEY_LIMIT), where=location)


def _asked(prompt: str) -> bytes:
    from getpass import getpass  # noqa: PLC0415  # only terminals need it

    return getpass(prompt, stream=sys.stderr).encode("utf-8", "surrogateescape")


def _plain(location: str) -> str:
    """Return `location` as a path; any other kind of URI is refused by name."""
    if "://" in location:
        scheme = location.partition("://")[0]
        raise SettingError(
            "unknown kind of key",
            where=f"{scheme}://…",
            expected="a file, or awskms:///…",
            hint="name a PEM file, or a key in AWS KMS",
        )
    return location
