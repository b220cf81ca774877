"""The client as a process: a job on standard input, its figures as one line on standard output.

Knows the channel and nothing of what travels over it. Ends with 0, or as the error says (gatebench.errors), having
written why.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from gatebench.errors import GatebenchError, UsageError
from gatebench.streams.driver import measure
from gatebench.streams.job import FORMAT, parse


def main() -> int:
    """Take a job, do it, write its figures."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
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
