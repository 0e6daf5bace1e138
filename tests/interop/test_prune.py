"""What prune takes from a real registry that deletes, and what others still find there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from petra.serve.repositories import MemoryRepositories
from tests.support.petra_process import Petra
from tests.support.sites import Bundles, There
from tests.support.world import WEB, WORKER, connected_side

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.docker_registry import DockerRegistry


@pytest.fixture
def pruned(docker_registry: DockerRegistry, tmp_path: Path) -> There:
    """A registry into which two bundles were loaded, and from which the older was pruned."""
    petra = Petra(tmp_path)
    there = There(docker_registry.host, MemoryRepositories(), tmp_path, petra.outcome)
    with connected_side(tmp_path) as world:
        bundles = Bundles(world, petra.outcome)
        for serial, images in ((4, (WEB, WORKER)), (5, (WORKER,))):
            loaded = there.load(bundles.make(serial, images=images))
            assert loaded.status == 0, loaded.err
    outcome = petra.outcome("bundle", "prune", "--ledger", there.ledger, "--keep", "1")
    assert outcome.status == 0, outcome.out + outcome.err
    assert "garbage collection" in outcome.out
    return there


def test_only_the_kept_bundle_is_found_afterwards(
    pruned: There, tools: Callable[[str], Path], tmp_path: Path
) -> None:
    def crane(*arguments: str) -> subprocess.CompletedProcess[str]:
        import subprocess

        return subprocess.run(
            [tools("crane"), *arguments], capture_output=True, text=True, check=False, timeout=60
        )

    def tags(repository: str) -> set[str]:
        listed = crane("ls", f"{pruned.host}/{repository}").stdout.split()
        return {tag for tag in listed if not tag.startswith("sha256-")}

    assert tags("charts/app") == {"1.5.0"}
    assert tags("platform") == {"1.5.0", "stable"}
    assert tags("mirror/team/worker") == {"1.4"}
    assert tags("mirror/team/web") == set()
    assert crane("validate", "--remote", f"{pruned.host}/mirror/team/worker:1.4").returncode == 0
    left = crane("ls", f"{pruned.host}/mirror/team/web").stdout
    assert left == ""
