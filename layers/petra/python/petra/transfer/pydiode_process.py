"""Runs pydiode until whoever started it is gone, however that ended: else it kept the port.

It notices by its standard input, which ends then; pydiode's receiver does not read it.
"""

from __future__ import annotations

import os
import threading


def _end_with_parent() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would be asked for at the end
        pass
    os._exit(1)


def main() -> None:
    """Run pydiode with this process's arguments."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from pydiode.pydiode import main as run  # type: ignore[import-untyped]  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
