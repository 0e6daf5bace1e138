"""What evidence is asked for, image by image: by the spec, by a policy, or by nobody.

Where both ask, the stricter of each setting counts, and waivers and finished reports are the
policy's alone: whoever writes a spec cannot weaken a policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from petra.bundle.metadata import NO_SCAN
from petra.bundle.policy_scan import scan_gate, scan_reports, scan_waivers
from petra.errors import PolicyError
from petra.oci.reference import Reference
from petra.scan.gate import Gate
from petra.scan.report import ReportScanner
from petra.scan.waivers import Waivers

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from petra.bundle.policy import Policy, ProvenanceRules, SbomRules, ScanRules
    from petra.bundle.spec import ImageSpec, Spec

_UNUSED: Final = "the spec's waivers and reports do not count: the policy has its own"


@dataclass(frozen=True, slots=True)
class ImageRules:
    """What is asked of one image.

    Attributes:
        skip: why it is not scanned; None where it is.
        gate: which findings stop it; None for none.
        max_age: how old the scanner's database may be; None where nothing is scanned.
        waivers: what somebody answers for.
        reports: finished reports, instead of a scan made here; None for a scan.
        sbom_required: whether an image without an SBOM is refused.
        generate: whether syft makes one for an image without.
        provenance: the policy's rules for the image's own provenance; None without a policy.
    """

    skip: str | None = NO_SCAN
    gate: Gate | None = None
    max_age: timedelta | None = None
    waivers: Waivers = field(default_factory=Waivers)
    reports: ReportScanner | None = None
    sbom_required: bool = False
    generate: bool = False
    provenance: ProvenanceRules | None = None

    @property
    def scanner(self) -> bool:
        """Whether a scanner of ours is needed."""
        return self.skip is None and self.reports is None


class EvidenceRules:
    """The rules for every image of a spec. Files that they name are read once.

    Args:
        spec: the spec.
        read_spec: gives a file that the spec names.
        policy: the policy; None where there is none.
        read_policy: gives a file that the policy names.

    Attributes:
        notes: what somebody should know of how the two were put together.

    Raises:
        PolicyError: the spec skips the scan, and the policy does not let it.
        PetraError: a file is not there, or not what it should be.
    """

    def __init__(
        self,
        spec: Spec,
        read_spec: Callable[[str], bytes],
        policy: Policy | None = None,
        read_policy: Callable[[str], bytes] | None = None,
    ) -> None:
        self._spec = spec.spec.scan
        self._policy = policy
        self._read_spec = cache(read_spec)
        self._read_policy = cache(read_policy or read_spec)
        self._waivers: dict[int, Waivers] = {}
        self._reports: dict[int, ReportScanner | None] = {}
        self.notes: tuple[str, ...] = ()
        self._check_skip()
        self._rules = {image.name: self._image(image) for image in spec.spec.images}

    def image(self, name: str) -> ImageRules:
        """Return what is asked of the image that the spec calls `name`."""
        return self._rules[name]

    def all(self) -> tuple[ImageRules, ...]:
        """Return the rules for all images, in the spec's order."""
        return tuple(self._rules.values())

    def skip(self) -> str | None:
        """Return why a bundle without images is not scanned; None where a scan was asked for."""
        return self._scan(self._spec, self._policy.spec.scan if self._policy else None).skip

    def waivers(self) -> tuple[Waivers, ...]:
        """Return all sets of waivers, each once."""
        return tuple(self._waivers.values())

    def _check_skip(self) -> None:
        asked, policy = self._spec, self._policy
        if asked is None or policy is None:
            return
        if asked.skip and "scan" not in policy.spec.bundle.allow_skipped:
            raise PolicyError(
                "the spec skips the scan, and the policy does not let it",
                where=f"policy {policy.name}",
                expected="a scan, or scan in the policy's bundle.allowSkipped",
                found=asked.skip,
                hint="take spec.scan.skip out of the spec, or ask the policy's owner",
            )
        if asked.waivers or asked.vex or asked.reports:
            self.notes = (_UNUSED,)

    def _image(self, image: ImageSpec) -> ImageRules:
        name = Reference.parse(image.image).name
        policy = self._policy
        ruled = policy.scan(name) if policy else None
        sbom: SbomRules | None = policy.sbom(name) if policy else None
        asked = self._spec
        rules = ImageRules(
            sbom_required=bool(sbom and sbom.required),
            provenance=policy.provenance(name) if policy else None,
        )
        scan = self._scan(asked, ruled)
        wanted = scan.skip is None or rules.sbom_required
        return ImageRules(
            scan.skip,
            scan.gate,
            scan.max_age,
            scan.waivers,
            scan.reports,
            rules.sbom_required,
            wanted and (sbom is None or sbom.generate),
            rules.provenance,
        )

    def _scan(self, asked: ScanRules | None, ruled: ScanRules | None) -> ImageRules:
        """Return how an image is scanned, as the spec and the policy say together."""
        first = ruled if ruled and not ruled.skip else asked
        if first is None:
            return ImageRules(skip=ruled.skip if ruled else NO_SCAN)
        if asked and asked.skip:
            return ImageRules(skip=asked.skip)
        gates, ages = [scan_gate(first.gate)], [first.max_database_age]
        if asked and asked is not first:
            gates.append(scan_gate(asked.gate))
            ages.append(asked.max_database_age)
        return ImageRules(
            skip=None,
            gate=strictest(*gates),
            max_age=min(ages),
            waivers=self._waivers_of(first),
            reports=self._reports_of(first),
        )

    def _waivers_of(self, rules: ScanRules) -> Waivers:
        if id(rules) not in self._waivers:
            ours = rules is self._spec
            read, source = (self._read_spec, "spec") if ours else (self._read_policy, "policy")
            self._waivers[id(rules)] = scan_waivers(rules, read, source=source)
        return self._waivers[id(rules)]

    def _reports_of(self, rules: ScanRules) -> ReportScanner | None:
        if id(rules) not in self._reports:
            read = self._read_spec if rules is self._spec else self._read_policy
            found = scan_reports(rules, read)
            self._reports[id(rules)] = ReportScanner(found) if found else None
        return self._reports[id(rules)]


def strictest(*gates: Gate | None) -> Gate | None:
    """Return the gate that lets pass only what each of `gates` does, and perhaps less.

    Args:
        gates: None for one that lets everything pass.
    """
    found = [gate for gate in gates if gate is not None]
    if not found:
        return None
    graces = [gate.grace for gate in found if gate.grace is not None]
    return Gate(
        frozenset().union(*(gate.severities for gate in found)),
        fixable_only=all(gate.fixable_only for gate in found),
        grace=min(graces) if len(graces) == len(found) else None,
    )
