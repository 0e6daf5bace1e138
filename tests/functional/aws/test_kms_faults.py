"""What KMS does on a bad day: a server on loopback that answers as it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from petra.aws.clients import kms_signer
from petra.aws.kms import KmsSigner
from petra.content.digest import Digest
from petra.errors import (
    AccessError,
    NotFoundError,
    PetraError,
    RateLimitedError,
    SettingError,
    SignatureError,
    TransportError,
)
from tests.support import signing

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = Digest.of(b"bundle")
SIGNER = signing.petra_key()
PUBLIC = {"PublicKey": b64encode(SIGNER.public_key.der).decode(), "KeyUsage": "SIGN_VERIFY"}


class FakeKms(ThreadingHTTPServer):
    """Answers each operation with a status and a JSON object."""

    def __init__(self, answers: dict[str, tuple[int, dict[str, Any]]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeKms

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.server.answers[self.headers["X-Amz-Target"].partition(".")[2]]
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(answers: dict[str, tuple[int, dict[str, Any]]]) -> Iterator[FakeKms]:
    with FakeKms(answers) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def signature(der: bytes) -> tuple[int, dict[str, Any]]:
    return 200, {"Signature": b64encode(der).decode(), "SigningAlgorithm": "ECDSA_SHA_256"}


def impatient(endpoint: str) -> KmsSigner:
    """A signer that does not retry."""
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
    client = boto3.client("kms", endpoint_url=f"http://{endpoint}", region_name="x", config=config)
    return KmsSigner(client, "alias/petra")


def test_the_endpoint_slot_of_the_uri_reaches_a_server() -> None:
    answers = {"GetPublicKey": (200, PUBLIC), "Sign": signature(SIGNER.sign_digest(DIGEST))}
    with serving(answers) as server:
        signer = kms_signer(f"awskms://{server.endpoint}/alias/petra")
        assert signer.public_key.verifies_digest(signer.sign_digest(DIGEST), DIGEST)


@pytest.mark.parametrize(
    "der",
    [
        signing.petra_key("stranger").sign_digest(DIGEST),
        SIGNER.sign_digest(Digest.of(b"another bundle")),
        b"junk",
    ],
    ids=["another key", "another digest", "junk"],
)
def test_a_signature_that_does_not_verify_is_not_used(der: bytes) -> None:
    with serving({"GetPublicKey": (200, PUBLIC), "Sign": signature(der)}) as server:
        signer = impatient(server.endpoint)
        with pytest.raises(SignatureError, match="does not verify") as caught:
            signer.sign_digest(DIGEST)
    assert caught.value.where == "alias/petra"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "AccessDeniedException", AccessError),
        (400, "UnrecognizedClientException", AccessError),
        (400, "ExpiredTokenException", AccessError),
        (400, "ThrottlingException", RateLimitedError),
        (400, "LimitExceededException", RateLimitedError),
        (400, "NotFoundException", NotFoundError),
        (400, "DisabledException", SettingError),
        (400, "KMSInvalidStateException", SettingError),
        (400, "InvalidKeyUsageException", SettingError),
        (400, "SomethingNew", SettingError),
        (500, "KMSInternalException", TransportError),
        (503, "ServiceUnavailable", TransportError),
        (500, "SomethingNew", TransportError),
    ],
)
@pytest.mark.parametrize("operation", ["GetPublicKey", "Sign"])
def test_refusals_become_our_errors(
    operation: str, status: int, code: str, kind: type[PetraError]
) -> None:
    answers = {"GetPublicKey": (200, PUBLIC), "Sign": signature(SIGNER.sign_digest(DIGEST))}
    answers[operation] = (status, {"__type": code, "message": "because of it"})
    with serving(answers) as server, pytest.raises(kind) as caught:
        impatient(server.endpoint).sign_digest(DIGEST)
    assert type(caught.value) is kind
    assert caught.value.where == "alias/petra"
    assert "because of it" in str(caught.value)
    assert caught.value.__suppress_context__


def test_no_server_is_a_transport_error() -> None:
    with serving({}) as server:
        endpoint = server.endpoint
    with pytest.raises(TransportError, match="cannot be reached") as caught:
        impatient(endpoint).sign_digest(DIGEST)
    assert caught.value.found == "EndpointConnectionError"


def test_without_the_aws_extra_the_error_says_so() -> None:
    program = (
        "import sys\n"
        "sys.modules['boto3'] = sys.modules['botocore'] = None\n"
        "from petra.aws.clients import kms_signer\n"
        "from petra.errors import SettingError\n"
        "try:\n    kms_signer('awskms:///alias/petra')\n"
        "except SettingError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=os.environ
    )
    assert "need the aws extra" in done.stdout
    assert "pip install 'petra[aws]'" in done.stdout
