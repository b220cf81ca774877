"""Results files: a session to JSON Lines and back, every value checked on the way in.

Knows the file's form (docs/results.md) and the types of gatebench.model, by their hints. Must not know how a
run came about nor what is thought of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from gatebench.errors import MachineError, UsageError
from gatebench.model import Load, Run, Session
from gatebench.records import Mismatch, Reader, encode, names_of

FORMAT_VERSION = 1  # raised when a field changes its meaning; a new field that changes no other does not raise it
NOT_IN_HEADER = {"runs", "ended_at", "interrupted", "resumed", "notices", "base_from"}  # known only later
LINES = ("log", "transcript", "reason", "why", "warnings", "error_reasons", "unopened_reasons")  # that texts may have
NAME = "name a results file, as gatebench run writes it"
HELPS = "take the file anew from where it was measured, or measure again"  # nobody mends figures by hand
OF_A_PART = ("stacks", "measures", "blocks", "window_s", "warmup_slice_s", "warmup_limit_s")  # once of a whole plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """The last line: written when a session ends, by itself or by Ctrl-C."""

    ended_at: str
    interrupted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resumed:
    """A line after which a session that had ended early goes on."""

    at: str
    commit: str | None = None


class Writer:
    """A results file that takes one line a trial; what was written survives a kill."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Take a file that is open for writing; `new` and `again` open one."""
        self.path = path
        self._file = file

    @classmethod
    def new(cls, path: Path, session: Session) -> Self:
        """Begin a file; UsageError where there is one already."""
        header = _line("session", encode(session, without=NOT_IN_HEADER))
        # A session that could not be read again is better not begun.
        _Reading(path=path).take(1, header, whole=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = cls(path, path.open("xb"))
            _lock(path, writer._file)
        except OSError as error:
            taken = "exists already, and results are never written over"
            why = taken if path.exists() else f"cannot be written ({error.strerror})"
            raise UsageError(f"{path} {why}: give another folder with --out.") from None
        writer._write(header)
        return writer

    @classmethod
    def again(cls, path: Path, *, at: str, commit: str | None) -> Self:
        """Go on with a file whose session ended early; of a last line cut short nothing is kept."""
        try:
            file = path.open("r+b")
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror}): make it writable.") from None
        _lock(path, file)
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if _is_object(data[whole:]):  # only its line feed is missing
            file.write(b"\n")
        else:
            file.truncate(whole)
            file.seek(whole)
        writer = cls(path, file)
        writer._write(_line("resumed", encode(_Resumed(at=at, commit=commit))))
        return writer

    def add(self, run: Run) -> None:
        """Write one trial, and return when it is on the disk."""
        self._write(_line("run", encode(run)))

    def end(self, *, ended_at: str, interrupted: bool) -> None:
        """Write the last line."""
        self._write(_line("end", encode(_End(ended_at=ended_at, interrupted=interrupted))))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # each line was seen on the disk, or its failure told
            self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise MachineError(
                f"{self.path} could not be written to ({error.strerror}): "
                "the trials up to here are kept; make room and run again."
            ) from None


def _lock(path: Path, file: BinaryIO) -> None:
    """Keep others from writing to a file as long as it is open; UsageError where somebody else does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"{path} is being written by a session that goes on: wait for its end.") from None


def _is_object(line: bytes) -> bool:
    try:
        return bool(_parse(line))
    except (ValueError, RecursionError):
        return False


def _line(kind: str, record: dict[str, Any]) -> bytes:
    text = json.dumps({"kind": kind, **record}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A server's log may hold anything; half a character in it must not cost the trial.
    return text.encode("utf-8", "replace")


def read(path: Path) -> Session:
    """Read one results file; UsageError where it is none, with the file, line, key and what is expected.

    A last line cut short is named in `notices` and the rest is used, since a kill leaves just that behind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a results file.") from None
    reading = _Reading(path=path)
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            reading.take(number, line, whole=number < len(lines))
    return reading.session()


