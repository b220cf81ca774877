"""The two arms of a gate: what --base and --head mean, laid out so that both can be started at the same time.

Knows git revisions, folders, requirements, Pythons, settings and stacks. Must not know how arms are measured or
judged. An arm of another revision lies in a scratch folder for as long as the arms are used, and its place is told to
nobody.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from gatebench import declare
from gatebench import own as owned
from gatebench.arms.refusals import as_asked, refused, unread
from gatebench.arms.revisions import Repository, git, short
from gatebench.backends.serving import missing
from gatebench.declare.places import lines_of
from gatebench.errors import MachineError, UsageError
from gatebench.model import App, Stack
from gatebench.session import Tree
from gatebench.stacks import Stacks, pairs
from gatebench.toml import find, suggest

LISTED = "`gatebench list stacks` names those that there are."
USUAL = "flask+gunicorn-gthread"
SERVERS = ("gunicorn-gthread", "uvicorn")  # for somebody's own app, where one of them serves it
KINDS = ("git", "folder", "requirements", "stack")  # what may stand before a colon
EXPECTED = (
    "expected a git revision, '.' for the files as they are, folder:PATH, requirements:FILE, python=3.13, settings "
    "such as threads=32, or a stack"
)
PYTHON = re.compile(r"3\.(\d{1,2})(\.\d{1,2})?t?")
OLDEST = 11  # of Python 3, that the harness can make environments for
TOLD = 5  # differences that are named; more of them say no more
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm: its stack, and in words what is special about it."""

    stack: Stack
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One arm as it was asked for."""

    arm: str
    tree: Tree
    own: Path | None  # the folder of somebody's own app
    stack: str | None
    folder: Path  # for what has to be unpacked

    @property
    def here(self) -> Path:
        """The folder that '.' is."""
        return self.own or self.tree.root

    def stack_of(self, stacks: Stacks) -> Stack:
        """Give the stack that the arms are of, as these declarations have it."""
        name = self.stack or (_usual(stacks) if self.own else USUAL)
        if name not in stacks:  # whose names are too many to be told
            raise UsageError(f"there is no stack named '{name}'. {suggest(name, stacks) or LISTED}")
        found = find("stack", name, stacks)
        if not isinstance(found, Stack):
            raise UsageError(f"{name} is two stacks behind a front; an arm is one that stands alone, app+server.")
        if found.cannot:
            raise UsageError(f"{name} cannot run: {found.cannot}.")
        return found


@contextlib.contextmanager
def arms(
    root: Path, *, base: str, head: str, own: Path | None, stack: str | None, scratch: Path
) -> Iterator[tuple[Tree, Arm, Arm]]:
    """Lay out both arms, and give the tree whose stacks hold them and the base's twin, "again".

    UsageError where a reference means nothing, or the two could not be asked the same.
    """
    own = own or _own_of(base, head)
    tree = Tree.load(root, own)
    if stack and all(ref.startswith("stack:") or ref in tree.stacks for ref in (base, head)):
        raise UsageError("--stack says nothing where --base and --head are stacks themselves: leave it out.")
    with tempfile.TemporaryDirectory(prefix="arms-", dir=scratch) as folder:
        Path(folder).chmod(0o755)  # a server may run as another user
        first, second = (
            _arm(_Asked(arm=arm, tree=tree, own=own, stack=stack, folder=Path(folder, arm)), ref)
            for arm, ref in (("base", base), ("head", head))
        )
        if own is not None:
            tree = _visiting(tree, first.stack.app, second.stack.app)
        every = (first.stack, second.stack, replace(first.stack, arm="again"))
        with as_asked({first.stack.name: ("base", base), second.stack.name: ("head", head)}):
            yield replace(tree, stacks=replace(tree.stacks, arms={one.name: one for one in every})), first, second


def _own_of(base: str, head: str) -> Path | None:
    """Give the head's folder where two folders with an app.toml each were asked for, and no --app."""
    refs = {"base": base, "head": head}
    if not all(ref.startswith("folder:") for ref in refs.values()):
        return None
    folders = {arm: Path(ref.removeprefix("folder:")) for arm, ref in refs.items()}
    apps = []
    for arm, folder in folders.items():
        try:
            apps.append((folder / "app.toml").is_file())
        except OSError as error:
            raise refused(arm, refs[arm], unread(error)) from error
    return folders["head"] if all(apps) else None


def _arm(asked: _Asked, ref: str) -> Arm:
    try:
        kind, value = _kind(ref)
        stack, words = READ[kind](asked, value)
    except UsageError as error:
        raise refused(asked.arm, ref, str(error).replace(f"{asked.folder}/", "")) from error
    except OSError as error:
        if error.errno in FULL:
            raise MachineError(f"--{asked.arm} {ref} could not be laid out ({error.strerror}).") from error
        raise refused(asked.arm, ref, unread(error).replace(f"{asked.folder}/", "")) from error
    return Arm(stack=replace(stack, arm=asked.arm), words=words)


