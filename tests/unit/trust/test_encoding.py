"""The encodings that signatures rest on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petra.errors import SignatureError
from petra.trust.dsse import SIGNATURE_LIMIT, pae, parse_envelope
from petra.trust.pem import pem_blocks, pem_text
from petra.trust.text import decode_base64, encode_base64
from tests.support import signing

pairs = st.tuples(st.text(max_size=20), st.binary(max_size=20))


def test_pae_is_that_of_the_specification() -> None:
    # The example in DSSE's protocol.md.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("", b"") == b"DSSEv1 0  0 "
    assert pae("µ", b"") == "DSSEv1 2 µ 0 ".encode()


@given(pairs, pairs)
def test_no_two_payloads_have_the_same_pae(one: tuple[str, bytes], two: tuple[str, bytes]) -> None:
    assert (pae(*one) == pae(*two)) == (one == two)


@given(st.binary(min_size=1, max_size=100))
def test_base64_comes_back(data: bytes) -> None:
    assert decode_base64(encode_base64(data), what="it", where="here") == data


@given(st.text("ABwx01+/=-_ \n", max_size=12))
def test_base64_has_one_spelling(text: str) -> None:
    try:
        data = decode_base64(text, what="it", where="here")
    except SignatureError:
        return
    assert encode_base64(data) == text


@pytest.mark.parametrize("value", [None, 1, b"AAAA", "", "A", "AAA", "AB==", "AAAA\n", "ÄÄÄÄ"])
def test_what_is_not_base64_is_refused(value: Any) -> None:
    with pytest.raises(SignatureError, match="it is not base64"):
        decode_base64(value, what="it", where="here")


@given(st.binary(min_size=1, max_size=300))
def test_pem_comes_back(data: bytes) -> None:
    file = pem_text("PUBLIC KEY", data)
    (block,) = pem_blocks(b"before\n" + file + b"after\n", where="file")
    assert block.label == "PUBLIC KEY"
    assert block.data(where="file") == data
    assert block.text == file
    assert all(len(line) <= 64 for line in file.splitlines())


def test_a_pem_block_does_not_show_its_body() -> None:
    (block,) = pem_blocks(pem_text("PRIVATE KEY", b"secret"), where="file")
    assert repr(block) == "PemBlock('PRIVATE KEY')"


ENVELOPE = signing.envelope(signing.key(), b"payload")


def test_an_envelope_is_parsed() -> None:
    envelope = parse_envelope(ENVELOPE, where="here")
    assert envelope.payload == b"payload"
    assert signing.public(signing.key()).verifies(envelope.signatures[0], envelope.signed)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        ENVELOPE | {"payloadType": ""},
        ENVELOPE | {"payloadType": 1},
        ENVELOPE | {"payload": None},
        ENVELOPE | {"payload": "?"},
        ENVELOPE | {"signatures": []},
        ENVELOPE | {"signatures": {}},
        ENVELOPE | {"signatures": [1]},
        ENVELOPE | {"signatures": [{}]},
        ENVELOPE | {"signatures": [{"sig": "?"}]},
        ENVELOPE | {"signatures": ENVELOPE["signatures"] * (SIGNATURE_LIMIT + 1)},
    ],
)
def test_what_is_no_envelope_is_refused(value: Any) -> None:
    with pytest.raises(SignatureError):
        parse_envelope(value, where="here")
