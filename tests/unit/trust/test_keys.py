"""Keys in files: cosign's form and others, right and wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

from petra.content.digest import Digest
from petra.errors import PetraError, SettingError, SignatureError
from petra.trust.keys import (
    PublicKey,
    generate_key,
    is_encrypted,
    load_private_key,
    load_public_key,
    load_public_keys,
)
from petra.trust.pem import PEM_LIMIT, pem_text
from petra.trust.sealed import seal
from petra.trust.signer import LocalSigner, Signer
from tests.support import signing
from tests.support.signing import key, pem, public

ASSETS = Path(__file__).parents[2] / "assets" / "trust"
COSIGN_KEY = (ASSETS / "cosign.key").read_bytes()
COSIGN_PUB = (ASSETS / "cosign.pub").read_bytes()
SEALED = "ENCRYPTED SIGSTORE PRIVATE KEY"
DIGEST = Digest.of(b"content")


def box(**replaced: Any) -> bytes:
    """cosign's file, with parts of its JSON replaced by path: kdf__params__N."""
    body = b"".join(COSIGN_KEY.splitlines()[1:-1])
    value = json.loads(b64decode(body))
    for path, part in replaced.items():
        *above, last = path.split("__")
        target = value
        for name in above:
            target = target[name]
        target[last] = part
    return pem_text(SEALED, json.dumps(value).encode())


def spki_pem(private: Any) -> bytes:
    text: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


# Private keys.


def test_cosigns_key_file_opens_and_its_public_half_is_cosigns() -> None:
    private = load_private_key(COSIGN_KEY, b"secret", where="cosign.key")
    assert private.public_key == load_public_key(COSIGN_PUB, where="cosign.pub")
    assert private.public_key.pem == COSIGN_PUB


def test_the_label_of_older_cosigns_is_known() -> None:
    older = COSIGN_KEY.replace(b"SIGSTORE", b"COSIGN")
    assert load_private_key(older, b"secret", where="cosign.key").public_key.pem == COSIGN_PUB


def test_a_wrong_password_is_named_and_not_repeated() -> None:
    with pytest.raises(SettingError, match="wrong password") as caught:
        load_private_key(COSIGN_KEY, b"hunter2", where="cosign.key")
    assert caught.value.where == "cosign.key"
    assert "COSIGN_PASSWORD" in str(caught.value.hint)
    assert "hunter2" not in str(caught.value)


def test_an_encrypted_key_without_password_says_how_to_give_one() -> None:
    with pytest.raises(SettingError, match="no password") as caught:
        load_private_key(COSIGN_KEY, None, where="cosign.key")
    assert "COSIGN_PASSWORD" in str(caught.value.hint)


