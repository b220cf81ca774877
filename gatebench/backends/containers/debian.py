"""Debian on this machine: where its packages come from, and a base image made of them.

Knows apt's files, debootstrap and the engine's import. Must not know stacks or services. No mirror is named here: it
is read from the machine at run time, and nothing of it, nor of the host, stays in the image.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import docker
import docker.errors
import psutil

from gatebench.backends.containers.engine import LABEL
from gatebench.backends.programs import last_lines, stop, uninterrupted
from gatebench.errors import MachineError

REPOSITORY = "gatebench-base"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHANGES = (f"ENV PATH={PATHS}", f"LABEL {LABEL}=base")
SWEEP_S = 5.0  # for orphans of debootstrap to be gone

# Only files go: apt and dpkg want to find these folders again.
_CACHES = ("var/lib/apt/lists", "var/cache/apt", "var/cache/ldconfig", "var/log")
_TEXTS = ("usr/share/man", "usr/share/locale", "usr/share/info")
_BLANK = ("etc/resolv.conf", "etc/hostname", "etc/machine-id")  # the host's, as debootstrap copies them
_OFF = frozenset({"no", "false", "without", "off", "disable", "0"})  # what apt takes for "no"
_ONE_LINE = re.compile(r"\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)\s+(\S.*)")
_PROXY = re.compile(r'(acquire::https?::proxy(?:::[^\s:]\S*)?) "(.+)";', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where this machine's Debian has its packages from."""

    mirror: str
    suite: str
    lines: str  # of sources.list, for use inside an image made of the base
    settings: str  # of apt.conf: the proxies; empty where there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    addresses: Sequence[str]
    suites: Sequence[str]
    components: Sequence[str]


def tag_of(version: str, repository: str = REPOSITORY) -> str:
    """Name the base image that holds this version of Python."""
    return f"{repository}:{version}"


def sources(root: Path = Path("/")) -> Sources:
    """Read from apt's files which mirror this machine's own suite comes from."""
    suite = _suite(root)
    for entry in _entries(root / "etc" / "apt"):
        # Neither a CD nor a folder of this machine is there inside an image.
        reachable = [one for one in entry.addresses if one.startswith(("http://", "https://"))]
        if reachable and suite in entry.suites and "main" in entry.components:
            mirror = reachable[0].rstrip("/")
            return Sources(mirror=mirror, suite=suite, lines=f"deb {mirror} {suite} main\n", settings=_settings())
    raise MachineError(
        f"No mirror of Debian {suite} is named in {root / 'etc/apt'}; a line `deb http://… {suite} main` in its"
        " sources.list helps."
    )


def _suite(root: Path) -> str:
    path = root / "etc" / "os-release"
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition("=")
            with contextlib.suppress(ValueError):
                found[key.strip()] = " ".join(shlex.split(value))
    if found.get("ID") != "debian":
        raise MachineError(
            f"The base image is made of Debian's packages, and {path} names {found.get('ID') or 'no system'}; make it"
            " on Debian, or use an image of Python where its registry can be reached."
        )
    if not found.get("VERSION_CODENAME"):
        raise MachineError(f"{path} has no VERSION_CODENAME; a stable release of Debian has one.")
    return found["VERSION_CODENAME"]


def _entries(apt: Path) -> Iterator[_Entry]:
    """Give all that is enabled, in apt's own order."""
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if path.suffix == ".list":
            yield from _one_line_style(text)
        elif path.suffix == ".sources":
            yield from _deb822_style(text)


def _one_line_style(text: str) -> Iterator[_Entry]:
    for line in text.splitlines():
        if found := _ONE_LINE.fullmatch(line.partition("#")[0]):
            address, suite, components = found.groups()
            yield _Entry(addresses=(address,), suites=(suite,), components=components.split())


def _deb822_style(text: str) -> Iterator[_Entry]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", kept):
        fields: dict[str, list[str]] = {}
        key = ""
        for line in stanza.splitlines():
            value = line
            if not line[:1].isspace():
                key, _, value = line.partition(":")
            fields.setdefault(key.strip().lower(), []).extend(value.split())
        enabled = "".join(fields.get("enabled", ["yes"])).lower() not in _OFF
        if enabled and "deb" in fields.get("types", ()):
            yield _Entry(
                addresses=fields.get("uris", ()),
                suites=fields.get("suites", ()),
                components=fields.get("components", ()),
            )


