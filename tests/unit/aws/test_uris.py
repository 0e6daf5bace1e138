"""The forms of awskms:// URIs."""

from __future__ import annotations

import pytest

from petra.aws.uris import KmsUri
from petra.errors import SettingError

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:us-gov-west-1:123456789012:key/{KEY}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("awskms:///alias/petra", KmsUri(None, "alias/petra", None)),
        ("awskms:///alias/team/petra_1-x", KmsUri(None, "alias/team/petra_1-x", None)),
        (f"awskms:///{KEY}", KmsUri(None, KEY, None)),
        (f"awskms:///mrk-{'0' * 32}", KmsUri(None, f"mrk-{'0' * 32}", None)),
        (f"awskms:///{ARN}", KmsUri(None, ARN, "us-gov-west-1")),
        (
            "awskms:///arn:aws-iso-b:kms:us-isob-east-1:123456789012:alias/petra",
            KmsUri(
                None, "arn:aws-iso-b:kms:us-isob-east-1:123456789012:alias/petra", "us-isob-east-1"
            ),
        ),
        ("awskms://localhost:4566/alias/x", KmsUri("http://localhost:4566", "alias/x", None)),
        ("awskms://127.0.0.1:4566/alias/x", KmsUri("http://127.0.0.1:4566", "alias/x", None)),
        ("awskms://[::1]:4566/alias/x", KmsUri("http://[::1]:4566", "alias/x", None)),
        ("awskms://kms.example/alias/x", KmsUri("https://kms.example", "alias/x", None)),
        ("awskms://10.0.0.1:8080/alias/x", KmsUri("https://10.0.0.1:8080", "alias/x", None)),
        (
            "awskms://localhost.example/alias/x",
            KmsUri("https://localhost.example", "alias/x", None),
        ),
        (
            f"awskms://vpce-1.kms.us-gov-west-1.vpce.amazonaws.com/{ARN}",
            KmsUri("https://vpce-1.kms.us-gov-west-1.vpce.amazonaws.com", ARN, "us-gov-west-1"),
        ),
    ],
)
def test_right_uris(text: str, expected: KmsUri) -> None:
    assert KmsUri.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cosign.key",
        "awskms:",
        "awskms://",
        "awskms:///",
        "awskms://alias/petra",
        "awskms:///petra",
        "awskms:///alias/",
        "awskms:///alias/a b",
        "awskms:///alias/x?region=y",
        "awskms:///arn:aws:s3:::bucket",
        "awskms:///arn:aws:kms:us-east-1:123:key/x",
        "awskms://host:port/alias/x",
        "awskms://ho st/alias/x",
        "gcpkms:///alias/x",
    ],
)
def test_wrong_uris_name_the_right_forms(text: str) -> None:
    with pytest.raises(SettingError, match="not a key in AWS KMS") as caught:
        KmsUri.parse(text)
    assert "awskms:///alias/NAME" in str(caught.value.expected)
    assert caught.value.found == text


def test_a_password_in_a_uri_is_not_repeated() -> None:
    with pytest.raises(SettingError) as caught:
        KmsUri.parse("awskms://user:hunter2@kms.example/alias/x")
    assert "hunter2" not in str(caught.value)
