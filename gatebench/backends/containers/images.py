"""Images: the base that all are built on, and one for each stack, service and program of the harness.

Knows compose/Dockerfile, its arguments and its secrets. Must not know how a container is run. How this
machine reaches its package index goes into a build as secrets and stays in no image.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from docker.errors import APIError, ImageNotFound

import gatebench
from gatebench import envs
from gatebench.backends.containers import debian
from gatebench.backends.containers.engine import Engine, labels
from gatebench.backends.programs import LOG_LINES, stop, uninterrupted
from gatebench.errors import MachineError, UsageError, reason
from gatebench.model import Containment, Front, Service, Setting, Stack

TIMEOUT_S = 900.0
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
GENERATOR = ("gevent", "greenlet", "locust", "numpy")  # what gatebench.swarm imports
NUMBERED = re.compile(r"^#\d+ (?:\d+\.\d+ )?")  # how BuildKit begins a line
FAILED = re.compile(r"^#(\d+) (ERROR: .*)", re.MULTILINE)
OF_A_SHELL = re.compile(r'[\["]/bin/sh -c .*[\]"]')  # a whole RUN, told again with its failure
LONGEST = 300  # characters of a line that is shown
LONGEST_NAME = 100  # a tag takes 128 characters
PACKAGES, PYTHON = "/opt/venv/packages.json", "/opt/venv/python-version"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, ready to run."""

    id: str
    name: str
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version

    @property
    def facts(self) -> dict[str, Setting]:
        """Say which image it is."""
        return {"image": self.name, "image id": self.id.removeprefix("sha256:")[:12]}


