"""How ``create`` gathers evidence: who scans, and where the files lie that spec and policy name."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from petra.cli.files import read_file
from petra.cli.policy_files import FILE_LIMIT
from petra.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Executor, Future

    from petra.bundle.create import Prepared
    from petra.bundle.evidence_records import Gathered
    from petra.bundle.evidence_rules import EvidenceRules
    from petra.bundle.spec import ImageSpec
    from petra.cli.command import Call
    from petra.cli.policy_files import PolicyFile
    from petra.cli.spec_files import SpecFile
    from petra.content.progress import Progress
    from petra.scan.grype import GrypeScanner
    from petra.trust.policy import SignaturePolicy
    from petra.trust.verdict import SignatureVerdict


def evidence_rules(file: SpecFile, policy: PolicyFile | None) -> EvidenceRules:
    """Return what evidence is asked for. Every file that is named is read now.

    Args:
        file: the spec.
        policy: the policy, where there is one.

    Raises:
        PolicyError: the spec skips what the policy asks for.
        PetraError: a file is not there, or not what it should be.
    """
    from petra.bundle.evidence_rules import EvidenceRules  # noqa: PLC0415  # start-up time

    def read(name: str) -> bytes:
        return read_file(file.path.parent / name, limit=FILE_LIMIT)

    if policy is None:
        return EvidenceRules(file.spec, read)
    return EvidenceRules(file.spec, read, policy.policy, policy.read)


def early_scanner(rules: EvidenceRules, pool: Executor) -> Future[GrypeScanner] | None:
    """Begin to look at the scanner and its database beside all else; None where nobody scans.

    Raises:
        ToolError: a scan is asked for, and there is no scanner.
    """
    if not any(rule.scanner for rule in rules.all()):
        return None
    from petra.scan.grype import GrypeScanner, default_database  # noqa: PLC0415  # start-up time

    dated = any(rule.gate and rule.gate.grace for rule in rules.all())
    # How old the database may be is a matter of each image's rules.
    scanner = GrypeScanner(default_database(), max_age=None, dates=dated)

    def described() -> GrypeScanner:
        scanner.describe()
        return scanner

    return pool.submit(described)


def gather_evidence(
    prepared: Prepared,
    rules: EvidenceRules,
    policy: Callable[[ImageSpec], SignaturePolicy],
    scanner: Future[GrypeScanner] | None,
    outcomes: Mapping[str, SignatureVerdict | VerificationError],
) -> Gathered:
    """Gather the evidence about all images.

    Args:
        prepared: what was resolved.
        rules: what is asked for.
        policy: what the signatures of an image of the spec must satisfy.
        scanner: who scans.
        outcomes: of verifying the images; those that were refused are told with the others.

    Raises:
        PetraError: what :func:`petra.bundle.evidence.gather` raises.
    """
    from petra.bundle.evidence import gather  # noqa: PLC0415  # start-up time
    from petra.bundle.evidence_records import Tools  # noqa: PLC0415  # as above
    from petra.scan.syft import Syft  # noqa: PLC0415  # as above

    makes = any(rule.generate for rule in rules.all())
    tools = Tools(
        scanner=scanner.result() if scanner else None,
        syft=Syft.find() if makes else None,
        now=datetime.now(UTC),
        moment=prepared.lock.created,
    )
    images = prepared.resolution.images
    specs = {image.name: image for image in prepared.resolution.spec.spec.images}
    failures = {
        f"{image.name} ({image.reference})": outcome
        for image in images
        if isinstance(outcome := outcomes[image.name], VerificationError)
    }
    good = [one for one in images if not isinstance(outcomes[one.name], VerificationError)]
    return gather(good, rules, lambda name: policy(specs[name]), tools, failures)


def tell_of(call: Call, found: Gathered) -> None:
    """Say what somebody should know of the evidence."""
    from petra.bundle.metadata import NO_SCAN  # noqa: PLC0415  # start-up time

    for note in found.notes:
        call.console.warn(note)
    if found.scan.reason == NO_SCAN and found.images:
        call.console.note(f"images are not scanned: {NO_SCAN} (spec.scan)")


@contextmanager
def scanning(progress: Progress, rules: EvidenceRules) -> Iterator[None]:
    """Tell the block as a phase of its own, if images are scanned in it."""
    scans = any(rule.skip is None for rule in rules.all())
    if scans:
        progress.on_start("scanning")
    yield
    if scans:
        progress.on_done()
