"""Gathers the evidence about a bundle's images, before the first layer is packed.

For each image, and each platform of it that travels:

1. SBOMs and provenance are taken from the image's attachments, if its own policy vouches for them
   (:mod:`petra.bundle.attached`);
2. where there is no SBOM and one is asked for, syft makes one of the layers;
3. the image is scanned: by an SBOM, or else its layers; or a finished report counts;
4. the gate and its waivers decide on each finding.

The results follow from the lock, the image, the programs and the scanner's database alone: what was
made here bears the lock's moment, or the database's if that is newer. Whether a database is too
old, a waiver has ended or a grace is over is asked of the clock.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from petra.bundle.attached import attached_evidence, builder_of, suffices
from petra.bundle.evidence_records import Collector, Done, Gathered, Tools, Work
from petra.bundle.refusals import refuse
from petra.bundle.subjects import subjects
from petra.content.parallel import in_parallel
from petra.content.stream import fetch_document
from petra.errors import PetraError, PolicyError
from petra.oci.manifest import parse_manifest
from petra.scan.layouts import as_layout
from petra.scan.sbom import Sbom
from petra.scan.scanner import ScanJob, check_database_age, scan_job
from petra.scan.verdict import evaluate, require_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from petra.bundle.attached import Attachments, Attested
    from petra.bundle.evidence_rules import EvidenceRules, ImageRules
    from petra.bundle.images import ResolvedImage
    from petra.errors import VerificationError
    from petra.scan.model import ScanResult, Subject
    from petra.scan.scanner import ImageSource, LayoutImage, OpenImage
    from petra.trust.policy import SignaturePolicy


def gather(
    images: Sequence[ResolvedImage],
    rules: EvidenceRules,
    policies: Callable[[str], SignaturePolicy],
    tools: Tools,
    failures: Mapping[str, VerificationError] | None = None,
) -> Gathered:
    """Gather the evidence about `images`, several at once.

    Args:
        images: resolved, their own signatures verified.
        rules: what is asked for.
        policies: gives what an image's signatures must satisfy, by its name.
        tools: who scans, and who makes SBOMs.
        failures: images that were refused before, to be told together with those refused here.

    Raises:
        PolicyError: findings stop an image, an SBOM or provenance that is asked for is not there,
            or the scanner's database is too old.
        SignatureError: only by `failures`.
        ToolError: the scanner or syft failed.
        PetraError: a source failed.
    """
    workers = min(4, os.cpu_count() or 1)
    found = in_parallel(
        lambda image: attached_evidence(image, policies(image.name)), images, workers=workers
    )
    attached = {image.name: one for image, one in zip(images, found, strict=True)}
    work = [
        one
        for image in images
        for one in _work(image, rules.image(image.name), attached[image.name])
    ]
    done = in_parallel(lambda one: _examine(one, tools), work, workers=workers)
    pairs = [*zip(work, done, strict=True)]
    _refuse(failures or {}, _lacking(images, rules, attached) | _bare(pairs), pairs)
    collector = Collector(tools)
    for one, made in pairs:
        collector.add(one, made)
    return collector.gathered(images, rules, attached)


def _refuse(
    earlier: Mapping[str, VerificationError],
    lacking: Mapping[str, VerificationError],
    pairs: Sequence[tuple[Work, Done]],
) -> None:
    """Refuse all images at once that are to be refused, each with its reason."""
    verdicts = [made.verdict for _, made in pairs if made.verdict]
    if not earlier and not lacking:
        require_all(verdicts)
        return
    stopped: dict[str, VerificationError] = {}
    for one, made in pairs:
        try:
            require_all([made.verdict] if made.verdict else [])
        except PolicyError as error:
            stopped.setdefault(_called(one.image), error)
    failures = {**stopped, **lacking, **earlier}
    refuse(failures, len(earlier) + len({one.image.name for one, _ in pairs}))


def _called(image: ResolvedImage) -> str:
    return f"{image.name} ({image.reference})"


def _work(image: ResolvedImage, rules: ImageRules, attached: Attachments) -> list[Work]:
    """Return an image's platforms, each with the documents about it."""
    raw = fetch_document(image.source, image.root)
    root = parse_manifest(raw, image.root.media_type, where=image.root.digest)
    carried = {document.digest for document in image.documents}
    reference = str(image.reference)
    found = [*subjects(reference, root, image.platforms, lambda one: one.digest in carried)]
    labels = _labels(image.name, [subject for subject, _ in found])
    return [
        Work(image, subject, manifest, label, rules, _about(subject, attached))
        for (subject, manifest), label in zip(found, labels, strict=True)
    ]