def _kind(ref: str) -> tuple[str, str]:
    """Tell what a reference is of, by how it is spelled."""
    kind, colon, value = ref.partition(":")
    if not ref or (colon and kind in KINDS and not value):
        raise UsageError(f"this names nothing; {EXPECTED}.")
    if colon and kind in KINDS:
        return kind, value
    if ref == ".":
        return "here", ref
    if ref.startswith("python="):
        return "python", ref.removeprefix("python=")
    if re.match(r"[a-z0-9_-]+=|@[a-z]+$", ref):
        return "settings", ref
    return ("either", ref) if "+" in ref else ("git", ref)


def _here(asked: _Asked, _value: str) -> tuple[Stack, str]:
    words = "the working tree"
    with contextlib.suppress(MachineError):  # without git they are told all the same
        head = git(asked.here, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if head.returncode == 0:
            changed = git(asked.here, "status", "--porcelain", "--", ".").stdout.strip()
            words += f", commit {head.stdout[:12]}{' with changes' if changed else ''}"
    return asked.stack_of(asked.tree.stacks), words


def _git_revision(asked: _Asked, revision: str) -> tuple[Stack, str]:
    repository = Repository.around(asked.here)
    try:
        commit = repository.commit(revision)
    except UsageError as error:
        if _is_folder(revision):
            raise UsageError(
                f"git knows no such revision; for the folder of that name say folder:{revision}."
            ) from error
        raise
    words = f"commit {commit[:12]}{'' if commit.startswith(revision) else f' ({revision})'}"
    if asked.own is not None:
        folder = asked.folder / asked.here.resolve().name  # which may be the app's name
        repository.unpack(commit, "", folder, needs="app.toml")
        return asked.stack_of(_stacks_of_app(asked, folder)), words
    repository.unpack(commit, "apps", asked.folder / "apps")
    repository.unpack(commit, "compose", asked.folder / "compose", needs="servers")
    if repository.has(commit, "requirements"):
        repository.unpack(commit, "requirements", asked.folder / "requirements")
    _share_environments(asked)
    return asked.stack_of(_stacks_of_tree(asked.folder)), words


def _is_folder(path: str) -> bool:
    with contextlib.suppress(OSError):  # such as a name that is too long for one
        return Path(path).is_dir()
    return False


def _folder(asked: _Asked, path: str) -> tuple[Stack, str]:
    folder, words = Path(path), f"folder {short(Path(path))}"
    if asked.own is not None:
        _check_holds(folder, ("app.toml",), "an app's folder with its app.toml")
        return asked.stack_of(_stacks_of_app(asked, folder)), words
    if (folder / "app.toml").is_file():
        raise UsageError(f"{path} is an app's folder, where a whole tree is expected; name that app with --app.")
    _check_holds(folder, ("apps", "compose"), "a tree such as this one, or two folders with an app.toml each")
    return asked.stack_of(_stacks_of_tree(Path(os.path.realpath(folder)))), words


def _check_holds(folder: Path, names: Sequence[str], expected: str) -> None:
    if lacking := next((name for name in names if not (folder / name).exists()), None):
        why = f"there is no {lacking} in it" if folder.is_dir() else "there is no such folder"
        raise UsageError(f"{why}; expected {expected}.")


def _requirements(asked: _Asked, path: str) -> tuple[Stack, str]:
    stack, file = asked.stack_of(asked.tree.stacks), Path(path)
    try:
        lines = lines_of(file, file.parent)
    except UsageError as error:  # which names the file without its folder; the option that is told has both
        why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error.__cause__
        raise UsageError(f"cannot be read ({why}); expected a file with one requirement a line.") from error
    for line in lines:
        _check_requirement(line)
    work = asked.tree.stacks.work if stack.app.work else None
    app = replace(stack.app, requirements=lines + (work.requirements if work else ()))
    return replace(stack, app=app), f"the requirements of {short(file)}"


def _python(asked: _Asked, version: str) -> tuple[Stack, str]:
    found = PYTHON.fullmatch(version)
    if found is None or int(found[1]) < OLDEST:
        raise UsageError(f"'{version}' is no Python that stacks can run on; expected one from 3.{OLDEST}, as 3.13.")
    return replace(asked.stack_of(asked.tree.stacks), python=version), f"Python {version}"


def _settings(asked: _Asked, said: str) -> tuple[Stack, str]:
    stacks = asked.tree.stacks
    settings, _, profile = said.partition("@")
    words = [*([settings] if settings else []), *([f"profile {profile}"] if profile else [])]
    stack = asked.stack_of(stacks)
    try:
        return stacks.varied(stack, said), ", ".join(words)
    except UsageError:
        _check_keys(stacks, stack, settings)
        raise


def _check_keys(stacks: Stacks, stack: Stack, settings: str) -> None:
    """Refuse the first key that names nothing, with the nearest of all that may be varied."""
    axes = {*stacks.axes(stack.app), *(choice.axis for choice in stack.choices)}
    axes |= {axis for each in (stacks.work.axes.values() if stacks.work else ()) for axis in each}
    known = [*stack.server.settings, *sorted(axes), "bridge", *(f"@{name}" for name in stack.server.profiles)]
    for part in settings.split(","):
        key, equals, _ = (word.strip() for word in part.partition("="))
        if key and equals and key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(known)}."
            raise UsageError(
                f"there is no setting, axis or profile of {replace(stack, arm=None).name} named '{key}'. {hint}"
            )