def _settings() -> str:
    """Ask apt for its proxies, in the words of its own files."""
    if shutil.which("apt-config") is None:
        return ""
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MachineError(f"apt-config could not read apt's settings: {' '.join(done.stderr.split())[-300:]}")
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if _PROXY.fullmatch(line))


def base_image(client: docker.DockerClient, told: Callable[[str], None], repository: str = REPOSITORY) -> str:
    """Make an image of this machine's Debian with Python, where no registry can be reached; give its tag."""
    debootstrap, given = _debootstrap(), sources()
    with contextlib.ExitStack() as cleanup:
        with uninterrupted():
            # On a disk, and where devices may be: /tmp may be in memory, and "nodev".
            place = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - a folder of its own is made there
            folder = Path(tempfile.mkdtemp(prefix="gatebench-base-", dir=place)).resolve()
            cleanup.callback(_remove, folder)
        told(f"Making Debian {given.suite} with Python, by debootstrap; this takes about a minute.")
        tree = folder / "tree"
        _bootstrap(debootstrap, given, tree, folder / "log")
        _unmount(tree)
        _trim(tree)
        tag = tag_of(_python(tree), repository)
        told(f"Handing it to the engine as {tag}.")
        _import(client, tree, folder / "tar.log", tag)
    return tag


def _debootstrap() -> str:
    """Find debootstrap, and see that it may do its work."""
    found = shutil.which("debootstrap", path=_paths())
    if found is None:
        raise MachineError(
            "debootstrap, which makes the base image, is not installed; `apt-get install debootstrap` as root helps."
        )
    if os.geteuid():
        raise MachineError(
            "Only root can make the base image, for debootstrap needs chroot; start this once as root."
        )
    return found


def _paths() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{PATHS}"  # a user's own often lacks /usr/sbin


def _variables(given: Sources) -> Mapping[str, str]:
    """Give debootstrap nothing of ours but the way out: its wget knows no setting of apt's."""
    kept = {
        name: os.environ[name] for name in ("HOME", "http_proxy", "https_proxy", "no_proxy") if name in os.environ
    }
    kept |= {"PATH": _paths(), "LANG": "C.UTF-8"}
    parts = urllib.parse.urlsplit(given.mirror)
    said = {found[1].lower(): found[2] for found in map(_PROXY.fullmatch, given.settings.splitlines()) if found}
    for scheme in (parts.scheme, "http"):  # apt takes the proxy of http for https too
        for key in (f"acquire::{scheme}::proxy::{parts.hostname}", f"acquire::{scheme}::proxy"):
            if proxy := said.get(key):
                kept.pop(f"{parts.scheme}_proxy", None)
                return kept if proxy == "DIRECT" else {**kept, f"{parts.scheme}_proxy": proxy}
    return kept


def _bootstrap(debootstrap: str, given: Sources, tree: Path, log: Path) -> None:
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command = [debootstrap, *options, given.suite, str(tree), given.mirror]
    with contextlib.ExitStack() as cleanup:
        written = cleanup.enter_context(log.open("wb"))
        with uninterrupted():
            process = _start(command, written, subprocess.STDOUT, _variables(given))
            cleanup.callback(_end, process)
        code = process.wait()
    if code:
        within = tree / "debootstrap" / "debootstrap.log"
        said = [last_lines(path) for path in (log, within) if path.exists()]
        raise MachineError(f"debootstrap failed with exit code {code}: {' | '.join(said)}")


