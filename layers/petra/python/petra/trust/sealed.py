"""cosign's encrypted private key: PKCS#8 in a NaCl secretbox, under a key that scrypt makes.

The box is JSON in PEM::

    {
        "kdf": {"name": "scrypt", "params": {"N": 65536, "r": 8, "p": 1}, "salt": BASE64},
        "cipher": {"name": "nacl/secretbox", "nonce": BASE64},
        "ciphertext": BASE64,
    }

scrypt takes 64 MiB and about 0.15 s here; it releases the GIL, so it may run in a thread.

Source: cosign's pkg/cosign/keys.go and the ``encrypted`` package of go-securesystemslib, read for
the format; checked against the real cosign in tests/interop.
"""

from __future__ import annotations

import binascii
import json
import os
from base64 import b64decode
from typing import Any, Final

from petra.encoding.json import load_json
from petra.errors import FormatError, SettingError
from petra.trust.text import encode_base64

LABEL: Final = "ENCRYPTED SIGSTORE PRIVATE KEY"
#: cosign before 1.13 wrote this one.
OLD_LABEL: Final = "ENCRYPTED COSIGN PRIVATE KEY"

_COST: Final = {"N": 65536, "r": 8, "p": 1}
#: A key file may not make us take more memory (bytes) or rounds than this.
_MEMORY_LIMIT: Final = 128 * 1024 * 1024
_PARALLEL_LIMIT: Final = 4
_SALT_SIZE: Final = 32
_KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 24


def seal(plain: bytes, password: bytes) -> bytes:
    """Return the JSON of `plain`, encrypted under `password`; salt and nonce are new each time."""
    from nacl.secret import SecretBox  # noqa: PLC0415  # only key files need it

    salt, nonce = os.urandom(_SALT_SIZE), os.urandom(_NONCE_SIZE)
    box = SecretBox(_derive(password, salt, _COST))
    value = {
        "kdf": {"name": "scrypt", "params": _COST, "salt": encode_base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": encode_base64(nonce)},
        "ciphertext": encode_base64(box.encrypt(plain, nonce).ciphertext),
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def unseal(data: bytes, password: bytes, *, where: str) -> bytes:
    """Return what :func:`seal`, or cosign, encrypted.

    Args:
        data: the JSON.
        password: as it was given then; may be empty.
        where: the key file's name, for errors.

    Raises:
        SettingError: the password is wrong, or the JSON is not such a box.
    """
    from nacl.exceptions import CryptoError  # noqa: PLC0415  # only key files need it
    from nacl.secret import SecretBox  # noqa: PLC0415  # as above

    value = _parse(data, where)
    kdf, cipher = _part(value, "kdf", "scrypt", where), _part(value, "cipher", _CIPHER, where)
    params = _bounded(kdf.get("params"), where)
    nonce = _bytes(cipher.get("nonce"), where)
    if len(nonce) != _NONCE_SIZE:
        raise _damaged(where, "nonce of another size")
    ciphertext = _bytes(value.get("ciphertext"), where)
    box = SecretBox(_derive(password, _bytes(kdf.get("salt"), where), params))
    try:
        return box.decrypt(ciphertext, nonce)
    except CryptoError:
        raise SettingError(
            "wrong password for the private key, or a damaged key file",
            where=where,
            hint="set COSIGN_PASSWORD to the password that the key was made with",
        ) from None


_CIPHER: Final = "nacl/secretbox"


def _derive(password: bytes, salt: bytes, params: dict[str, int]) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import (  # noqa: PLC0415  # as above
        Scrypt,
    )

    kdf = Scrypt(salt=salt, length=_KEY_SIZE, n=params["N"], r=params["r"], p=params["p"])
    return kdf.derive(password)


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = load_json(data, where=where)
    except FormatError as error:
        raise _damaged(where, error.message) from None
    if not isinstance(value, dict):
        raise _damaged(where, "no JSON object inside")
    return value


def _part(value: dict[str, Any], key: str, name: str, where: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict) or part.get("name") != name:
        raise _damaged(where, f"{key} is not {name}")
    return part


def _bounded(params: object, where: str) -> dict[str, int]:
    """Return scrypt's parameters if they are whole numbers that one can afford."""
    if not isinstance(params, dict) or not all(_is_count(params.get(key)) for key in _COST):
        raise _damaged(where, "scrypt without N, r and p")
    cost, block, parallel = (params[key] for key in _COST)
    if cost < 2 or cost & (cost - 1):  # noqa: PLR2004  # scrypt's own rule: a power of two from 2 on
        raise _damaged(where, "scrypt's N is no power of two")
    if 128 * cost * block > _MEMORY_LIMIT or parallel > _PARALLEL_LIMIT:
        raise SettingError(
            "key file asks for too much work before its password can be checked",
            where=where,
            expected="scrypt with N 65536, r 8, p 1",
            found=f"N {cost}, r {block}, p {parallel}",
            hint="make the key with `petra keygen` or `cosign generate-key-pair`",
        )
    return {"N": cost, "r": block, "p": parallel}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _bytes(text: object, where: str) -> bytes:
    try:
        return b64decode(text if isinstance(text, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise _damaged(where, "not base64") from None


def _damaged(where: str, reason: str) -> SettingError:
    return SettingError(
        f"encrypted private key is damaged: {reason}",
        where=where,
        expected="a file that `petra keygen` or `cosign generate-key-pair` wrote",
    )
