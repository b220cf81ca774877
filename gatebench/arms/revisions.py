"""Revisions: a folder as it was at a commit, by git.

Knows git. Must not know apps, stacks or arms; nothing in the repository is changed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gatebench.errors import MachineError, UsageError
from gatebench.toml import suggest

TIMEOUT_S = 300.0  # of one git command: it may have to fetch what a partial clone lacks
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")  # a hook's, for a repository of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository, seen from one of its folders."""

    top: Path
    below: str  # the folder's own path in it; empty where it is the top

    @classmethod
    def around(cls, folder: Path) -> Repository:
        """Find the repository that a folder lies in."""
        done = git(folder, "rev-parse", "--show-toplevel", "--show-prefix")
        if done.returncode:
            why = (done.stderr.splitlines() or ["git gave no reason"])[0].removeprefix("fatal: ")
            raise UsageError(f"{short(folder)} has no revisions that git can give: {why}.")
        top, below, *_ = (*done.stdout.split("\n"), "")
        return cls(top=Path(top), below=below.strip("/"))

    def commit(self, revision: str) -> str:
        """Give the whole name of the commit that a revision is."""
        if not revision.startswith("-"):  # git would take it for an option
            done = git(self.top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
            if done.returncode == 0:
                return done.stdout.strip()
        if git(self.top, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
            helps = "this clone is shallow: `git fetch --unshallow` brings the rest, as does `fetch-depth: 0` for CI"
        else:
            refs = git(self.top, "for-each-ref", "--format=%(refname:short)").stdout.split()
            helps = (
                suggest(revision, refs).removesuffix("?").replace("Did you mean", "did you mean")
                or "`git branch --all` names those that there are"
            )
        raise UsageError(f"git knows no revision '{revision}'; {helps}.")

    def has(self, commit: str, path: str) -> bool:
        """Say whether a commit has a path, as seen from the folder."""
        return git(self.top, "cat-file", "-e", f"{commit}:{self._whole(path)}").returncode == 0

    def unpack(self, commit: str, path: str, into: Path, *, needs: str = "") -> None:
        """Put a folder of a commit, with `needs` in it, into one that is made for it; UsageError where it is not."""
        wanted = "/".join(filter(None, (path, needs)))
        if not self.has(commit, wanted):
            raise UsageError(f"there is no {self._whole(wanted)} in commit {commit[:12]}.")
        into.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=into.parent) as folder:
            packed = Path(folder, "archive.tar")
            words = ("archive", "--format=tar", f"--output={packed}", f"{commit}:{self._whole(path)}")
            done = git(self.top, *words)
            if done.returncode:
                said = " ".join(done.stderr.split()).removeprefix("fatal: ")
                raise MachineError(f"git could not give commit {commit[:12]}: {said}.")
            try:
                with tarfile.open(packed) as archive:
                    archive.extractall(into, filter="data")
            except tarfile.FilterError as error:
                raise UsageError(
                    f"'{error.tarinfo.name}' in commit {commit[:12]} leads out of its folder and cannot be unpacked."
                ) from error
            except (tarfile.TarError, OSError) as error:
                raise MachineError(f"Commit {commit[:12]} could not be unpacked ({error}).") from error

    def _whole(self, path: str) -> str:
        return "/".join(filter(None, (self.below, path)))


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; MachineError where there is none."""
    around = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    command = ("git", "--no-optional-locks", "-C", str(folder), *words)
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env={**around, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        )
    except FileNotFoundError as error:
        raise MachineError("Revisions are taken by git, which is not here: apt-get install -y git.") from error
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"git {words[0]} took more than {TIMEOUT_S:.0f} s.") from error


def short(path: Path) -> str:
    """Spell a place for people: as it is seen from here, or its last two names."""
    whole = Path(os.path.realpath(path))  # which passes over a circle of links
    with contextlib.suppress(ValueError):
        return str(whole.relative_to(Path.cwd()))
    return "/".join(whole.parts[-2:])
