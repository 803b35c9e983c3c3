"""Runs a command, and writes what it took as JSON: `measured.py FILE COMMAND…`.

In a process of its own, and a small one: on Linux the peak memory of a new process begins with that of the process it
was forked from, and what a bench has imported would be counted as its peers'.
"""

import json
import resource
import subprocess
import sys
import time

if __name__ == "__main__":
    began = time.monotonic()
    code = subprocess.call(sys.argv[2:])
    wall = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Linux counts in KiB, macOS in bytes (getrusage(2)).
    unit = 1024 if sys.platform == "darwin" else 1
    took = {"wall": wall, "memory": used.ru_maxrss // unit}
    with open(sys.argv[1], "w") as file:
        json.dump(took, file)
    sys.exit(code)
