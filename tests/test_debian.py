"""The base image: where its packages come from, what is left out of it, and that its making leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import psutil
import pytest
from docker.models.images import Image

from gatebench.backends.containers import debian
from gatebench.backends.containers.engine import find
from gatebench.errors import MachineError

MIRROR = "http://127.0.0.1/debian"
BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n'
LINE = f"deb {MIRROR} bookworm main\n"
STANZA = f"Types: deb\nURIs: {MIRROR}\nSuites: bookworm bookworm-updates\nComponents: main\n"
OTHER = "http://mirror.example/debian"
GIVEN = debian.Sources(mirror=MIRROR, suite="bookworm", lines=LINE, settings="")


def tree(folder: Path, release: str = BOOKWORM, **files: str) -> Path:
    """A root file system with these files in etc/apt, all but sources.list in their folder; "__" is a dot."""
    etc = folder / "etc"
    (etc / "apt" / "sources.list.d").mkdir(parents=True)
    (etc / "os-release").write_text(release)
    for name, text in files.items():
        path = name.replace("__", ".")
        (etc / "apt" / (path if path == "sources.list" else f"sources.list.d/{path}")).write_text(text)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture(autouse=True)
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the test's own come first; apt-config says nothing of proxies until a test has it say so."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    program(folder, "apt-config", "echo 'APT \"\";'")
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {"sources__list": LINE},
        {"sources__list": "# deb http://mirror.example/debian bookworm main\n\n" + LINE},
        {"sources__list": f"deb-src {OTHER} bookworm main\ndeb {MIRROR}/ bookworm contrib main # ours\n"},
        {"sources__list": f"deb [arch=amd64 signed-by=/a.gpg trusted=yes] {MIRROR} bookworm main\n"},
        {"sources__list": f"deb cdrom:[Debian 12 _Bookworm_]/ bookworm main\ndeb file:/srv bookworm main\n{LINE}"},
        {"sources__list": f"deb {OTHER} trixie main\ndeb {OTHER} bookworm-updates main\n{LINE}"},
        {"sources__list": f"deb {OTHER} bookworm contrib\ndeb {OTHER} bookworm/\n", "a__list": LINE},
        {"b__list": f"deb {OTHER} bookworm main\n", "a__list": LINE},
        {"a__list__off": f"deb {OTHER} bookworm main\n", "b__sources": STANZA},
        {"a__sources": STANZA},
        {
            "a__sources": STANZA.lower()
            .replace("uris", "# a comment\nURIS")
            .replace("types: deb", "types: deb-src deb")
        },
        {
            "a__sources": f"Types: deb\nURIs:\n file:/srv\n {MIRROR}\nSuites:\n bookworm\n\tsid\n"
            "Components: contrib main\n"
        },
        {"a__sources": f"{STANZA.replace(MIRROR, OTHER)}Enabled: no\n\n\n{STANZA}"},
        {"a__sources": f"{STANZA.replace(MIRROR, OTHER).replace('bookworm', 'trixie')}\n \n{STANZA}Enabled: yes\n"},
        {"a__sources": f"{STANZA.replace(MIRROR, OTHER).replace('deb', 'deb-src', 1)}\n{STANZA}"},
        {"a__sources": f"{STANZA.replace(MIRROR, OTHER).replace('main', 'contrib')}\n{STANZA}"},
    ],
)
def test_the_mirror_of_the_machines_own_suite_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    assert debian.sources(tree(tmp_path / "root", **files)) == GIVEN


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sources__list": f"#{LINE}"},
        {"sources__list": "deb nonsense\n"},
        {"a__sources": f"{STANZA}Enabled: false\n"},
        {"a__list": LINE.replace("bookworm", "trixie")},
    ],
)
def test_a_machine_without_a_mirror_is_told_what_helps(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(MachineError, match=r"No mirror of Debian bookworm .*a line `deb http"):
        debian.sources(tree(tmp_path / "root", **files))


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", "names ubuntu"),
        ("ID='unfinished", "names no system"),
        ("ID=debian\n", "no VERSION_CODENAME"),
    ],
)
def test_a_machine_that_is_no_debian_is_told_so(tmp_path: Path, release: str, said: str) -> None:
    with pytest.raises(MachineError, match=said):
        debian.sources(tree(tmp_path / "root", release, sources__list=LINE))


def test_a_machine_without_os_release_is_no_debian(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="os-release names no system"):
        debian.sources(tmp_path)


def test_the_proxies_of_apt_are_given_in_its_own_words(tmp_path: Path, bin_folder: Path) -> None:
    proxies = (
        'Acquire::http::Proxy "http://127.0.0.1:3142";\n'
        'Acquire::http::Proxy::mirror.example "DIRECT";\n'
        'Acquire::https::Proxy "http://127.0.0.1:3143";\n'
    )
    others = 'Acquire::https::Proxy::none.example "";\nAcquire::http::Proxy-Auto-Detect "/bin/x";\nAPT::Keep "1";\n'
    program(bin_folder, "apt-config", f"cat <<'END'\n{others}{proxies}END")
    assert debian.sources(tree(tmp_path / "root", sources__list=LINE)).settings == proxies


def test_settings_that_apt_cannot_read_are_the_machines_fault(tmp_path: Path, bin_folder: Path) -> None:
    program(bin_folder, "apt-config", "echo 'E: Syntax error' >&2; exit 100")
    with pytest.raises(MachineError, match="E: Syntax error"):
        debian.sources(tree(tmp_path / "root", sources__list=LINE))


@pytest.mark.parametrize(
    ("mirror", "settings", "http", "https"),
    [
        (MIRROR, "", "http://env.example", None),
        (MIRROR, 'Acquire::http::Proxy "http://a.example";', "http://a.example", None),
        (MIRROR, 'Acquire::http::Proxy "http://a.example";\nAcquire::http::Proxy::127.0.0.1 "DIRECT";', None, None),
        (OTHER, 'Acquire::http::Proxy::127.0.0.1 "DIRECT";', "http://env.example", None),
        (
            "https://mirror.example",
            'acquire::HTTP::proxy "http://b.example";',
            "http://env.example",
            "http://b.example",
        ),
    ],
)
def test_debootstrap_takes_the_way_that_apt_takes(
    mirror: str, settings: str, http: str | None, https: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://env.example")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("PYTHONPATH", "/ours")
    given = debian.Sources(mirror=mirror, suite="bookworm", lines="", settings=settings)
    variables = debian._variables(given)
    assert (variables.get("http_proxy"), variables.get("https_proxy")) == (http, https)
    assert "PYTHONPATH" not in variables


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """A client of an engine that is not there, and is not asked before there is something to import."""
    made = docker.DockerClient(base_url="http://127.0.0.1:1", version="1.41")
    yield made
    made.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the temporary folder comes to be, as if root asked for it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "sources", lambda: GIVEN)
    return folder


def silent(_: str) -> None:
    pass


def test_a_failure_of_debootstrap_is_shown_and_leaves_nothing(
    place: Path, bin_folder: Path, client: docker.DockerClient
) -> None:
    program(
        bin_folder,
        "debootstrap",
        'echo "I: $*"; mkdir -p "$4/debootstrap"; echo "dpkg: no space" > "$4/debootstrap/debootstrap.log"\n'
        "echo 'E: it cannot be done' >&2; exit 3",
    )
    with pytest.raises(MachineError) as caught:
        debian.base_image(client, silent)
    said = str(caught.value)
    assert said.startswith("debootstrap failed with exit code 3: I: --variant=minbase --include=ca-certificates,")
    assert f" bookworm {place}/" in said
    assert said.endswith(f"/tree {MIRROR} | E: it cannot be done | dpkg: no space")
    assert not list(place.iterdir())


def test_where_debootstrap_is_not_installed_the_way_to_it_is_named(
    place: Path, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(MachineError, match="`apt-get install debootstrap` as root helps"):
        debian.base_image(client, silent)


def test_who_is_not_root_is_told_so(
    place: Path, bin_folder: Path, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bin_folder, "debootstrap", "exit 0")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError, match="Only root can make the base image"):
        debian.base_image(client, silent)
    assert not list(place.iterdir())


def test_debootstrap_is_found_where_a_users_path_does_not_lead(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "sbin", "debootstrap", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(debian, "PATHS", str(tmp_path / "sbin"))
    assert debian._debootstrap() == str(tmp_path / "sbin" / "debootstrap")


def test_what_cannot_be_started_is_the_machines_fault(
    tmp_path: Path, place: Path, client: docker.DockerClient, bin_folder: Path
) -> None:
    program(bin_folder, "debootstrap", "")
    (bin_folder / "debootstrap").write_text("#!/no/such/shell\n")
    with pytest.raises(MachineError, match="debootstrap could not be started"):
        debian.base_image(client, silent)
    assert not list(place.iterdir())


# Deaf, with a child and an orphan of its own, and with /proc mounted where the machine lets it.
STUBBORN = """
trap '' TERM INT
mkdir -p "$4/proc"
mount -t proc proc "$4/proc" 2>/dev/null && touch {place}/../mounted
sleep 300 & echo $! >> {place}/../pids
(sleep 300 & echo $! >> {place}/../pids)
echo $$ >> {place}/../pids
touch {place}/../started
while :; do sleep 1; done
"""


def test_an_interrupt_ends_debootstrap_and_leaves_nothing(
    tmp_path: Path, place: Path, bin_folder: Path, client: docker.DockerClient
) -> None:
    program(bin_folder, "debootstrap", STUBBORN.format(place=place))

    def interrupt() -> None:
        deadline = time.monotonic() + 20
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    watcher = threading.Thread(target=interrupt)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            debian.base_image(client, silent)
    finally:
        signal.signal(signal.SIGINT, before)
    watcher.join()
    family = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(family) == 3
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in family)
    assert not list(place.iterdir())
    assert str(place) not in Path("/proc/self/mountinfo").read_text()


def test_a_folder_is_not_removed_through_a_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made" / "proc").mkdir(parents=True)
    kept = tmp_path / "made" / "proc" / "the host's"
    kept.touch()
    monkeypatch.setattr(debian, "_mounts", lambda folder: [str(folder / "proc")])
    with pytest.raises(MachineError, match=r"could not be unmounted; `umount .*/proc` as root"):
        debian._remove(tmp_path / "made")
    assert kept.exists()


def test_what_tells_of_the_mirror_or_the_host_is_trimmed(tmp_path: Path) -> None:
    made, outside = tmp_path / "tree", tmp_path / "resolv.conf"
    outside.write_text("nameserver 127.0.0.1\n")
    gone = [
        "etc/apt/sources.list",
        "etc/apt/sources.list.d/a.list",
        "var/lib/apt/lists/a_Packages",
        "var/cache/apt/archives/a.deb",
        "var/log/apt/history.log",
        "usr/share/doc/a/README",
        "usr/share/man/man1/a.1",
    ]
    kept = ["usr/share/doc/a/copyright", "var/cache/debconf/config.dat", "var/lib/dpkg/status"]
    for name in (*gone, *kept, "etc/hostname"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(MIRROR)
    (made / "etc" / "resolv.conf").symlink_to(outside)
    (made / "proc").symlink_to("/proc")
    made.chmod(0o700)
    debian._trim(made)
    assert not [name for name in gone if (made / name).exists()]
    assert all((made / name).read_text() for name in kept)
    assert (made / "var" / "log" / "apt").is_dir()  # apt does not make it anew
    assert {(made / "etc" / name).read_bytes() for name in ("resolv.conf", "hostname", "machine-id")} == {b""}
    assert outside.read_text() == "nameserver 127.0.0.1\n"
    assert not (made / "proc").is_symlink()
    assert made.stat().st_mode & 0o777 == 0o755


def test_an_engine_that_is_not_there_is_the_machines_fault(tmp_path: Path, client: docker.DockerClient) -> None:
    (tmp_path / "tree").mkdir()
    with pytest.raises(MachineError, match=r"The engine did not take the base image gatebench-base:3\.11"):
        debian._import(client, tmp_path / "tree", tmp_path / "log", debian.tag_of("3.11"))


def test_the_engines_answer_is_read_and_not_only_its_status() -> None:
    assert debian._imported('{"status":"sha256:abc"}\r\n') == "sha256:abc"
    for answer, said in [
        ('{"errorDetail":{"message":"unexpected EOF"},"error":"unexpected EOF"}', "unexpected EOF"),
        ("<html>", "<html>"),
        ("", "it said nothing"),
    ]:
        with pytest.raises(docker.errors.DockerException, match=said):
            debian._imported(answer)


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    """The engine of this machine; skips where the image cannot be made, and says why."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("only root can make the base image")
    try:
        debian._debootstrap()
        debian.sources()
        made = find().client
    except MachineError as error:
        pytest.skip(str(error))
    yield made
    made.close()