def test_a_generated_pair_opens_again_and_signs() -> None:
    private_pem, public_pem = generate_key(b"pass word")
    assert private_pem.startswith(b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    private = load_private_key(private_pem, b"pass word", where="key")
    loaded = load_public_key(public_pem, where="pub")
    assert private.public_key == loaded
    assert loaded.verifies_digest(private.sign_digest(DIGEST), DIGEST)


def test_a_generated_file_has_exactly_cosigns_layout() -> None:
    def layout(value: Any) -> Any:
        if isinstance(value, dict):
            return [(name, layout(part)) for name, part in value.items()]
        return len(value) if isinstance(value, str) and len(value) > 20 else value

    def inside(file: bytes) -> Any:
        return json.loads(b64decode(b"".join(file.splitlines()[1:-1])))

    private_pem, _ = generate_key(b"")
    assert layout(inside(private_pem)) == layout(inside(COSIGN_KEY))
    assert [len(line) for line in private_pem.splitlines()] == [
        len(line) for line in COSIGN_KEY.splitlines()
    ]


def test_two_generated_keys_share_nothing() -> None:
    first, second = generate_key(b"p"), generate_key(b"p")
    assert first[1] != second[1]
    values = [json.loads(b64decode(b"".join(one[0].splitlines()[1:-1]))) for one in (first, second)]
    assert values[0]["kdf"]["salt"] != values[1]["kdf"]["salt"]
    assert values[0]["cipher"]["nonce"] != values[1]["cipher"]["nonce"]


def test_opening_a_key_lets_other_threads_run() -> None:
    worker = Thread(target=load_private_key, args=(COSIGN_KEY, b"secret"), kwargs={"where": "k"})
    worker.start()
    turns = 0
    while worker.is_alive():
        worker.join(0.002)
        turns += 1
    assert turns > 5  # scrypt takes a hundred milliseconds; with the GIL held there is one turn


@pytest.mark.parametrize(
    ("replaced", "why"),
    [
        ({"kdf__params__N": 1 << 20}, "too much work"),
        ({"kdf__params__r": 64}, "too much work"),
        ({"kdf__params__p": 64}, "too much work"),
        ({"kdf__params__N": 65535}, "no power of two"),
        ({"kdf__params__N": 1}, "no power of two"),
        ({"kdf__params__N": 0}, "without N, r and p"),
        ({"kdf__params__N": "65536"}, "without N, r and p"),
        ({"kdf__params__p": True}, "without N, r and p"),
        ({"kdf__params": None}, "without N, r and p"),
        ({"kdf__name": "argon2"}, "kdf is not scrypt"),
        ({"kdf": []}, "kdf is not scrypt"),
        ({"cipher__name": "none"}, "cipher is not nacl/secretbox"),
        ({"cipher__nonce": "AAAA"}, "nonce of another size"),
        ({"cipher__nonce": "?"}, "not base64"),
        ({"kdf__salt": None}, "not base64"),
        ({"ciphertext": 1}, "not base64"),
    ],
)
def test_a_sealed_key_that_cannot_be_right_is_refused_at_once(
    replaced: dict[str, Any], why: str
) -> None:
    with pytest.raises(SettingError, match=why) as caught:
        load_private_key(box(**replaced), b"secret", where="cosign.key")
    assert caught.value.where == "cosign.key"


@pytest.mark.parametrize("inside", [b"[]", b"", b"\xff", b'{"kdf": 1, "kdf": 1}'])
def test_a_sealed_key_that_is_no_json_object_is_refused(inside: bytes) -> None:
    with pytest.raises(SettingError, match="damaged"):
        load_private_key(pem_text(SEALED, inside or b" "), b"secret", where="cosign.key")


@pytest.mark.parametrize("text", ["", "AAAA"])
def test_a_short_ciphertext_is_a_damaged_file(text: str) -> None:
    with pytest.raises(SettingError, match="wrong password"):
        load_private_key(box(ciphertext=text), b"secret", where="cosign.key")


def test_a_sealed_box_without_a_key_in_it_is_refused() -> None:
    file = pem_text(SEALED, seal(b"no key", b""))
    with pytest.raises(SettingError, match="damaged or of an unknown kind"):
        load_private_key(file, b"", where="cosign.key")


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_plain_keys_open_with_or_without_a_password(form: PrivateFormat) -> None:
    file = pem(key(), form)
    assert not is_encrypted(file, where="key.pem")
    for password in (None, b"not needed"):
        private = load_private_key(file, password, where="key.pem")
        assert private.public_key == public(key())


def test_windows_line_ends_and_text_around_a_key_do_not_matter() -> None:
    file = b"my key\r\n" + pem(key()).replace(b"\n", b"\r\n") + b"\r\nthe end"
    assert load_private_key(file, None, where="key.pem").public_key == public(key())


def test_openssls_curve_block_before_a_key_is_passed_over() -> None:
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    file = parameters + pem(key(), PrivateFormat.TraditionalOpenSSL)
    assert load_private_key(file, None, where="key.pem").public_key == public(key())


def test_encrypted_pkcs8_opens_with_its_password_alone() -> None:
    file = (ASSETS / "pkcs8-encrypted.pem").read_bytes()
    assert is_encrypted(file, where="key.pem")
    assert load_private_key(file, b"x", where="key.pem").public_key.algorithm == "ecdsa-p256"
    with pytest.raises(SettingError, match="password is wrong"):
        load_private_key(file, b"y", where="key.pem")
    with pytest.raises(SettingError, match="no password"):
        load_private_key(file, None, where="key.pem")


def test_the_obsolete_encrypted_form_says_how_to_convert_it() -> None:
    file = (ASSETS / "sec1-encrypted-old.pem").read_bytes()
    with pytest.raises(SettingError, match="obsolete") as caught:
        load_private_key(file, b"x", where="key.pem")
    assert "openssl pkcs8" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("kind", "name"), [("p384", "secp384r1"), ("rsa2048", "RSA"), ("ed25519", "Ed25519")]
)
def test_only_p256_signs(kind: str, name: str) -> None:
    with pytest.raises(SettingError, match="does not sign with") as caught:
        load_private_key(pem(key("kinds", kind)), None, where="key.pem")
    assert name in str(caught.value.found)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "not a PEM file"),
        (b"\x00\x01", "not a PEM file"),
        (COSIGN_PUB, "not a private key"),
        (pem(key()) * 2, "not exactly one private key"),
        (pem(key())[:-20], "not a PEM file"),
        (pem(key()) + b"-----BEGIN PRIVATE KEY-----\n", "damaged block"),
        (b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n", "not base64"),
        (pem_text("PRIVATE KEY", b"nothing"), "damaged or of an unknown kind"),
        (pem(key()) + b"x" * PEM_LIMIT, "too large to be a key"),
    ],
)
def test_what_is_no_private_key_is_refused(file: bytes, why: str) -> None:
    with pytest.raises(SettingError, match=why) as caught:
        load_private_key(file, None, where="key.pem")
    assert caught.value.where == "key.pem"


def test_a_private_key_does_not_show_itself() -> None:
    private = signing.petra_key()
    secret = format(key().private_numbers().private_value, "x")  # type: ignore[union-attr]
    assert secret not in repr(private)
    assert str(private.public_key.fingerprint) in repr(private)


