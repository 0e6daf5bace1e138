"""``python -m bench.registry PORT FOLDER``: the image set on a fixed port, until interrupted."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from bench.environment import ensure_pushed, ensure_update_pushed, registry, write_spec
from tests.support.tools import Toolbox


def main() -> None:
    """Serve the set and write its specs to the folder."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    scales = [float(text) for text in sys.argv[3:]] or [1.0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with registry(Toolbox(), port=port) as host:
        for scale in scales:
            images, size = ensure_pushed(host, scale)
            print(f"{write_spec(folder / images.label, images, host)}  {size} bytes of layers")
            changed = ensure_update_pushed(host, images, scale)
            print(f"{write_spec(folder / changed.label, changed, host)}  one new layer")
        print(f"listening on {host}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
