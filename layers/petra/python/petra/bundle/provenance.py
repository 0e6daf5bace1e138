"""The bundle's own provenance: who made it, from what, how. ``NAME-VERSION.tar.zst.intoto.json``.

An in-toto statement in a DSSE envelope, signed with the bundle's key. The statement is made from
the bundle's own documents, so the same bundle made in the same way has the same statement.

Source: in-toto Attestation Framework, Statement v1; SLSA v1.0, Provenance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from petra.bundle.fields import time_text
from petra.encoding.json import canonical_json
from petra.errors import PolicyError, SignatureError
from petra.oci.media_types import IN_TOTO
from petra.oci.reference import Reference
from petra.trust.dsse import parse_envelope, verify_envelope
from petra.trust.image import STATEMENT_TYPE
from petra.trust.sigstore import load_signed_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from petra.bundle.metadata import ChartRecord, ImageRecord, Metadata
    from petra.content.digest import Digest
    from petra.trust.keys import PublicKey

PROVENANCE_SUFFIX: Final = ".intoto.json"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://petra.sh/bundle/v1alpha1"
BUILDER_ID: Final = "https://petra.sh/cli"
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a bundle was made.

    Attributes:
        spec: the digest of ``bundle.yaml``.
        lock: the digest of ``bundle.lock.yaml``.
        started: the moment that the bundle's members bear: the lock's, or ``SOURCE_DATE_EPOCH``.
        flags: what the caller chose beside the spec.
    """

    spec: Digest
    lock: Digest
    started: datetime
    flags: dict[str, Any]


def make_statement(file: str, digest: Digest, metadata: Metadata, how: Invocation) -> bytes:
    """Return the statement about a bundle, always the same bytes for the same arguments.

    Args:
        file: the bundle's file name.
        digest: of the whole file.
        metadata: what the bundle says of itself; its images and charts are the materials.
        how: the call that made it.
    """
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": file, "digest": {"sha256": digest.hex}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "spec": {"name": "bundle.yaml", "digest": {"sha256": how.spec.hex}},
                    "lock": {"name": "bundle.lock.yaml", "digest": {"sha256": how.lock.hex}},
                    "flags": how.flags,
                },
                "resolvedDependencies": materials(metadata),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER_ID,
                    "version": {metadata.tool.name: metadata.tool.version},
                },
                "metadata": {"startedOn": time_text(how.started)},
            },
        },
    }
    return canonical_json(value)


def materials(metadata: Metadata) -> list[dict[str, Any]]:
    """Return every image and chart of a bundle as SLSA's resource descriptors, in its order."""
    return [
        *(_material(_image_url(one), one.digest) for one in metadata.images),
        *(_material(_chart_url(one), one.digest) for one in metadata.charts),
    ]


def _material(uri: str, digest: Digest) -> dict[str, Any]:
    return {"uri": uri, "digest": {"sha256": digest.hex}}


def _image_url(image: ImageRecord) -> str:
    """Return the package URL of an image. Source: purl-spec, type "oci"."""
    reference = Reference.parse(image.reference)
    name = reference.name.rpartition("/")[2]
    tag = f"&tag={quote(reference.tag)}" if reference.tag else ""
    where = quote(reference.name, safe="/:")
    return f"pkg:oci/{quote(name)}@{quote(image.digest, safe='')}?repository_url={where}{tag}"


def _chart_url(chart: ChartRecord) -> str:
    where = quote(chart.repo, safe="/:")
    return f"pkg:helm/{quote(chart.name)}@{quote(chart.version)}?repository_url={where}"


def check_provenance(
    envelope: bytes | None,
    digest: Digest,
    metadata: Metadata,
    keys: Sequence[PublicKey],
    *,
    where: str,
) -> PublicKey:
    """Check a bundle's provenance: its signature, its subject, and its materials.

    Args:
        envelope: the content of the ``.intoto.json``; None where there is none.
        digest: of the whole bundle, as it was read.
        metadata: the verified bundle's.
        keys: whose signature counts.
        where: the bundle's file name, for errors.

    Returns:
        The key that verified it.

    Raises:
        SignatureError: it is missing, none of `keys` signed it, or it is about something else.
        PolicyError: it names other images and charts than the bundle holds.
    """
    name = f"{where}{PROVENANCE_SUFFIX}"
    if envelope is None:
        raise SignatureError(
            "the bundle has no provenance",
            where=where,
            expected=name,
            hint="copy it beside the bundle; bundles that an older petra made have none",
        )
    parsed = parse_envelope(load_signed_json(envelope, what="provenance", where=name), where=name)
    key = verify_envelope(parsed, keys, where=name)
    if parsed.payload_type != IN_TOTO:
        raise _other("it holds no in-toto statement", IN_TOTO, parsed.payload_type, name)
    statement = load_signed_json(parsed.payload, what="statement", where=name)
    _check_kind(statement, name)
    _check_subject(statement, digest, name)
    _check_materials(statement, metadata, name)
    return key


def _check_kind(statement: dict[str, Any], where: str) -> None:
    kinds = (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE))
    for field, expected in kinds:
        if statement.get(field) != expected:
            raise _other(f"another {field}", expected, statement.get(field), where)
    build = _part(_part(statement, "predicate"), "buildDefinition")
    if build.get("buildType") != BUILD_TYPE:
        raise _other("another buildType", BUILD_TYPE, build.get("buildType"), where)


def _check_subject(statement: dict[str, Any], digest: Digest, where: str) -> None:
    subjects = statement.get("subject")
    found = [
        _part(one, "digest").get("sha256")
        for one in (subjects if isinstance(subjects, list) else [])
        if isinstance(one, dict)
    ]
    if found != [digest.hex]:
        raise SignatureError(
            "the provenance is about another file",
            where=where,
            expected=digest,
            found=", ".join(f"sha256:{one}" for one in found)[:200] or "no subject",
            hint="copy the provenance that was made with this bundle beside it",
        )


def _check_materials(statement: dict[str, Any], metadata: Metadata, where: str) -> None:
    build = _part(_part(statement, "predicate"), "buildDefinition")
    listed = build.get("resolvedDependencies")
    stated, held = _pairs(listed if isinstance(listed, list) else []), _pairs(materials(metadata))
    if stated == held:
        return
    differences = [f"only in the bundle: {one}" for one in sorted(held - stated)]
    differences += [f"only in the provenance: {one}" for one in sorted(stated - held)]
    raise PolicyError(
        "the provenance names other images and charts than the bundle holds",
        where=where,
        found="; ".join(differences[:_LISTED]),
        hint="do not use the bundle; ask the sender to make it anew",
    )


def _pairs(listed: Sequence[Any]) -> set[str]:
    return {
        f"{one.get('uri')} sha256:{_part(one, 'digest').get('sha256')}"
        for one in listed
        if isinstance(one, dict)
    }


def _part(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    return part if isinstance(part, dict) else {}


def _other(message: str, expected: str, found: object, where: str) -> SignatureError:
    return SignatureError(
        f"not a bundle's provenance: {message}",
        where=where,
        expected=expected,
        found=str(found)[:100],
    )