def test_a_local_signer_is_a_signer() -> None:
    signer = LocalSigner(signing.petra_key())
    assert isinstance(signer, Signer)
    assert signer.public_key.verifies_digest(signer.sign_digest(DIGEST), DIGEST)


# Public keys.


def test_the_fingerprint_is_that_of_the_der() -> None:
    loaded = load_public_key(COSIGN_PUB, where="cosign.pub")
    assert loaded.fingerprint == Digest.of(loaded.der).hex
    assert loaded.hint == b64encode(bytes.fromhex(loaded.fingerprint)).decode()
    assert str(loaded) == f"ecdsa-p256 sha256:{loaded.fingerprint}"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("p256", "ecdsa-p256"),
        ("p384", "ecdsa-p384"),
        ("p521", "ecdsa-p521"),
        ("ed25519", "ed25519"),
        ("rsa2048", "rsa-2048"),
    ],
)
def test_kinds_of_public_keys(kind: str, name: str) -> None:
    private = key("kinds", kind)
    loaded = load_public_key(spki_pem(private), where="key.pub")
    assert loaded.algorithm == name
    assert loaded.pem == spki_pem(private)
    assert loaded.verifies(signing.sign(private, b"message"), b"message")
    assert not loaded.verifies(signing.sign(private, b"message"), b"another")
    assert not loaded.verifies(b"junk", b"message")
    assert not loaded.verifies_digest(b"junk", DIGEST)


def test_digests_verify_with_keys_that_sign_digests() -> None:
    for kind, does in (("p384", True), ("rsa2048", True), ("ed25519", False)):
        private = key("kinds", kind)
        signature = signing.sign(private, b"content")
        assert public(private).verifies_digest(signature, DIGEST) is does


def test_pkcs1_public_keys_are_the_same_keys() -> None:
    private = key("kinds", "rsa2048")
    old = private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert load_public_key(old, where="key.pub") == public(private)


def test_a_file_may_hold_several_public_keys() -> None:
    first, second = spki_pem(key("first")), spki_pem(key("second"))
    file = b"first\n" + first + b"second\n" + second + first
    keys = load_public_keys(file, where="keys.pub")
    assert keys == [public(key("first")), public(key("second"))]
    with pytest.raises(SettingError, match="several public keys"):
        load_public_key(file, where="keys.pub")


@pytest.mark.parametrize(
    "private",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP224R1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505  # to be refused
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["secp256k1", "p224", "rsa1024", "ed448"],
)
def test_weak_and_unknown_keys_are_refused(private: Any) -> None:
    with pytest.raises(SettingError, match="not accepted") as caught:
        load_public_key(spki_pem(private), where="key.pub")
    assert "P-256" in str(caught.value.expected)
    with pytest.raises(SettingError, match="not accepted"):
        PublicKey.from_der(signing.spki(private), where="key.pub")


@pytest.mark.parametrize(
    ("file", "why", "hint"),
    [
        (COSIGN_KEY, "not a public key", "cosign.pub"),
        (pem(key()), "not a public key", "cosign.pub"),
        (pem_text("CERTIFICATE", b"x"), "not a public key", "openssl x509"),
        (pem_text("MESSAGE", b"x"), "not a public key", "PUBLIC KEY"),
        (pem_text("PUBLIC KEY", b"nothing"), "damaged or of an unknown kind", ""),
        (b"ssh-rsa AAAA", "not a PEM file", "cosign.pub"),
        (COSIGN_PUB + b"-----BEGIN PUBLIC KEY-----", "damaged block", ""),
    ],
)
def test_what_is_no_public_key_is_refused(file: bytes, why: str, hint: str) -> None:
    with pytest.raises(SettingError, match=why) as caught:
        load_public_keys(file, where="key.pub")
    assert hint in str(caught.value.hint)


def test_der_that_is_no_key_is_refused() -> None:
    with pytest.raises(SettingError, match="damaged"):
        PublicKey.from_der(b"nothing", where="service")


def test_a_hostile_pem_file_costs_one_pass() -> None:
    # Thousands of openings without an end: a backtracking reader would need minutes.
    file = (b"-----BEGIN PUBLIC KEY-----\n" + b"A\n") * 8000
    with pytest.raises(SettingError, match="not a PEM file"):
        load_public_keys(file, where="key.pub")


def test_settings_errors_are_usage_and_signature_errors_are_verification() -> None:
    assert SettingError.exit_status == 2
    assert SignatureError.exit_status == 3
    assert issubclass(SettingError, PetraError)


def test_importing_the_package_loads_no_cryptography() -> None:
    names = ("keys", "pem", "signer", "blob", "image", "policy", "documents", "sealed", "verdict")
    program = (
        "import sys\n"
        + "".join(f"import petra.trust.{name}\n" for name in names)
        + "print([m for m in ('cryptography', 'nacl', 'boto3', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
