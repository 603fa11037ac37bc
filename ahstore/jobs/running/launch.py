"""The last step before user code, run as a script of its own: limits, then ``exec``.

``python -I -S launch.py VOLUME CPUS SUPERVISOR -- COMMAND…`` limits the size of any file to VOLUME
bytes, keeps to the processors CPUS (``0,3`` or ``all``), asks the kernel to kill this process when its parent dies, makes sure that SUPERVISOR is
still the parent, and becomes COMMAND. A script of its own, so that nothing runs between ``fork``
and ``exec`` in a supervisor that has threads. It imports nothing of ahstore.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_FOUND_STATUS = 127
NOT_EXECUTABLE_STATUS = 126
USUAL_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def main(arguments: list[str]) -> None:
    """Become the command, or exit with 126 or 127 after a line on standard error."""
    volume, cpus, supervisor, separator, *command = arguments
    assert separator == "--"
    if cpus != "all":
        os.sched_setaffinity(0, map(int, cpus.split(",")))
    limit = int(volume)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(supervisor):
        sys.exit(NOT_FOUND_STATUS)
    for number in USUAL_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is the point)
    except OSError as error:
        # A folder of PATH that may not be read gives "permission denied" for what is nowhere.
        is_there = any(os.path.exists(place) for place in _places(command[0]))
        sys.stderr.write(f"{command[0]}: {error.strerror if is_there else 'command not found'}\n")
        sys.exit(NOT_EXECUTABLE_STATUS if is_there else NOT_FOUND_STATUS)


def _places(program: str) -> list[str]:
    if "/" in program:
        return [program]
    return [os.path.join(folder, program) for folder in os.get_exec_path()]


if __name__ == "__main__":
    main(sys.argv[1:])
