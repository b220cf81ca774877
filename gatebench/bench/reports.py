"""What a page costs by the number of its trials: seconds, memory and bytes.

Knows results files and the command that makes a page. Must not know how it is made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import count, islice
from pathlib import Path

from gatebench.bench.outcome import Outcome, Settings, Target, spread
from gatebench.errors import MachineError

SIZES = (100, 1_000, 5_000)
REFERENCE = Path("results") / "reference" / "full.jsonl"  # whose trials are taken, again and again in later blocks
SECONDS, MEMORY_BYTES, PAGE_BYTES = 5.0, 500 * 10**6, 2 * 10**6  # of a page of a thousand trials, at most
LINEAR = 1.5  # times as much a trial at the most as in the middle, at most


def reports(settings: Settings) -> Outcome:
    """Make a page of each size, round by round."""
    found = Outcome(
        title="A page from a results file, in a process of its own",
        headings=("trials", "seconds", "most memory", "page", "seconds a thousand trials"),
    )
    files = {size: _of_size(settings.root / REFERENCE, settings.scratch, size) for size in SIZES}
    made: dict[int, list[tuple[float, int, int]]] = {size: [] for size in SIZES}
    for number in range(settings.rounds):
        for size, file in files.items():
            settings.told(f"round {number + 1}, {size} trials")
            made[size].append(_make(file, settings.scratch / f"page-{size}"))
            seconds, memory, page = made[size][-1]
            found.records.append(
                {"part": "reports", "trials": size, "seconds": seconds, "memory_bytes": memory, "page_bytes": page}
            )
    for size, each in made.items():
        took = [one[0] for one in each]
        most, longest = max(one[1] for one in each), max(one[2] for one in each)
        own = spread([one * 1000 / size for one in took], ".2f")
        found.rows.append((f"{size:,}", spread(took, ".2f"), f"{most / 1e6:.0f} MB", f"{longest / 1e6:.2f} MB", own))
    found.notes.append("beyond the reference's own trials: more blocks of the same cells")
    found.targets += _targets(made)
    return found


def _targets(made: dict[int, list[tuple[float, int, int]]]) -> list[Target]:
    seconds, memory, page = (max(one[at] for one in made[SIZES[1]]) for at in range(3))
    grown = [
        (large[0] - middle[0]) / (SIZES[2] - SIZES[1]) / ((middle[0] - small[0]) / (SIZES[1] - SIZES[0]))
        for small, middle, large in zip(*made.values(), strict=True)
        if middle[0] > small[0]
    ]
    return [
        Target(
            what="1,000 trials", wanted=f"under {SECONDS:g} s", found=f"{seconds:.2f} s", reached=seconds < SECONDS
        ),
        Target(
            what="their memory",
            wanted=f"under {MEMORY_BYTES / 1e6:.0f} MB",
            found=f"{memory / 1e6:.0f} MB",
            reached=memory < MEMORY_BYTES,
        ),
        Target(
            what="their page",
            wanted=f"under {PAGE_BYTES / 1e6:.0f} MB",
            found=f"{page / 1e6:.2f} MB",
            reached=page < PAGE_BYTES,
        ),
        Target(
            what="each further trial from 1,000 to 5,000, over one from 100 to 1,000",
            wanted=f"at most {LINEAR:g}",
            found=spread(grown, ".2f"),
            reached=None if not grown else sorted(grown)[len(grown) // 2] <= LINEAR,
        ),
    ]


def _of_size(source: Path, scratch: Path, size: int) -> Path:
    """Write a file of so many trials: those of the source, then the same again in later blocks."""
    try:
        lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise MachineError(f"{source} cannot be read ({error.strerror}); this part needs the reference.") from None
    header, runs, end = lines[0], [line for line in lines if line["kind"] == "run"], lines[-1]
    blocks = 1 + max(run["block"] for run in runs)
    again = ({**run, "block": run["block"] + blocks * turn} for turn in count() for run in runs)
    path = scratch / f"{size}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for line in (header, *({**run, "number": n} for n, run in enumerate(islice(again, size))), end):
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return path


def _make(file: Path, out: Path) -> tuple[float, int, int]:
    """Make a page; give seconds, the most resident memory and the page's size, both in bytes."""
    command = [sys.executable, "-m", "gatebench", "report", str(file), "--out", str(out)]
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)  # what it alone took
        errors.seek(0)
        said = errors.read()
    seconds = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise MachineError(f"the page of {file.name} was not made: {said.strip()}")
    return seconds, usage.ru_maxrss * 1024, (out / "index.html").stat().st_size
