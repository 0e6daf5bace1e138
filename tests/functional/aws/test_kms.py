"""Signing with a key in KMS, as moto has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from petra.aws.clients import kms_client, kms_signer, kms_verification_key
from petra.aws.kms import KmsSigner, kms_public_key
from petra.aws.uris import KmsUri
from petra.content.digest import Digest
from petra.errors import AccessError, NotFoundError, SettingError, SignatureError
from petra.oci.media_types import IN_TOTO
from petra.trust.blob import signature_file, sigstore_bundle, verify_blob_digest
from petra.trust.dsse import parse_envelope, sign_envelope, verify_envelope
from petra.trust.signer import Signer

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient
    from types_boto3_kms.literals import KeySpecType

DIGEST = Digest.of(b"bundle")


def create(kms: KMSClient, spec: KeySpecType = "ECC_NIST_P256", alias: str = "petra") -> str:
    key = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{alias}", TargetKeyId=key["KeyId"])
    return key["Arn"]


@pytest.mark.parametrize("by", ["alias", "arn", "id"])
def test_a_digest_is_signed_and_verifies_as_a_file_signature(kms: KMSClient, by: str) -> None:
    arn = create(kms)
    key = {"alias": "alias/petra", "arn": arn, "id": arn.partition("/")[2]}[by]
    signer = kms_signer(f"awskms:///{key}")
    assert isinstance(signer, Signer)
    der = signer.sign_digest(DIGEST)
    verify_blob_digest(
        DIGEST,
        kms_verification_key(f"awskms:///{key}"),
        signature=signature_file(der),
        bundle=sigstore_bundle(DIGEST, der, signer.public_key),
        where="bundle",
    )
    assert json.loads(sigstore_bundle(DIGEST, der, signer.public_key))["verificationMaterial"] == {
        "publicKey": {"hint": signer.public_key.hint}
    }


def test_an_envelope_that_kms_signed_verifies(kms: KMSClient) -> None:
    create(kms)
    signer = KmsSigner(kms, "alias/petra")

    data = sign_envelope(IN_TOTO, b'{"made": "up"}', signer)

    envelope = parse_envelope(json.loads(data), where="envelope")
    assert verify_envelope(envelope, [signer.public_key], where="envelope") == signer.public_key


def test_the_public_key_is_asked_for_once(kms: KMSClient) -> None:
    create(kms)
    calls: list[str] = []
    kms.meta.events.register("before-call.kms", lambda model, **_: calls.append(model.name))
    signer = KmsSigner(kms, "alias/petra")
    assert calls == []
    signer.sign_digest(DIGEST)
    signer.sign_digest(DIGEST)
    assert calls == ["GetPublicKey", "Sign", "Sign"]


def test_only_the_digest_is_sent(kms: KMSClient) -> None:
    create(kms)
    sent: list[dict[str, object]] = []
    kms.meta.events.register(
        "provide-client-params.kms.Sign", lambda params, **_: sent.append(dict(params))
    )
    KmsSigner(kms, "alias/petra").sign_digest(DIGEST)
    assert sent == [
        {
            "KeyId": "alias/petra",
            "Message": DIGEST.raw,
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        }
    ]


def test_a_kms_that_signs_something_else_is_caught(kms_that_hashes_again: KMSClient) -> None:
    create(kms_that_hashes_again)
    with pytest.raises(SignatureError, match="does not verify") as caught:
        KmsSigner(kms_that_hashes_again, "alias/petra").sign_digest(DIGEST)
    assert DIGEST in str(caught.value.expected)


@pytest.mark.parametrize("spec", ["ECC_NIST_P384", "RSA_2048"])
def test_a_key_of_another_spec_does_not_sign_but_verifies(
    kms: KMSClient, spec: KeySpecType
) -> None:
    create(kms, spec)
    with pytest.raises(SettingError, match="does not sign with") as caught:
        KmsSigner(kms, "alias/petra").sign_digest(DIGEST)
    assert "ECC_NIST_P256" in str(caught.value.expected)
    assert "aws kms create-key" in str(caught.value.hint)
    assert kms_public_key(kms, "alias/petra").algorithm in ("ecdsa-p384", "rsa-2048")


def test_a_key_of_a_foreign_curve_is_refused(kms: KMSClient) -> None:
    create(kms, "ECC_SECG_P256K1")
    with pytest.raises(SettingError, match="not accepted"):
        kms_public_key(kms, "alias/petra")


def test_a_key_for_encryption_is_refused(kms: KMSClient) -> None:
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    with pytest.raises(SettingError, match="not made for signing") as caught:
        KmsSigner(kms, key).sign_digest(DIGEST)
    assert caught.value.where == key


def test_a_key_that_is_not_there(kms: KMSClient) -> None:
    with pytest.raises(NotFoundError, match="no such key") as caught:
        KmsSigner(kms, "alias/petra").sign_digest(DIGEST)
    assert caught.value.where == "alias/petra"
    assert "region" in str(caught.value.hint)


def test_the_region_is_the_arns_or_else_the_environments() -> None:
    arn = "arn:aws:kms:eu-central-1:123456789012:alias/petra"
    assert kms_client(KmsUri.parse(f"awskms:///{arn}")).meta.region_name == "eu-central-1"
    assert kms_client(KmsUri.parse("awskms:///alias/petra")).meta.region_name == "us-gov-west-1"


def test_the_endpoint_is_the_uris() -> None:
    client = kms_client(KmsUri.parse("awskms://127.0.0.1:4566/alias/petra"))
    assert client.meta.endpoint_url == "http://127.0.0.1:4566"


def test_no_region_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(SettingError, match="no AWS region") as caught:
        kms_signer("awskms:///alias/petra")
    assert "AWS_REGION" in str(caught.value.hint)


def test_no_credentials_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    signer = kms_signer("awskms:///alias/petra")
    with pytest.raises(AccessError, match="no AWS credentials") as caught:
        signer.sign_digest(DIGEST)
    assert "AWS_PROFILE" in str(caught.value.hint)


def test_a_profile_that_is_not_there_is_a_mistake_in_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SettingError, match="cannot reach the key") as caught:
        kms_signer("awskms:///alias/petra")
    assert caught.value.found == "ProfileNotFound"
