"""The real cosign's verdict on every case of keyless verification, against Petra's.

cosign is asked without a network: it reads an OCI layout and a trusted root. Where it does not
agree, the case stands in a table below with the reason. Petra is the stricter one in all of them
but one, where it reads an issuer that cosign does not. Only a signature's age cannot be put to
cosign: it has no such policy.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from petra.trust.keyless import KeylessPolicy
from petra.trust.root import TrustedRoot
from tests.support.cosign_layout import ask_cosign
from tests.support.fake_sigstore import AUTHORITY, CERTIFICATE_LOG, DAY, LOG, TIME
from tests.support.keyless import FORMS, SUBJECT, make
from tests.support.keyless_case import SIGNER
from tests.support.keyless_cases import CASES
from tests.support.signing import public

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.keyless import Form
    from tests.support.keyless_case import Case

_TAGS: Final[tuple[Form, ...]] = ("tag", "attestation tag")
_BUNDLES: Final[tuple[Form, ...]] = ("bundle", "attestation bundle")
_ATTESTED: Final[tuple[Form, ...]] = ("attestation tag", "attestation bundle")

#: Where cosign is content and Petra is not: in which forms, and why.
LAXER: Final[Mapping[str, tuple[tuple[Form, ...], str]]] = {
    "without extended key usage": (
        FORMS,
        "Go's x509 takes a certificate without extended key usage as good for any",
    ),
    "not for signatures": (FORMS, "cosign does not look at key usage"),
    "logged twice": (
        FORMS,
        "cosign asks for one good timestamp; Petra and sigstore-python, for exactly one",
    ),
    "two identities": (
        _TAGS,
        "cosign asks whether any name of the certificate is the identity; in bundles it refuses",
    ),
    "issuers of now and of old differ": (
        _BUNDLES,
        "in bundles cosign reads only the extension of now",
    ),
    "issuers of old and of now differ": (
        _TAGS,
        "in annotations cosign reads only the extension of old",
    ),
    "log entry about other content": (
        ("attestation tag",),
        "cosign compares the envelope's hash, not the payload's beside it",
    ),
    "log entry about another signature": (
        ("attestation tag",),
        "cosign does not compare signatures of attestations: the envelope's hash covers them",
    ),
    "log entry of another kind": (
        ("tag",),
        "cosign takes a dsse entry for a simple signature whose members fit",
    ),
    "intoto 0.0.2 entry about other content": (("attestation tag",), "as for dsse entries"),
    "intoto 0.0.2 entry about another signature": (("attestation tag",), "as for dsse entries"),
    "intoto 0.0.1 entry about another payload": (("attestation tag",), "as for dsse entries"),
    "certificate and others in its place": (
        _TAGS,
        "cosign takes the first certificate; Petra, only one that stands alone",
    ),
    "payload of another type": (("tag",), "cosign does not look at critical.type"),
    "statement of an unknown version": (_ATTESTED, "cosign does not look at the version"),
    "signature as a statement of old": (("bundle",), "cosign does not look at the version"),
    "stamped twice, once by a stranger": (
        _BUNDLES,
        "cosign passes over a timestamp that does not verify where another does",
    ),
    "stamped, logged outside the log's period": (
        _BUNDLES,
        "where the log gives no time, cosign does not ask whether its key counted",
    ),
    "attestation in place of a signature": (
        ("bundle",),
        "cosign verify takes any statement about the image for a signature of it",
    ),
}
#: Where Petra is content and cosign is not.
STRICTER: Final[Mapping[str, tuple[tuple[Form, ...], str]]] = {
    "issuer of now only": (
        _TAGS,
        "in annotations cosign reads only the extension of old, which Fulcio still writes",
    ),
}


def _differs(table: Mapping[str, tuple[tuple[Form, ...], str]], case: Case, form: Form) -> bool:
    return case.name in table and form in table[case.name][0]


def _cases() -> list[Any]:
    return [
        pytest.param(case, form, id=f"{form}: {case.name}") for case in CASES for form in case.forms
    ]


@pytest.mark.parametrize(("case", "form"), _cases())
def test_cosign_agrees_or_differs_as_the_tables_say(
    tools: Callable[[str], Path], tmp_path: Path, case: Case, form: Form
) -> None:
    ended = ask_cosign(
        tools("cosign"), tmp_path, form, case.document(form), case.root(), case.signer
    )
    petra = case.reason(form) is None
    expected = (petra or _differs(LAXER, case, form)) and not _differs(STRICTER, case, form)
    assert (ended.returncode == 0) == expected, ended.stderr
    assert ended.returncode in (0, 1)  # an answer, not a mistaken call


@pytest.mark.parametrize("form", FORMS)
def test_a_trusted_root_that_cosign_wrote_is_as_good_as_ours(
    tools: Callable[[str], Path], tmp_path: Path, form: Form
) -> None:
    root = _root_by_cosign(tools("cosign"), tmp_path)
    policy = KeylessPolicy((SIGNER,), root, None, TIME + DAY)
    document = make(form)
    if form in _ATTESTED:
        assert policy.attested([SUBJECT.digest], [document], where="image").statements
    else:
        assert policy.evaluate(SUBJECT, [document], where="image").verified
    ended = ask_cosign(tools("cosign"), tmp_path / "asked", form, document, root, SIGNER)
    assert ended.returncode == 0, ended.stderr


def _root_by_cosign(cosign: Path, folder: Path) -> TrustedRoot:
    (folder / "chain.pem").write_bytes(AUTHORITY.chain)
    for log in (LOG, CERTIFICATE_LOG):
        (folder / f"{log.name}.pub").write_bytes(public(log.key).pem)
    start = "start-time=2025-06-01T00:00:00Z"
    chain, rekor, ctfe = (folder / one for one in ("chain.pem", "rekor.pub", "ctfe.pub"))
    subprocess.run(
        [
            *(cosign, "trusted-root", "create", f"--out={folder / 'made.json'}"),
            f"--fulcio=url=https://ca.example,certificate-chain={chain},{start}",
            f"--rekor=url=https://rekor.example,public-key={rekor},{start}",
            f"--ctfe=url=https://ctfe.example,public-key={ctfe},{start}",
        ],
        check=True,
        capture_output=True,
        env={"HOME": str(folder), "PATH": ""},
    )
    (folder / "asked").mkdir()
    return TrustedRoot.parse((folder / "made.json").read_bytes(), where="made.json")


def test_the_tables_name_cases_that_there_are() -> None:
    forms = {case.name: case.forms for case in CASES}
    for name, (differing, reason) in (*LAXER.items(), *STRICTER.items()):
        assert set(differing) <= set(forms[name])
        assert reason
