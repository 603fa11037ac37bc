"""The parent of a job on this machine, run as a script of its own: it keeps the exit code.

``python -I -S keeper.py EXIT_FILE -- COMMAND…`` leaves a process that is nobody's child, which
starts the command, prints its process number, and writes its exit code (negative for a signal's
number) to EXIT_FILE when it has ended. The command begins when ``g`` comes on standard input, and
reads what follows it; if that closes instead, it never begins. It imports nothing of ahstore.
"""

import contextlib
import os
import signal
import sys

GO = b"g"
NOT_SENT_STATUS = 125
NOT_FOUND_STATUS = 127
LEFT_TO_THE_JOB = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT)


def main(arguments: list[str]) -> None:
    """Become the keeper of a job, and stay until it has ended."""
    exit_file, separator, *command = arguments
    assert separator == "--"
    if os.fork():
        os._exit(0)
    # A caller who ignores or blocks these hands that on: ends of children would go unseen.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    job = os.fork()
    if not job:
        _become(command)
    os.write(1, b"%d\n" % job)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    for number in LEFT_TO_THE_JOB:
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(job, 0)
    # The folder may be gone: the last that a job of ours does when all went well.
    with contextlib.suppress(OSError):
        _write(exit_file, b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(command: list[str]) -> None:
    os.dup2(2, 1)
    if os.read(0, 1) != GO:
        os._exit(NOT_SENT_STATUS)
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is the point)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(NOT_FOUND_STATUS)


def _write(path: str, data: bytes) -> None:
    draft = path + ".draft"
    with open(draft, "wb") as file:
        file.write(data)
    os.rename(draft, path)


if __name__ == "__main__":
    main(sys.argv[1:])
