"""The generator as a process: a job on standard input, its figures as one line on standard output.

Knows the channel and nothing of what travels over it. All imports are done before the job is waited for, so that the
harness can start it beforehand. Ends with 0, or as the error says (gatebench.errors), having written why.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from gatebench.errors import GatebenchError, UsageError
from gatebench.swarm.driver import measure
from gatebench.swarm.job import FORMAT, parse

LOG_LINES = 50  # an error in a task repeats with every request


class FirstOnly(logging.Filter):
    """Lets the first records pass."""

    def filter(self, _record: logging.LogRecord) -> bool:
        """Say whether there is room for one more."""
        self.seen = getattr(self, "seen", 0) + 1
        return self.seen <= LOG_LINES


def main() -> int:
    """Take a job, do it, write its figures."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a scenario prints must not stand among the figures
    handler = logging.StreamHandler()
    handler.addFilter(FirstOnly())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("locust.runners").setLevel(logging.ERROR)  # it warns of all users starting at once
    code = 0
    try:
        figures: dict[str, Any] = measure(parse(sys.stdin.buffer.read()))
    except GatebenchError as error:
        who = "user" if isinstance(error, UsageError) else "machine"
        figures, code = {"format": FORMAT, "error": str(error), "who": who}, error.exit_code
    except KeyboardInterrupt:
        return 130
    with answer:
        answer.write(json.dumps(figures, allow_nan=False) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
