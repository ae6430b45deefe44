"""Run a command, and print its wall time in seconds and its peak memory in bytes as JSON.

Run it by its path: this process has to stay small, as Linux counts the memory of the process that
starts another as the other's.
"""

import json
import os
import resource
import sys
import time

begun = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status = os.waitpid(child, 0)
seconds = time.perf_counter() - begun
if status:
    sys.exit(f"{' '.join(sys.argv[1:])} failed")
kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"seconds": seconds, "bytes": 1024 * kibibytes}))
