"""Measures and judges for action.yml, and tells GitHub what was said.

The action's inputs come as variables GATE_…: no word of theirs is ever part of a command's text. Outputs are the
verdict, the exit code and the folder of the reports. It ends with 0 whatever the verdict is: the action's last step
ends with the gate's own exit code, when the comment and the reports are kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
VERDICTS = {0: "pass", 1: "fail", 3: "unsure"}  # where gate.json has the same word; else nothing could be judged
ONCE = ("app", "stack", "budget")  # options that are given once, where they are given
OFTEN = ("scenario", "metric", "margin")  # and those that are given for each word of their input
EITHER = ("confirm", "fails", "comment")  # inputs that are true or false
KEPT_LINES = 15  # of what was said, where there is no report


def given(name: str) -> str:
    """Give an input of the action; empty where it was left out."""
    return os.environ.get(f"GATE_{name.upper()}", "").strip()


def git(*words: str) -> str | None:
    """Ask git about the repository that the app lies in; None where it has no answer."""
    command = ["git", "-C", given("app") or ".", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def base() -> str | None:
    """Say what head is held against: what the action was told, else what the pull request is to be merged into."""
    told, event = given("base"), given("event_base")
    if told or not event:
        return told or None
    # What is checked out is a merge, made by GitHub, of head into its base: the first parent is all but the change.
    if git("rev-parse", "HEAD") == os.environ.get("GITHUB_SHA") and git("rev-parse", "--verify", "HEAD^2"):
        return git("rev-parse", "HEAD^1")
    if git("cat-file", "-e", f"{event}^{{commit}}") is None:  # a shallow clone
        git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", event)
    return git("merge-base", event, "HEAD") or event


def command(held_against: str, reports: Path) -> list[str]:
    """Spell the call of the gate."""
    words = [str(TREE / ".venv" / "bin" / "gatebench"), "gate", f"--root={TREE}"]
    words += [f"--base={held_against}", f"--head={given('head') or '.'}"]
    words += [f"--{name}={given(name)}" for name in ONCE if given(name)]
    words += [f"--{name}={one}" for name in OFTEN for one in re.sub(r"\s+%", "%", given(name)).split()]
    words += ["--no-confirm" if given("confirm") == "false" else "--confirm"]
    return [*words, f"--reports={reports}", f"--out={reports / 'results'}"]


def measured(words: list[str]) -> tuple[int, list[str]]:
    """Run the gate, with its lines shown as they come; give its exit code and what it said."""
    lines: list[str] = []
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
    ) as running:
        for line in running.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    return running.returncode, lines


def found(reports: Path, code: int, lines: list[str]) -> tuple[str, str]:
    """Give the verdict and a sentence: the judgement's, and where nothing was judged the last thing that was said.

    The exit code alone is no verdict: a Python that breaks down ends with 1, too.
    """
    try:
        judgement = json.loads((reports / "gate.json").read_text(encoding="utf-8"))["judgement"]
        word, sentence = str(judgement["word"]), str(judgement["sentence"])
    except (OSError, ValueError, KeyError, TypeError):
        word, sentence = "error", ""
    if sentence and VERDICTS.get(code) == word:
        return word, sentence
    said = [line.strip() for line in lines if line.strip()]
    last = said[-1] if said else "gatebench said nothing."
    return "error", last.removeprefix("gatebench: ")


def annotate(kind: str, text: str) -> None:
    """Put a sentence where GitHub shows it beside the checks."""
    for sign, spelled in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(sign, spelled)
    sys.stdout.write(f"::{kind} title=gatebench::{text}\n")


def tell(variable: str, text: str) -> None:
    """Append to one of the files that GitHub reads."""
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def misspelled(name: str) -> str | None:
    """Say which input cannot be what it is; None where all can."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return "The input 'name' takes letters, digits, '.', '_' and '-'."
    for one in EITHER:
        if (value := os.environ.get(f"GATE_{one.upper()}", "true")) not in ("true", "false"):
            return f"The input '{one}' is '{value}', where it is to be true or false."
    return None


def main() -> int:
    """Measure, judge, tell."""
    name = given("name") or "gate"
    if wrong := misspelled(name):
        annotate("error", wrong)
        tell("GITHUB_OUTPUT", "verdict=error\nexit-code=2\n")
        return 2
    reports = Path(os.environ.get("RUNNER_TEMP", "reports")).resolve() / "gatebench" / name
    shutil.rmtree(reports, ignore_errors=True)  # of an earlier job of the same runner
    reports.mkdir(parents=True)
    held_against = base()
    if held_against is None:
        code, lines = 2, ["This is no pull request: name the input 'base', such as HEAD~1.\n"]
    else:
        code, lines = measured(command(held_against, reports))
    verdict, sentence = found(reports, code, lines)
    report = reports / "gate.md"
    if verdict == "error" or not report.exists():  # whatever was written before it broke off is no judgement
        last = "".join(f"    {line}" for line in lines[-KEPT_LINES:])
        report.write_text(f"**The gate judged nothing** (exit code {code})\n\n{last}\n", encoding="utf-8")
    fails = verdict == "error" or (verdict == "fail" and given("fails") != "false")
    annotate("error" if fails else "notice" if verdict == "pass" else "warning", sentence)
    tell("GITHUB_STEP_SUMMARY", report.read_text(encoding="utf-8") + "\n")
    tell("GITHUB_OUTPUT", f"verdict={verdict}\nexit-code={code}\nreports={reports}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
