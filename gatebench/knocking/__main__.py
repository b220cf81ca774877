"""Knocking as a process: a job as its argument, what came of it as one line on standard output.

Knows the channel. Knocking at a rate ends when standard input is closed, and so with whoever started it, too. Ends
with 0, or as the error says (gatebench.errors), having written why to standard error.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys

from gatebench.errors import GatebenchError
from gatebench.knocking.asking import Asker, Job, Tally


async def ask(job: Job) -> Tally:
    """Do a job; one at a rate until standard input is closed."""
    asker, loop = Asker(job), asyncio.get_running_loop()

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin)
            asker.stop()

    if job.rate is not None:
        loop.add_reader(sys.stdin, heard)
    return await asker.run()


def main() -> int:
    """Take a job, do it, write what came of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        tally = asyncio.run(ask(Job.parse(" ".join(sys.argv[1:]))))
    except GatebenchError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(tally.document())
    return 0


if __name__ == "__main__":
    sys.exit(main())
