"""The steps about one image on the connected side: its signatures, and its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from petra.archive.plan import Text
from petra.aws.metrics import Metric
from petra.aws.pipeline.plans import read_spec
from petra.aws.pipeline.scanner_database import fetch_database
from petra.bundle.create import accepted, check_images
from petra.bundle.documents import Kept
from petra.bundle.evidence import gather
from petra.bundle.evidence_records import Gathered, ImageEvidence, Tools
from petra.bundle.evidence_rules import EvidenceRules
from petra.bundle.image_rules import SpecRules
from petra.bundle.images import ResolvedImage, resolve_image
from petra.bundle.metadata import Check
from petra.bundle.resolve import Resolution
from petra.encoding.json import dump_json
from petra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from petra.aws.pipeline.sides import Connected
    from petra.bundle.lock import Lock
    from petra.bundle.spec import Spec
    from petra.oci.registry import RegistryClient
    from petra.trust.policy import SignaturePolicy

_EVIDENCE: TypeAdapter[ImageEvidence] | None = None


def verify_one(side: Connected, run: str, index: int) -> dict[str, Any]:
    """Verify the signatures of an image.

    Args:
        side: the connected side.
        run: the run.
        index: the image's place in the spec.

    Returns:
        ``index`` and ``name``.

    Raises:
        SignatureError: no signature of it suffices.
        PolicyError: no rule of the policy matches it.
        PetraError: its registry failed.
    """
    spec, data, lock = read_spec(side, run)
    with side.registries() as registries:
        image = _image(spec, lock, index, registries)
        alone = _alone(spec, data, index, image)
        accepted(alone, check_images(alone, spec_rules(side, spec)))
    side.runs(run).keep_json(
        f"images/{index}.verify.json",
        {"name": image.name, "reference": str(image.reference), "digest": image.root.digest},
    )
    return {"index": index, "name": image.name}


def scan_one(side: Connected, run: str, index: int) -> dict[str, Any]:
    """Gather the evidence about an image: SBOMs, provenance, and its scan, judged by the gate.

    Args:
        side: the connected side.
        run: the run.
        index: the image's place in the spec.

    Returns:
        ``index``, ``name`` and ``findings`` (how many, waived ones too).

    Raises:
        PolicyError: findings stop it, or evidence that the policy asks for is not there.
        ToolError: the scanner failed, or there is none.
        PetraError: its registry failed.
    """
    spec, _, lock = read_spec(side, run)
    rules = evidence_rules(side, spec)
    policy = spec_rules(side, spec)
    with side.registries() as registries:
        image = _image(spec, lock, index, registries)
        tools = _tools(side, rules, image.name, lock)
        own: SignaturePolicy = policy(spec.spec.images[index])
        found = gather([image], rules, lambda _: own, tools)
    side.runs(run).keep_json(f"images/{index}.scan.json", to_document(found, image.name))
    records = found.images[image.name].scans
    findings = sum(len(one.findings) for one in records)
    ages = [one.scanner.database.age_hours for one in records if one.scanner.database]
    measured: dict[Metric, float] = {Metric.FINDINGS: findings} if records else {}
    side.emit(
        measured | ({Metric.SCAN_DATABASE_AGE_DAYS: max(ages) / 24} if ages else {}),
    )
    return {"index": index, "name": image.name, "findings": findings}


def spec_rules(side: Connected, spec: Spec) -> SpecRules:
    """Return who must have signed each image: the policy's rules, tightened by the spec."""
    rules = side.config.rules(side.now)
    return SpecRules(spec, side.config.trust(side.now), _nobody, rules)


def _nobody() -> SignaturePolicy:
    raise AssertionError("the policy has a rule for every image, or refuses it")


def evidence_rules(side: Connected, spec: Spec) -> EvidenceRules:
    """Return what evidence is asked for; files are those of the stack's configuration alone."""
    return EvidenceRules(spec, side.config.read, side.config.policy, side.config.read)


def _image(spec: Spec, lock: Lock, index: int, registries: RegistryClient) -> ResolvedImage:
    if index >= len(spec.spec.images):
        raise UsageError("the spec has no such image", where=f"image {index}")
    image, locked = spec.spec.images[index], lock.images[index]
    return resolve_image(image, spec.spec.platforms, registries, Kept(), locked)


def _alone(spec: Spec, data: bytes, index: int, image: ResolvedImage) -> Resolution:
    """Return a resolution of one image."""
    inner = spec.spec.model_copy(update={"images": (spec.spec.images[index],), "charts": ()})
    return Resolution(spec.model_copy(update={"spec": inner}), data, (image,), (), Kept())


def _tools(side: Connected, rules: EvidenceRules, name: str, lock: Lock) -> Tools:
    from petra.scan.grype import GrypeScanner  # noqa: PLC0415  # as needed
    from petra.scan.syft import Syft  # noqa: PLC0415  # as above

    rule = rules.image(name)
    dated = bool(rule.gate and rule.gate.grace)
    scanner = GrypeScanner(_database(side), max_age=None, dates=dated) if rule.scanner else None
    syft = Syft.find() if rule.generate else None
    return Tools(scanner=scanner, syft=syft, now=side.now, moment=lock.created)


def _database(side: Connected) -> Path:
    """Return the scanner's database: the stack's, on this function's disk; else the machine's."""
    from petra.scan.grype import default_database  # noqa: PLC0415  # as above

    disk = side.environment.get("SCANNER_DISK")
    return fetch_database(side.s3, side.staging, Path(disk)) if disk else default_database()


def _adapter() -> TypeAdapter[ImageEvidence]:
    from petra.bundle import evidence_records, scan_record  # noqa: PLC0415  # names of the annotations
    from petra.bundle.metadata import Evidence, Uncounted  # noqa: PLC0415  # as above

    global _EVIDENCE  # noqa: PLW0603  # made once
    if _EVIDENCE is None:
        names = {
            "Check": Check,
            "Evidence": Evidence,
            "Uncounted": Uncounted,
            "ScanRecord": scan_record.ScanRecord,
        }
        vars(evidence_records).update(
            {k: v for k, v in names.items() if k not in vars(evidence_records)}
        )
        _EVIDENCE = TypeAdapter(ImageEvidence)
    return _EVIDENCE


def to_document(found: Gathered, name: str) -> dict[str, Any]:
    """Return the evidence about one image as JSON, its documents among it."""
    return {
        "image": _adapter().dump_python(found.images[name], mode="json", exclude_none=True),
        "members": {one.name: one.data.decode("utf-8") for one in found.members},
        "notes": [*found.notes],
    }


def from_documents(
    documents: Iterable[tuple[str, dict[str, Any]]], rules: EvidenceRules
) -> Gathered:
    """Return the evidence about all images, as their steps left it.

    Args:
        documents: by the image's name.
        rules: what was asked for.
    """
    images: dict[str, ImageEvidence] = {}
    members: dict[str, Text] = {}
    notes: dict[str, None] = {}
    for name, document in documents:
        images[name] = _adapter().validate_json(dump_json(document["image"]))
        members |= {one: Text(one, text.encode()) for one, text in document["members"].items()}
        notes |= dict.fromkeys(document["notes"])
    reasons = [one.scan.reason for one in images.values()] or [rules.skip()]
    whole = Check.done() if None in reasons else Check.skipped(str(reasons[0]))
    return Gathered(images, whole, tuple(members.values()), tuple(notes))
