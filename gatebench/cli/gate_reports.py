"""What a gate leaves behind: its files, what it prints at the end, and the error that says what is not well.

Knows judgements and the folder of reports. Must not know how anything is measured, nor how a word is come to.
"""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console

from gatebench import gating
from gatebench.cli.gate_view import show
from gatebench.cli.terms import OF_THE_MACHINE
from gatebench.errors import (
    ContractError,
    GatebenchError,
    MachineError,
    RegressionError,
    UntrustedError,
    UsageError,
)
from gatebench.gate import judge, markdown
from gatebench.gate.formats import FORMATS
from gatebench.gate.words import invented
from gatebench.model import Judgement, Run, Session

PAGE, JSON, MARKDOWN = "gate.html", "gate.json", "gate.md"


def cleared(reports: Path) -> None:
    """Remove an earlier judgement, which must not stand where this one comes to none; UsageError where it cannot."""
    try:
        reports.mkdir(parents=True, exist_ok=True)
        if (reports / JSON).exists():  # else its files, such as a junit.xml, are somebody else's
            _remove(reports)
    except OSError as error:
        raise _unwritable(reports, "--reports", error) from None
    check_writable(reports, "--reports")
    if taken := next((reports / name for name in (*FORMATS, PAGE) if (reports / name).is_dir()), None):
        raise UsageError(f"{taken} is a folder, where a file is to be written: give another folder with --reports.")


def check_writable(folder: Path, option: str) -> None:
    """Refuse a folder in which no file can be made, before minutes are spent on what is to stand there."""
    try:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _unwritable(folder, option, error) from None


def _unwritable(folder: Path, option: str, error: OSError) -> UsageError:
    return UsageError(f"{folder} cannot be written ({error.strerror}): give another folder with {option}.")


def _remove(reports: Path) -> None:
    for name in (*FORMATS, PAGE):
        (reports / name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A session to judge, and where it lies."""

    session: Session
    files: Sequence[Path]
    options: Sequence[str] = ()  # what else its judging was told

    def again(self, reports: Path | None = None) -> str:
        """Spell the command that judges the same blocks again; files that lie in `reports` as seen from there."""
        paths = [
            path.absolute().relative_to(reports.absolute()) if reports and _within(path, reports) else path
            for path in self.files
        ]
        return shlex.join(["gatebench", "gate", *map(str, paths), *self.options])


def _within(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def end(judged: Judged, reports: Path, console: Console, *, as_json: bool) -> None:
    """Judge, leave the files, show it, and say by an error what is not well."""
    from gatebench.report.gate_page import page  # noqa: PLC0415 - matplotlib and pandas cost a second

    session = judged.session
    judgement, failed = judge(session), _failed(session)
    if failed and not judgement.broken:
        judgement = replace(judgement, word="unsure", sentence=invented(str(failed), session))
    texts = {name: write(judgement, session) for name, write in FORMATS.items()}
    beside = all(_within(path, reports) for path in judged.files)  # and is uploaded with it, in CI
    where = " in the folder of this report" if beside else ""
    texts[MARKDOWN] = markdown.page(judgement, session, again=judged.again(reports), where=where)
    texts[PAGE] = page(judgement, session)
    lost = _put(reports, texts, judged)
    if as_json:
        typer.echo(texts[JSON], nl=False)
    show(console, judgement, session)
    if lost:
        say(console, judgement.sentence)
        raise lost
    say(console, f"{reports / PAGE}, with {', '.join(FORMATS)} beside it; `{judged.again()}` judges the same again.")
    if error := failed if failed and not judgement.broken else _error(judgement):
        raise error
    say(console, judgement.sentence)


def say(console: Console, *lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _put(reports: Path, texts: Mapping[str, str], judged: Judged) -> GatebenchError | None:
    """Write all files, or none; give the error that says how nothing is lost."""
    from gatebench.report.files import put  # noqa: PLC0415 - matplotlib and pandas cost a second

    try:
        for name in sorted(texts, key=lambda name: name == JSON):  # last: where it is, all the others are
            put(reports / name, texts[name], option="--reports")
    except UsageError as error:
        with contextlib.suppress(OSError):  # as where the folder itself is gone
            _remove(reports)
        why = error.__context__
        full = isinstance(why, OSError) and why.errno in OF_THE_MACHINE
        kind: type[GatebenchError] = MachineError if full else UsageError
        reason = f" ({why.strerror})" if isinstance(why, OSError) else ""
        return kind(
            f"{reports} could not be written{reason}, but nothing that was measured is lost: "
            f"`{judged.again()} --reports FOLDER` judges it again."
        )
    return None


def _error(judgement: Judgement) -> GatebenchError | None:
    if judgement.broken:
        return ContractError(judgement.sentence)
    if judgement.word == "fail":
        return RegressionError(judgement.sentence)
    return UntrustedError(judgement.sentence) if judgement.word == "unsure" else None


def _failed(session: Session) -> GatebenchError | None:
    """Give the error of an arm that could never be measured, or could not any more."""
    declared = session.gate
    assert declared is not None  # noqa: S101 -- it has been judged
    whose: dict[str, list[Run]] = {stack: [] for stack in declared.arms}
    for run in session.runs:
        if run.stack in whose:
            whose[run.stack].append(run)
    never = [runs[0] for runs in whose.values() if runs and all(run.fault for run in runs)]
    # A gate stops where an arm will not do better; what was measured before it then is no pass.
    last = [run for run in session.runs[-2:] if run.stack in whose and gating.final(run)]
    return next((error for run in (*never, *last) if (error := gating.failure(run, declared.arms))), None)