def _start(
    command: Sequence[str], out: IO[bytes] | int, errors: IO[bytes] | int, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=variables, start_new_session=True
        )
    except OSError as error:
        raise MachineError(f"{command[0]} could not be started: {error.strerror}.") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all of its session: a shell that is ended leaves orphans, who descend from nobody we know."""
    with uninterrupted():
        stop(process)
        deadline = time.monotonic() + SWEEP_S
        while (family := _session(process.pid)) and time.monotonic() < deadline:
            for one in family:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            psutil.wait_procs(family, timeout=0.2)


def _session(leader: int) -> list[psutil.Process]:
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) == leader:
                one = psutil.Process(pid)
                found += [one] if one.status() != psutil.STATUS_ZOMBIE else []
    return found


def _mounts(folder: Path) -> list[str]:
    """List what is mounted below a folder, the innermost first."""
    places = [one.mountpoint for one in psutil.disk_partitions(all=True)]
    return [place for place in reversed(places) if Path(place).is_relative_to(folder)]


def _unmount(folder: Path) -> None:
    """Take off what debootstrap left mounted; it does not always when it is ended, or in a container."""
    for place in _mounts(folder):
        # Lazily: what still looks into it must not keep it where a folder is about to be removed.
        subprocess.run(["umount", "--lazy", place], capture_output=True, check=False, env={"PATH": _paths()})
    if left := _mounts(folder):
        raise MachineError(f"{left[0]} could not be unmounted; `umount {left[0]}` as root, then remove {folder}.")


def _remove(folder: Path) -> None:
    with uninterrupted():
        _unmount(folder)  # raises rather than let the host's own /proc or /dev be emptied
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise MachineError(f"The temporary folder {folder} could not be removed; `rm -r {folder}` as root helps.")


def _trim(tree: Path) -> None:
    """Take away what an image has no use for, and all that tells of the mirror or the host."""
    tree.chmod(0o755)
    for name in (*_CACHES, *_TEXTS):
        _drop_files(tree / name)
    _drop_files(tree / "usr" / "share" / "doc", keep="copyright")  # the licences go where the programs go
    _drop_files(tree / "etc" / "apt" / "sources.list.d")
    (tree / "etc" / "apt" / "sources.list").unlink(missing_ok=True)
    for name in _BLANK:
        # A link in it may point to a file of the host, which must not be the one that is emptied.
        (tree / name).unlink(missing_ok=True)
        (tree / name).touch(0o644)
    if (tree / "proc").is_symlink():  # debootstrap's way in a container
        (tree / "proc").unlink()
        (tree / "proc").mkdir(0o555)


def _drop_files(folder: Path, keep: str | None = None) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            if name != keep:
                (Path(place) / name).unlink()


def _python(tree: Path) -> str:
    """Ask the Python in it for its version."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    command = ["chroot", str(tree), "python3", "-IBc", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": _paths()})
    version = done.stdout.strip()
    if done.returncode or not re.fullmatch(r"3\.\d+", version):
        said = " ".join(done.stderr.split())[-300:]
        raise MachineError(f"The Python that debootstrap installed does not start: {said or 'it said nothing'}")
    return version


def _import(client: docker.DockerClient, tree: Path, log: Path, tag: str) -> None:
    """Stream the folder into the engine; only a whole image is given the tag."""
    repository, _, version = tag.rpartition(":")
    command = ["tar", "--numeric-owner", "--one-file-system", "-C", str(tree), "-c", "."]
    with contextlib.ExitStack() as cleanup:
        written = cleanup.enter_context(log.open("wb"))
        with uninterrupted():
            tar = _start(command, subprocess.PIPE, written, {"PATH": _paths(), "LC_ALL": "C"})
            cleanup.callback(_end, tar)
        try:
            image = _imported(client.api.import_image_from_stream(tar.stdout, changes=list(CHANGES)))
            if code := tar.wait():
                client.api.remove_image(image)
                raise MachineError(f"tar could not read the base image, with exit code {code}: {last_lines(log)}")
            client.api.tag(image, repository, version)
        except (docker.errors.DockerException, OSError) as error:  # requests' own errors are OSErrors
            raise MachineError(f"The engine did not take the base image {tag}: {error}") from error


def _imported(answer: str) -> str:
    """Read the image's id from the engine's answer, which says 200 for a failure too."""
    said: dict[str, object] = {}
    for line in answer.splitlines():
        with contextlib.suppress(ValueError):
            said |= json.loads(line)
    image = str(said.get("status", ""))
    if "error" in said or not image.startswith("sha256:"):
        raise docker.errors.DockerException(str(said.get("error") or answer.strip() or "it said nothing"))
    return image