@dataclass(slots=True)
class _Reading:
    """A results file while it is read line by line."""

    path: Path
    header: Session | None = None
    end: _End | None = None
    runs: list[Run] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)  # key that this reader does not know -> first line
    trials: dict[tuple[object, ...], int] = field(default_factory=dict)  # block and cell -> line
    versions: dict[str, int] = field(default_factory=dict)  # scenario -> version
    resumed: list[str] = field(default_factory=list)

    def take(self, number: int, line: bytes, *, whole: bool) -> None:
        """Take one line; `whole` says that a line feed ended it."""
        try:
            record = _parse(line)
        except (ValueError, RecursionError) as error:
            if whole or self.header is None:
                helps = NAME if self.header is None else HELPS  # it may well be no results file at all
                raise self._wrong(number, f"this is no JSON object ({_why(error)})", helps) from None
            self.notices.append(
                f"Line {number} is cut short and was left out: the session was killed as it wrote it."
            )
            return
        try:
            self._place(number, record)
        except Mismatch as error:
            helps = error.helps or f"{HELPS} (docs/results.md describes every field)"
            raise self._wrong(number, str(error), helps) from None

    def session(self) -> Session:
        """Give what was read, once all lines are taken."""
        if self.header is None:
            raise UsageError(f"{self.path} is empty: {NAME}.")
        if self.unknown:
            names = ", ".join(f"{key} (line {line})" for key, line in sorted(self.unknown.items()))
            self.notices.append(f"Fields that this version does not know were left out: {names}.")
        if self.end is None:
            self.notices.append("The file has no last line: the session was killed, or is still running.")
        return replace(
            self.header,
            runs=tuple(self.runs),
            ended_at=self.end.ended_at if self.end else None,
            interrupted=bool(self.end and self.end.interrupted),
            resumed=tuple(self.resumed),
            notices=tuple(self.notices),
        )

    def _place(self, number: int, record: dict[str, Any]) -> None:
        kind = record.pop("kind", None)
        expected = "session" if self.header is None else "run, end or resumed"
        if self.end is not None:  # what was interrupted may go on
            expected = "resumed" if self.end.interrupted else "no line after the end"
        if kind not in expected.replace(" or ", ", ").split(", "):
            raise Mismatch("kind", kind, expected)
        reader = Reader(LINES)
        if kind == "session":
            _check_version(record)
            _divide(record.get("plan"))
            # What only the end or the reader may say is no part of a header, whatever the file holds.
            kept = {key: value for key, value in record.items() if key not in NOT_IN_HEADER}
            self.header = reader.decode(kept, Session, "")
            _check_time(self.header.started_at, "started_at")
        elif kind == "run":
            run = reader.decode(record, Run, "")
            self.runs.append(self._checked(number, run))
            if run.number != len(self.runs) - 1:
                raise Mismatch("number", run.number, f"{len(self.runs) - 1}: a line was lost, or is not in its place")
        elif kind == "resumed":
            resumed = reader.decode(record, _Resumed, "")
            _check_time(resumed.at, "at")
            self.resumed.append(f"{resumed.at}, commit {resumed.commit or 'not known'}")
            self.end = None
        else:
            self.end = reader.decode(record, _End, "")
            _check_time(self.end.ended_at, "ended_at")
        for key in reader.unknown:
            self.unknown.setdefault(key, number)

    def _checked(self, number: int, run: Run) -> Run:
        assert self.header is not None  # noqa: S101 -- the caller has seen the header
        _check(run.load, "load", Load.parse, "a load such as closed(64), hold(2000) or open(500)")
        _check_time(run.started_at, "started_at")
        for key in ("session", "backend"):
            expected = self.header.name if key == "session" else self.header.backend
            if getattr(run, key) != expected:
                raise Mismatch(key, getattr(run, key), f"{expected}, as in the header: sessions are not mixed")
        version = self.versions.setdefault(run.scenario, run.scenario_version)
        if run.scenario_version != version:
            raise Mismatch("scenario_version", run.scenario_version, f"{version}, as in the lines before")
        parts = [part.name for part in self.header.plan.parts]
        if run.part is None:  # written when plans had no parts
            run = replace(run, part=parts[0])
        if run.part not in parts:
            raise Mismatch("part", run.part, f"a part of the plan: {', '.join(parts)}")
        part = self.header.plan.part(run.part)
        if (run.scenario, run.load) not in {(each.scenario, str(each.load)) for each in part.measures}:
            raise Mismatch("load", f"{run.scenario} {run.load}", f"a scenario and load of the part {run.part}")
        if run.stack not in part.stacks:  # nobody would look for it, so that it would be dropped in silence
            raise Mismatch("stack", run.stack, f"a stack of the part {run.part}, as the header's plan has it")
        # Pairs are made by block, so a second trial of the same would have to be dropped or counted twice.
        first = self.trials.setdefault((run.block, run.part, run.stack, run.scenario, run.load), number)
        if first != number:
            raise Mismatch("block", run.block, f"one trial a block, and line {first} has this one already")
        return run

    def _wrong(self, number: int, what: str, help_: str) -> UsageError:
        return UsageError(f"{self.path}, line {number}: {what}; {help_}.")


def _parse(line: bytes) -> dict[str, Any]:
    record = json.loads(line.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    if not isinstance(record, dict):
        raise ValueError("it is a " + type(record).__name__)  # noqa: TRY004 -- malformed input, not a wrong call
    return record


def _why(error: ValueError | RecursionError) -> str:
    """Say why a line is no JSON, without the lines and the advice that a parser has of its own."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, json.JSONDecodeError):
        what = error.msg.removesuffix(" at").removesuffix(" starting")
        return f"{what[:1].lower()}{what[1:]} at character {error.pos + 1}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no UTF-8"
    return str(error).partition(";")[0].replace("Exceeds", "it exceeds")  # of numbers with thousands of digits


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is there twice")
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _divide(plan: Any) -> None:
    """Make one part of a plan that was written when plans had none."""
    if isinstance(plan, dict) and "parts" not in plan and "stacks" in plan:
        part = {key: plan.pop(key) for key in (*OF_A_PART, "server_cpus") if key in plan}
        plan.pop("profile", None)  # each run says its own
        plan["parts"] = [{"name": plan.get("name"), "title": plan.get("title"), **part}]


def _check_version(record: dict[str, Any]) -> None:
    version = record.get("format_version")
    if type(version) is not int or version < 1:
        raise Mismatch("format_version", version, f"a whole number from 1 to {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        expected = f"at most {FORMAT_VERSION}: a newer gatebench wrote this file"
        raise Mismatch("format_version", version, expected, helps="read it with that one, or a newer one still")


def _check_time(text: str, key: str) -> None:
    _check(text, key, datetime.fromisoformat, "a time such as 2026-01-31T12:00:00+00:00")
    if datetime.fromisoformat(text).tzinfo is None:
        raise Mismatch(key, text, "a time with its zone, such as 2026-01-31T12:00:00+00:00")


def _check(text: str, key: str, parse: Callable[[str], object], expected: str) -> None:
    try:
        parse(text)
    except ValueError:
        raise Mismatch(key, text, expected) from None


def header_fields() -> tuple[str, ...]:
    """Name the fields of the first line, in order; docs/results.md has to describe each."""
    return tuple(name for name in names_of(Session) if name not in NOT_IN_HEADER)
