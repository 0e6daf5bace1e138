"""``make bench``: Petra beside crane, skopeo, helm and openssl, in alternating pairs.

It measures; it never asserts. The figures are for people and for comparison with the last run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from bench.cases import CASES, Bench
from bench.environment import RESULTS, registry
from bench.measure import CommandFailedError
from bench.report import last, save, table, to_json
from tests.support.tools import Toolbox, ToolMissingError, version_of

#: Scales of the image set; 1 is 1.1 GB of layers.
_SIZES = {"small": 0.06, "full": 1.0, "xl": 5.0}
_DEFAULT = [name for name in CASES if name not in ("peers", "memory", "ways")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--size", choices=_SIZES, default="full", help="60 MB, 1.1 GB or 5.5 GB")
    parser.add_argument("--pairs", type=int, default=7, help="how often each pair runs")
    parser.add_argument("--only", help=f"some of {','.join(CASES)}; 'memory' takes 5 x the size")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",") if arguments.only else _DEFAULT
    if unknown := set(arguments.only) - set(CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}")
    return arguments


def main() -> int:
    """Run the cases, print the table, keep the figures."""
    arguments = _arguments()
    toolbox = Toolbox()
    comparisons = []
    failed = []
    with registry(toolbox) as host:
        bench = Bench(toolbox, host, _SIZES[arguments.size], arguments.pairs)
        for name in arguments.only:
            try:
                comparisons += list(CASES[name](bench))
            except (CommandFailedError, ToolMissingError, subprocess.CalledProcessError) as error:
                failed.append(name)
                print(f"\n{name} left out: {error}", file=sys.stderr)
    versions = {name: version_of(path) for name, path in toolbox.found.items()}
    before = last(RESULTS, arguments.size)
    print(f"\n{os.cpu_count()} CPUs, {arguments.pairs} pairs, size {arguments.size}; ", end="")
    print(", ".join(f"{name} {version}" for name, version in sorted(versions.items())))
    print("\n" + table(comparisons, before))
    if comparisons:
        path = save(to_json(comparisons, arguments.size, versions), before, RESULTS)
        print(f"\nall figures: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