def _labels(name: str, found: Sequence[Subject]) -> list[str]:
    """Return the start of the names of each platform's members, ``NAME/linux-amd64``."""
    platforms = [one.platform.replace("/", "-") or "image" for one in found]
    return [
        f"{name}/{platform}" + (f"-{one.digest.hex[:12]}" if platforms.count(platform) > 1 else "")
        for platform, one in zip(platforms, found, strict=True)
    ]


def _about(subject: Subject, attached: Attachments) -> tuple[Attested, ...]:
    """Return the documents about a platform, those about the index too if it is the only one."""
    digests = [subject.digest, *([subject.index] if subject.sole and subject.index else [])]
    return tuple(one for digest in digests for one in attached.attested if one.subject == digest)


def _examine(work: Work, tools: Tools) -> Done:
    """Make the SBOM that is missing, and scan."""
    try:
        with ExitStack() as stack:
            return _made(work, tools, stack)
    except PetraError as error:
        error.name(f"image {work.subject.reference}")
        raise


def _made(work: Work, tools: Tools, stack: ExitStack) -> Done:
    done, rules = Done(), work.rules
    # Scanners read SPDX best.
    attested = sorted(work.sboms, key=lambda one: one.form, reverse=True)
    sboms = [Sbom(one.data, f"SBOM {one.manifest}") for one in attested]
    layers: OpenImage = partial(as_layout, work.image.source, work.manifest)
    if not sboms and rules.generate and tools.syft:
        layout = stack.enter_context(as_layout(work.image.source, work.manifest))
        done.generated = tools.syft.sbom(work.subject, layout, tools.moment)
        sboms = [done.generated]
        layers = partial(_at_hand, layout)
    if rules.skip is None:
        done.result = _scanned(ScanJob(work.subject, tuple(sboms), layers), rules, tools)
        if rules.gate:
            done.verdict = evaluate(done.result, rules.gate, rules.waivers, tools.now)
    return done


def _at_hand(layout: LayoutImage) -> AbstractContextManager[ImageSource]:
    return nullcontext(layout)


def _scanned(job: ScanJob, rules: ImageRules, tools: Tools) -> ScanResult:
    """Return the scan's result; who scans must know enough of late."""
    if rules.reports:
        result = rules.reports.result(job.subject)
        check_database_age(result.scanner, rules.max_age, tools.now)
        return result
    assert tools.scanner is not None  # noqa: S101  # for mypy: the caller brings one if needed
    info = tools.scanner.describe()
    check_database_age(info, rules.max_age, tools.now)
    result = scan_job(tools.scanner, job)
    built = info.database.built if info.database else tools.moment
    # The scanner's own report is large, and does not travel.
    return replace(result, scanned=max(tools.moment, built), raw=b"")


def _bare(pairs: Sequence[tuple[Work, Done]]) -> dict[str, VerificationError]:
    """Return why images are refused that have no SBOM although the policy requires one."""
    return {
        _called(work.image): PolicyError(
            "the image has no SBOM, which the policy requires",
            where=str(work.subject),
            expected="an SPDX or CycloneDX attestation, signed as the image is",
            hint="attach one (cosign attest), or put syft at hand where the policy lets one be "
            "generated",
        )
        for work, done in pairs
        if work.rules.sbom_required and not done.generated and not work.sboms
    }


def _lacking(
    images: Sequence[ResolvedImage], rules: EvidenceRules, attached: Mapping[str, Attachments]
) -> dict[str, VerificationError]:
    """Return why images are refused that lack the provenance which the policy asks for."""
    found: dict[str, VerificationError] = {}
    for image in images:
        wanted = rules.image(image.name).provenance
        stated = [one for one in attached[image.name].attested if one.form == "slsa"]
        builders = [builder_of(one.data, where=str(one.manifest)) for one in stated]
        if wanted is None or suffices(wanted, builders):
            continue
        found[_called(image)] = PolicyError(
            "the image's provenance is not what the policy asks for",
            where=str(image.reference),
            expected=" or ".join(f"built by {one}" for one in wanted.builders) or "provenance",
            found=", ".join(builder or "no builder" for builder in builders) or "none",
            hint="use an image with SLSA provenance that is signed as the image is",
        )
    return found
