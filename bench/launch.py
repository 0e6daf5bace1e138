"""Runs one command and reports what it used: ``python -I -S launch.py RESULT COMMAND...``.

A process of its own, with nothing imported, for two reasons. Linux counts a child's peak memory
from the moment of its fork, so a large parent would show up in each figure; this one is 9 MB. And
a process's I/O counters can be read between its end and its reaping, by its parent.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the command and write its figures to the result file as JSON."""
    result, command = sys.argv[1], sys.argv[2:]
    begin = time.monotonic()
    pid = os.fork()
    if not pid:
        try:
            os.execvp(command[0], command)  # noqa: S606
        finally:
            os._exit(127)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    wall = time.monotonic() - begin
    # The zombie's counters hold those of its own reaped children too.
    with open(f"/proc/{pid}/io") as file:  # noqa: PTH123
        io = dict(line.split(": ") for line in file.read().splitlines())
    _, status, usage = os.wait4(pid, 0)
    figures = {
        "status": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
        "written": int(io["write_bytes"]) - int(io["cancelled_write_bytes"]),
        "read": int(io["rchar"]),
    }
    with open(result, "w") as file:  # noqa: PTH123
        json.dump(figures, file)


if __name__ == "__main__":
    main()