@dataclass(slots=True, kw_only=True)
class Images:
    """The images of a session, each built when it is first asked for; the engine's cache makes it short."""

    engine: Engine
    root: Path
    scratch: Path
    python: str  # the version that stacks run on
    wanted: Containment
    told: Callable[[str], None] = lambda _: None
    _made: dict[str, Image] = field(default_factory=dict)

    def base(self) -> Image:
        """Give the image that all others are built on: at hand, pulled, or the project's own, made from Debian."""
        if "base" not in self._made:
            own = None if self.wanted.base else debian.tag_of(self.python)
            try:
                self._made["base"] = self._official(self.wanted.base or f"python:{self.python}-slim")
            except MachineError as error:
                found = self._at_hand(own) if own else None
                if found is None:
                    helps = (
                        "run `make base-image` for one with Debian's own Python"
                        if own
                        else "name another base in the plan"
                    )
                    raise MachineError(f"{error}; {helps}, or choose --backend process.") from error
                self._made["base"] = found
        return self._made["base"]

    def stack(self, stack: Stack) -> Image:
        """Build the image of a stack."""
        app, compose = stack.app, stack.server.folder
        folders = {f"apps/{app.name}": app.folder}
        # What lies beside somebody's own app is no business of ours.
        folders |= {"apps/work": app.folder.parent / "work"} if app.work else {}
        folders |= {f"compose/{name}": compose / name for name in ("launchers", "bridges")}
        built = self._built(
            stack.name,
            "stack",
            {"APP": app.name, "STACK": stack.name, **packages(stack)},
            requirements=stack.requirements,
            folders=folders,
            # An arm of a gate may be of another revision, with a lock of its own.
            tree=stack.server.folder.parent if stack.arm else None,
        )
        inside, wanted = built.versions["python"], self.python.removesuffix("t")
        if inside != wanted and not inside.startswith(f"{wanted}."):
            raise UsageError(
                f"Stacks are to run on Python {self.python}, and the image {self.base().name} has {inside}; name the "
                "version that it has as the plan's 'python', or another base."
            )
        return built

    def service(self, service: Service) -> Image:
        """Give the official image of a service, or build one: of Debian's packages, or of its requirements."""
        if service.image is None:
            return self._built(
                service.name,
                "service",
                {"SERVICE": service.name},
                requirements=service.requirements,
                folders={f"compose/services/{service.name}": service.folder / service.name},
            )
        return self._packaged(service.name, service.image, service.packages)

    def front(self, front: Front) -> Image:
        """Give the official image of what stands in front of two stacks, or build one of Debian's packages."""
        return self._packaged(front.name, front.image or front.name, front.packages)

    def _packaged(self, name: str, official: str, packages: Sequence[str]) -> Image:
        """Give an official image, or one of Debian's packages where that cannot be had."""
        try:
            return self._official(official)
        except MachineError as error:
            if not packages:
                raise MachineError(f"{error}; {name} has no packages of Debian's to stand in for it.") from error
        return self._built(name, "debian", {"SERVICE": name, "PACKAGES": " ".join(packages)})

    def nothing(self) -> Image:
        """Build the image of the do-nothing server."""
        return self._built("nothing", "nothing", {}, folders={"harness/gatebench": Path(gatebench.__file__).parent})

    def generator(self) -> Image:
        """Build the image of the load generator, with this harness's own versions and the tree's scenarios."""
        requirements = [f"{name}=={version(name)}" for name in GENERATOR]
        return self._built(
            "generator",
            "generator",
            {},
            requirements=requirements,
            folders={
                "harness/gatebench": Path(gatebench.__file__).parent,
                "scenarios": self.root / "scenarios",
            },
        )

    def _at_hand(self, name: str) -> Image | None:
        with self.engine.asked(f"looking for the image {name}"), contextlib.suppress(ImageNotFound):
            return Image(id=self.engine.client.images.get(name).id or "", name=name)
        return None

    def _official(self, name: str) -> Image:
        """Give an image that others made, pulling it where it is not at hand."""
        found = self._at_hand(name)
        if found is not None:
            return found
        self.told(f"pulling {name}")
        with self.engine.asked(f"The image {name} could not be pulled"):
            try:
                pulled = self.engine.client.images.pull(name)
            except (APIError, ImageNotFound) as error:
                raise MachineError(f"The image {name} could not be pulled ({error.explanation})") from error
        return Image(id=pulled.id or "", name=name)

    def _built(
        self,
        name: str,
        target: str,
        arguments: Mapping[str, str],
        *,
        requirements: Sequence[str] | None = None,
        folders: Mapping[str, Path] | None = None,
        tree: Path | None = None,
    ) -> Image:
        if name not in self._made:
            base = self.base()
            self.told(f"image of {name}")
            given = {**arguments, "BASE": base.name, "VERSION": version("gatebench")}
            lock = None
            if requirements is not None:
                lock = envs.locked(tree or self.root, requirements)
                given["REQUIREMENTS"] = required(lock, requirements)
            apt = base if given.get("PACKAGES") else None
            try:
                with self._context(folders or {}, lock) as context, self._secrets(apt) as secrets:
                    built = self._build(name, target, given, context, secrets)
            except OSError as error:
                raise MachineError(
                    f"What the image of {name} is built from cannot be laid out in {self.scratch}: {reason(error)}."
                ) from error
            versions = {} if lock is None else self._versions(built)
            self._made[name] = Image(id=built, name=tag(name), versions=versions)
        return self._made[name]

    @contextlib.contextmanager
    def _context(self, folders: Mapping[str, Path], lock: Path | None) -> Iterator[Path]:
        """Lay out what a build may see, and nothing else."""
        context = self.scratch / f"context-{uuid.uuid4().hex[:8]}"
        try:
            for name in ("apps", "compose", "requirements"):  # a build may look for what is not in them
                (context / name).mkdir(parents=True)
            if lock is not None:
                own = self.root / "requirements" / "uv.txt"
                uv = own if own.exists() else envs.locked(self.root, ("uv",))
                shutil.copy(uv, context / "requirements" / "uv.txt")
                shutil.copy(lock, context / "requirements" / "stacks.txt")
            for place, folder in folders.items():
                if folder.is_dir():  # a tree may have no launchers, say
                    shutil.copytree(folder, context / place, ignore=LEFT_OUT, ignore_dangling_symlinks=True)
            if "harness/gatebench" in folders:  # where a package says its version
                about = context / "harness" / f"gatebench-{version('gatebench')}.dist-info" / "METADATA"
                about.parent.mkdir()
                about.write_text(
                    f"Metadata-Version: 2.1\nName: gatebench\nVersion: {version('gatebench')}\n", "utf-8"
                )
            for path in context.rglob("*"):  # whoever runs in the image may read it, whatever this user's umask
                path.chmod(0o755 if path.is_dir() else path.stat().st_mode & 0o111 | 0o644)
            yield context
        finally:
            shutil.rmtree(context, ignore_errors=True)

    @contextlib.contextmanager
    def _secrets(self, debian_base: Image | None) -> Iterator[list[str]]:
        """Write down how this machine reaches its packages, for as long as a build takes."""
        folder = self.scratch / f"secrets-{uuid.uuid4().hex[:8]}"
        folder.mkdir(mode=0o700)
        try:
            index = envs.index()
            given = {}
            if address := index.get("UV_DEFAULT_INDEX"):
                lines = (f"{name}={shlex.quote(address)}" for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"))
                given["index"] = "\n".join(lines) + "\n"
            if authorities := index.get("SSL_CERT_FILE"):
                with contextlib.suppress(OSError):
                    # Names in it may be of any encoding.
                    given["ca"] = Path(authorities).read_text(encoding="utf-8", errors="surrogateescape")
            if debian_base is not None and debian_base.name == debian.tag_of(self.python):
                sources = debian.sources()
                given |= {"apt": sources.lines, "apt-conf": sources.settings}
            for name, text in given.items():
                (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
            yield [word for name in given for word in ("--secret", f"id={name},src={folder / name}")]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _build(
        self, name: str, target: str, arguments: Mapping[str, str], context: Path, secrets: Sequence[str]
    ) -> str:
        recipe = self.root / "compose" / "Dockerfile"
        if not recipe.is_file():
            raise UsageError(f"There is no compose/Dockerfile in {self.root}; images are built by it.")
        log, id_file = context.with_suffix(".log"), context.with_suffix(".id")
        command = [
            *self.engine.command,
            *("build", "--file", str(recipe), "--target", target, "--tag", tag(name)),
            # A proxy on this machine's own address is reached as from here.
            *("--network", "host", "--progress", "plain", "--iidfile", str(id_file)),
            *(word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")),
            *(word for key in PROXIES if key in os.environ for word in ("--build-arg", key)),
            *secrets,
            str(context),
        ]
        with contextlib.ExitStack() as cleanup:
            with uninterrupted(), log.open("wb") as written:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "DOCKER_BUILDKIT": "1"},
                    start_new_session=True,
                )
                cleanup.callback(stop, process)
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                raise MachineError(f"The image of {name} took more than {TIMEOUT_S:.0f} s: {_last(log)}") from error
        if process.returncode or not id_file.exists():
            raise MachineError(
                f"The image of {name} could not be built (exit code {process.returncode}): {_last(log)}"
            )
        return id_file.read_text(encoding="ascii").strip()

    def _versions(self, image: str) -> dict[str, str]:
        """Read what was installed, from a container that is never started."""
        with self.engine.asked(f"reading the versions in {image}"), contextlib.ExitStack() as cleanup:
            with uninterrupted():
                container = self.engine.client.containers.create(image, ["true"], labels=labels("look"))
                cleanup.callback(container.remove, force=True, v=True)
            listed, python = (_file(container.get_archive(path)[0]) for path in (PACKAGES, PYTHON))
        return envs.versions(listed, python)


def required(lock: Path, requirements: Sequence[str]) -> str:
    """Spell requirements with a lock's versions, in one order; as they are where the lock lacks one."""
    return "\n".join(sorted(envs.roots(lock, requirements) or requirements))


def packages(stack: Stack) -> dict[str, str]:
    """Name Debian's packages that a stack needs, as the recipe's argument; nothing where it needs none."""
    needs = sorted(set(stack.needs.values()))
    return {"PACKAGES": " ".join(needs)} if needs else {}


def tag(name: str) -> str:
    """Name the image of a stack, a service or a program of ours."""
    return f"gatebench:{spelled(name)}"


def spelled(name: str) -> str:
    """Spell a stack's name as the engine allows, which takes no `:+[=,]@`; no two names are spelled alike."""
    # No name begins with "_" or "-", so these two after a dot are no part of one.
    plain = name.replace(":", "._").replace("@", ".-")
    plain = plain.replace("[", "..").replace(",", "..").replace("]", "").replace("+", ".").replace("=", ".")
    if len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{plain[: LONGEST_NAME - len(digest) - 1]}.{digest}"


def _file(archive: Iterator[bytes]) -> str:
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive))) as packed:
        found = packed.extractfile(packed.getmembers()[0])
        return "" if found is None else found.read().decode()


def _last(log: Path) -> str:
    """Give the last lines of the step that failed, or of the build, without what BuildKit puts before them."""
    text = log.read_text(encoding="utf-8", errors="replace")
    failed = FAILED.search(text)
    if failed is None:
        lines = [NUMBERED.sub("", line) for line in text.splitlines()]
    else:
        lines = re.findall(rf"^#{failed[1]} \d+\.\d+ (.*)", text, re.MULTILINE)
        lines.append(OF_A_SHELL.sub("the command", failed[2]))
    kept = [line.strip()[:LONGEST] for line in lines if line.strip("- >\t")][-LOG_LINES:]
    return " | ".join(kept) or "it said nothing"