CHECK = """
set -e
python3 -m venv --without-pip /tmp/plain && python3 -m venv /tmp/venv && /tmp/venv/bin/python -m pip --version
python3 -c 'import ssl; assert len(ssl.create_default_context().get_ca_certs()) > 50'
! grep -rE '(https?|file|ftp)://|^deb |Proxy' /etc/apt/sources.list* /etc/apt/apt.conf* /var/log
! grep -rF "$MIRROR" /etc/apt /var/lib/apt /var/cache/apt
! test -s /etc/machine-id
test -d /proc/1 && su nobody -s /bin/sh -c 'ls / > /dev/null'
echo all is well
"""


def contents(image: Image, saved: Path, under: tuple[str, ...]) -> dict[str, bytes]:
    """What the files of an image of one layer hold."""
    with saved.open("wb") as file:
        file.writelines(image.save())
    with tarfile.open(saved) as whole:
        manifest = whole.extractfile("manifest.json")
        assert manifest is not None
        (name,) = json.load(manifest)[0]["Layers"]
        with tarfile.open(fileobj=whole.extractfile(name)) as layer:
            found = [
                (one.name, layer.extractfile(one)) for one in layer if one.isfile() and one.name.startswith(under)
            ]
            return {name: file.read() for name, file in found if file}