def _other_stack(asked: _Asked, name: str) -> tuple[Stack, str]:
    return replace(asked, stack=name).stack_of(asked.tree.stacks), f"stack {name}"


def _stack_or_revision(asked: _Asked, ref: str) -> tuple[Stack, str]:
    """Take a name with a '+' for a stack, and where there is none of that name, for a revision: tags have it too."""
    if ref in asked.tree.stacks:
        return _other_stack(asked, ref)
    try:
        Repository.around(asked.here).commit(ref)
    except (UsageError, MachineError) as no_revision:
        near = suggest(ref, asked.tree.stacks) or LISTED
        raise UsageError(
            f"there is no stack named '{ref}'. {near} Nor is it a revision, as in git:{ref}: {no_revision}"
        ) from no_revision
    return _git_revision(asked, ref)


READ: Mapping[str, Callable[[_Asked, str], tuple[Stack, str]]] = {
    "here": _here,
    "git": _git_revision,
    "folder": _folder,
    "requirements": _requirements,
    "python": _python,
    "settings": _settings,
    "stack": _other_stack,
    "either": _stack_or_revision,
}


def _usual(stacks: Stacks) -> str:
    """Name the stack of somebody's own app where none was: on a server that can run here, a well-known one first."""
    every = pairs(stacks)
    able = [one for one in every if not missing(one.needs)] or every
    if not able:
        raise UsageError("there is no server that serves this app; name a stack with --stack.")
    return min(able, key=lambda one: (one.server.name not in SERVERS, one.server.tls)).name


def _stacks_of_app(asked: _Asked, folder: Path) -> Stacks:
    """Read somebody's own app, as this arm has it, under the one name that both arms have."""
    (name,) = asked.tree.stacks.apps
    app = replace(declare.own(folder), name=name)
    owned.check(app, (), asked.tree.services)
    return replace(asked.tree.stacks, apps={name: app})


def _stacks_of_tree(folder: Path) -> Stacks:
    """Read apps/ and compose/ as this arm has them."""
    return Stacks(
        apps=declare.apps(folder),
        servers=declare.servers(folder),
        bridges=declare.bridges(folder),
        work=declare.work(folder),
    )


def _share_environments(asked: _Asked) -> None:
    """Let a revision's lock be met by the environments that are there, and keep those that it asks for."""
    kept = asked.tree.root / ".envs"
    try:
        kept.mkdir(exist_ok=True)
    except OSError as error:
        raise MachineError(f"Environments cannot be kept in {kept} ({error.strerror}): make it writable.") from error
    (asked.folder / ".envs").symlink_to(kept, target_is_directory=True)


def _visiting(tree: Tree, base: App, head: App) -> Tree:
    """Let the head's paths be visited on both; UsageError where the base has others."""
    one, other = Counter(base.visits), Counter(head.visits)
    if differing := sorted({f"{visit.method} {visit.path}" for visit in (one - other) + (other - one)}):
        more = f" and {len(differing) - TOLD} more" if len(differing) > TOLD else ""
        raise UsageError(
            f"The [[paths]] of base and head differ ({', '.join(differing[:TOLD])}{more}), so they would not be "
            "asked the same; gate two arms whose app.toml declares the same paths."
        )
    services = tuple(dict.fromkeys((*head.services, *base.services)))
    scenario = owned.scenario(replace(head, services=services), tree.root / ".envs" / "own")
    return replace(tree, scenarios={**tree.scenarios, owned.NAME: scenario})


def _check_requirement(line: str) -> None:
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        wanted = None
    if wanted is None or wanted.url:
        raise UsageError(
            f"the line '{line}' cannot be locked; expected a package's name with or without versions, such as "
            '"flask>=3": no option, no file, no address.'
        )
