"""Results files: a session to JSON Lines and back, every value checked on the way in.

Knows the file's form (docs/results.md) and the types of gatebench.model, by their hints. Must not know how a
run came about nor what is thought of it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gatebench.errors import MachineError, UsageError
from gatebench.model import Load, Run, Session
from gatebench.records import Mismatch, Reader, encode, names_of

FORMAT_VERSION = 1  # raised when a field changes its meaning; a new field that changes no other does not raise it
NOT_IN_HEADER = {"runs", "ended_at", "interrupted", "notices"}  # known only when the session ends, or is read


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """The last line: written when a session ends, by itself or by Ctrl-C."""

    ended_at: str
    interrupted: bool


class Writer:
    """A new results file that takes one line a trial; what was written survives a kill."""

    def __init__(self, path: Path, session: Session) -> None:
        self.path = path
        header = _line("session", encode(session, without=NOT_IN_HEADER))
        # A session that could not be read again is better not begun.
        _Reading(path=path).take(1, header, whole=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        except OSError as error:
            taken = "exists already, and results are never written over"
            why = taken if path.exists() else f"cannot be written ({error.strerror})"
            raise UsageError(f"{path} {why}: give another folder with --out.") from None
        self._write(header)

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

    def take(self, number: int, line: bytes, *, whole: bool) -> None:
        """Take one line; `whole` says that a line feed ended it."""
        try:
            record = _parse(line)
        except (ValueError, RecursionError) as error:
            if whole or self.header is None:
                raise self._wrong(
                    number, f"is no JSON object ({error})", "make the line whole or delete it"
                ) from None
            self.notices.append(
                f"Line {number} is cut short and was left out: the session was killed as it wrote it."
            )
            return
        try:
            self._place(number, record)
        except Mismatch as error:
            raise self._wrong(number, str(error), "docs/results.md describes every field") from None

    def session(self) -> Session:
        """Give what was read, once all lines are taken."""
        if self.header is None:
            raise UsageError(f"{self.path} is empty: name a results file, as gatebench run writes it.")
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
            notices=tuple(self.notices),
        )

    def _place(self, number: int, record: dict[str, Any]) -> None:
        kind = record.pop("kind", None)
        expected = "session" if self.header is None else "run or end"
        if kind not in expected.split(" or ") or self.end is not None:
            raise Mismatch("kind", kind, "no line after the end" if self.end else expected)
        reader = Reader()
        if kind == "session":
            _check_version(record)
            # What only the end or the reader may say is no part of a header, whatever the file holds.
            kept = {key: value for key, value in record.items() if key not in NOT_IN_HEADER}
            self.header = reader.decode(kept, Session, "")
            _check_time(self.header.started_at, "started_at")
        elif kind == "run":
            run = reader.decode(record, Run, "")
            self._check_run(number, run)
            self.runs.append(run)
        else:
            self.end = reader.decode(record, _End, "")
            _check_time(self.end.ended_at, "ended_at")
        for key in reader.unknown:
            self.unknown.setdefault(key, number)

    def _check_run(self, number: int, run: Run) -> None:
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
        # Pairs are made by block, so a second trial of the same would have to be dropped or counted twice.
        first = self.trials.setdefault((run.block, run.stack, run.scenario, run.load), number)
        if first != number:
            raise Mismatch("block", run.block, f"one trial a block, and line {first} has this one already")

    def _wrong(self, number: int, what: str, help_: str) -> UsageError:
        return UsageError(f"{self.path}, line {number}: {what}; {help_}.")


def _parse(line: bytes) -> dict[str, Any]:
    record = json.loads(line.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    if not isinstance(record, dict):
        raise ValueError("it is a " + type(record).__name__)  # noqa: TRY004 -- malformed input, not a wrong call
    return record


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is there twice")
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_version(record: dict[str, Any]) -> None:
    version = record.get("format_version")
    if type(version) is not int or version < 1:
        raise Mismatch("format_version", version, f"a whole number from 1 to {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        expected = f"at most {FORMAT_VERSION}: a newer gatebench wrote this file, and only that one can read it"
        raise Mismatch("format_version", version, expected)


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