@pytest.mark.slow
@pytest.mark.container
@pytest.mark.timeout(600)
def test_the_real_base_image_holds_python_and_names_no_mirror(
    engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "bin" / "apt-config").unlink()
    repository, mirror = f"gatebench-test-{uuid.uuid4().hex[:8]}", debian.sources().mirror
    said: list[str] = []
    before = set(Path("/var/tmp").glob("gatebench-base-*"))
    monkeypatch.delenv("TMPDIR", raising=False)
    tag = debian.base_image(engine, said.append, repository)
    try:
        image = engine.images.get(tag)
        assert tag.startswith(f"{repository}:3.")
        assert image.labels == {"gatebench": "base"}
        assert f"PATH={debian.PATHS}" in image.attrs["Config"]["Env"]
        output = engine.containers.run(
            tag, ["sh", "-c", CHECK], environment={"MIRROR": mirror}, remove=True, network_mode="none", stderr=True
        )
        assert output.decode().splitlines()[-1] == "all is well"
        # Docker lays its own over some of these files, so that only the layer tells.
        written = contents(image, tmp_path / "image.tar", ("./etc/apt/", *(f"./{name}" for name in debian._BLANK)))
        assert any(name.startswith("./etc/apt/trusted.gpg.d/") for name in written)
        assert all(written[f"./{name}"] == b"" for name in debian._BLANK)
        assert not [name for name, content in written.items() if mirror.encode() in content]
        assert len(said) == 2
        assert set(Path("/var/tmp").glob("gatebench-base-*")) == before
    finally:
        engine.images.remove(tag, force=True)
