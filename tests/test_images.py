"""Images: which base is taken, what is in them and what is not, and how a build fails or is broken off."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import importlib.metadata
import io
import json
import os
import random
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from docker.errors import ImageNotFound
from docker.types import Healthcheck
from uv import find_uv_bin

from gatebench import declare, envs
from gatebench.backends.containers import debian, images
from gatebench.backends.containers.engine import LABEL, OWNER, Engine, labels
from gatebench.backends.containers.images import Image, Images, tag
from gatebench.errors import MachineError, UsageError
from gatebench.model import Containment, Service, Stack
from gatebench.stacks import Stacks

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

PYTHON = "3.11"
AUTHORITY = "gatebench-test-authority"
APP = """
import http.server
import small

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/plaintext" else 404)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
SERVER = """
interface = "wsgi"
requirements = []
command = ["{python}", "app.py", "{target}", "{host}", "{port}"]
protocols = ["http/1.1"]

[settings]
workers = 1
pool_size = 1
keep_alive_s = 0
"""


@pytest.fixture(scope="module")
def base(engine: Engine) -> str:
    """A base that is at hand: nothing is pulled for a test."""
    for name in (debian.tag_of(PYTHON), f"python:{PYTHON}-slim"):
        with contextlib.suppress(ImageNotFound):
            engine.client.images.get(name)
            return name
    pytest.skip("no base image is at hand; `make base-image` makes one")


# ---- which base ----


@pytest.fixture
def version() -> str:
    """A version of Python that nobody has."""
    return f"0.{random.getrandbits(40)}"


@pytest.fixture
def named(engine: Engine, base: str) -> Iterator[Callable[[str], None]]:
    """Gives the base other names, and takes them away."""
    made: list[str] = []

    def name(wanted: str) -> None:
        made.append(wanted)
        engine.client.images.get(base).tag(*wanted.rsplit(":", 1))

    yield name
    for each in made:
        engine.client.images.remove(each)


def of_version(engine: Engine, version: str, told: list[str], wanted: str | None = None) -> Images:
    return Images(
        engine=engine,
        root=Path(),
        scratch=Path(),
        python=version,
        wanted=Containment(base=wanted),
        told=told.append,
    )


def test_a_base_that_is_at_hand_is_taken_as_it_is(
    engine: Engine, version: str, named: Callable[[str], None], base: str
) -> None:
    for name in (f"python:{version}-slim", debian.tag_of(version)):
        named(name)
    told: list[str] = []
    found = of_version(engine, version, told).base()
    assert found.name == f"python:{version}-slim", "and not the project's own"
    assert found.id == engine.client.images.get(base).id
    assert not told


def test_where_the_official_image_cannot_be_pulled_the_projects_own_is_taken(
    engine: Engine, version: str, named: Callable[[str], None], base: str
) -> None:
    named(debian.tag_of(version))
    told: list[str] = []
    found = of_version(engine, version, told).base()
    assert found.name == f"gatebench-base:{version}"
    assert found.id == engine.client.images.get(base).id
    assert told == [f"pulling python:{version}-slim"]


def test_where_no_base_can_be_had_the_ways_out_are_named(engine: Engine, version: str) -> None:
    with pytest.raises(MachineError) as caught:
        of_version(engine, version, []).base()
    said = str(caught.value)
    assert re.match(rf"The image python:{version}-slim could not be pulled \(.+\); run", said)
    assert said.endswith("; run `make base-image` for one with Debian's own Python, or choose --backend process.")
    assert "\n" not in said


def test_a_base_that_the_plan_names_is_not_replaced_by_another(
    engine: Engine, version: str, named: Callable[[str], None]
) -> None:
    named(debian.tag_of(version))
    with pytest.raises(MachineError, match=r"127\.0\.0\.1:1/mine:1 could not be pulled .*; name another base in the"):
        of_version(engine, version, [], "127.0.0.1:1/mine:1").base()


class Registry(BaseHTTPRequestHandler):
    """A registry that holds one small image, under any tag."""

    protocol_version = "HTTP/1.1"
    blobs: ClassVar[Mapping[str, bytes]] = {}
    manifest: ClassVar = b""
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        last = self.path.rpartition("/")[2]
        body = b"{}" if self.path == "/v2/" else self.blobs.get(last, self.manifest)
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
        self.send_header("Docker-Content-Digest", digest(body))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - named so by the standard library

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the same
        pass


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler], secured: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if secured:
        server.socket = secured.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def registry(engine: Engine) -> Iterator[tuple[str, type[Registry]]]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        layer.addfile(tarfile.TarInfo(uuid.uuid4().hex))
    zipped = gzip.compress(packed.getvalue())
    of_layer = {"type": "layers", "diff_ids": [digest(packed.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": of_layer}).encode()
    kind = "application/vnd.docker"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.distribution.manifest.v2+json",
        "config": {"mediaType": f"{kind}.container.image.v1+json", "size": len(config), "digest": digest(config)},
        "layers": [
            {"mediaType": f"{kind}.image.rootfs.diff.tar.gzip", "size": len(zipped), "digest": digest(zipped)}
        ],
    }

    class Holding(Registry):
        blobs: ClassVar = {digest(config): config, digest(zipped): zipped}
        asked: ClassVar = []

    Holding.manifest = json.dumps(manifest).encode()
    with serving(Holding) as port:
        yield f"127.0.0.1:{port}", Holding
    with contextlib.suppress(ImageNotFound):
        engine.client.images.remove(digest(config), force=True)


def test_a_base_that_is_not_at_hand_is_pulled_once(engine: Engine, registry: tuple[str, type[Registry]]) -> None:
    host, held = registry
    told: list[str] = []
    name = f"{host}/python:slim"
    found = of_version(engine, PYTHON, told, name).base()
    assert (found.name, found.id) == (name, engine.client.images.get(name).id)
    assert told == [f"pulling {name}"]
    asked = len(held.asked)
    assert asked
    assert of_version(engine, PYTHON, told, name).base() == found
    assert (len(told), len(held.asked)) == (1, asked)


def test_a_base_may_be_named_by_its_digest(engine: Engine, registry: tuple[str, type[Registry]]) -> None:
    host, held = registry
    name = f"{host}/python@{digest(held.manifest)}"
    assert of_version(engine, PYTHON, [], name).base().id in held.blobs


# ---- what is in an image ----


def wheel(folder: Path, name: str, files: Mapping[str, bytes], kind: str) -> Path:
    """Pack a wheel, the same at every time: what is installed of it may be found in the engine's cache."""
    path = folder / f"{name}-{kind}.whl"
    info = f"{name}.dist-info"
    files = {**files, f"{info}/RECORD": "".join(f"{each},,\n" for each in (*files, f"{info}/RECORD")).encode()}
    with zipfile.ZipFile(path, "w") as packed:
        for place, content in files.items():
            entry = zipfile.ZipInfo(place)
            entry.external_attr = (0o100755 if "/scripts/" in place else 0o100644) << 16
            packed.writestr(entry, content)
    return path


def uv_wheel(folder: Path) -> Path:
    """Pack anew the uv that is installed here, so that nothing is asked of the network."""
    uv = importlib.metadata.distribution("uv")
    name = f"uv-{uv.version}"
    files = {
        str(path): path.locate().read_bytes()  # type: ignore[attr-defined]
        for path in uv.files or ()
        if path.parts[0] in ("uv", f"{name}.dist-info") and "__pycache__" not in path.parts
    }
    files = {path: content for path, content in files.items() if not path.endswith(("/RECORD", "/INSTALLER"))}
    files[f"{name}.data/scripts/uv"] = Path(find_uv_bin()).read_bytes()
    # This machine's own, whose platform is the image's.
    (kind,) = re.findall(r"^Tag: (\S+)$", files[f"{name}.dist-info/WHEEL"].decode(), re.MULTILINE)[:1]
    return wheel(folder, name, files, kind)


def small_wheel(folder: Path) -> Path:
    files = {
        "small.py": b"SIZE = 1\n",
        "small-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: small\nVersion: 1.0\n",
        "small-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return wheel(folder, "small-1.0", files, "py3-none-any")


@dataclass(kw_only=True)
class Index:
    """A package index on this machine's loopback, behind a certificate authority that nobody knows."""

    address: str
    port: int
    secret: str  # a part of its address
    authority: Path
    wheels: Mapping[str, Path]
    asked: list[str] = field(default_factory=list)

    def lock(self, name: str) -> str:
        path = self.wheels[name]
        hashed = hashlib.sha256(path.read_bytes()).hexdigest()
        return f"{name}=={path.name.split('-')[1]} \\\n    --hash=sha256:{hashed}\n"


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder: Path) -> ssl.SSLContext:
    """Make an authority and a certificate for 127.0.0.1, signed by it."""
    key = ("-newkey", "rsa:2048", "-nodes")
    subject = f"/CN={AUTHORITY}"
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", subject)
    openssl(folder, "req", *key, "-keyout", "key.pem", "-out", "asked.pem", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signed = ("-req", "-in", "asked.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl(folder, "x509", *signed, "-extfile", "names", "-out", "cert.pem")
    # As machines write their bundles: with a comment in front of each, of any encoding.
    (folder / "ca.pem").write_bytes(b"# Autorit\xe9\n" + (folder / "ca.pem").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes a certificate authority, is not installed")
    folder = tmp_path_factory.mktemp("index")
    wheels = {"uv": uv_wheel(folder), "small": small_wheel(folder)}
    secured = authority(folder)
    secret = f"secret{uuid.uuid4().hex}"
    asked: list[str] = []

    class Packages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            kind, _, name = self.path.removeprefix(f"/{secret}/").strip("/").partition("/")
            path = wheels.get(name)
            if kind == "simple" and path:
                body = f'<!DOCTYPE html><a href="/{secret}/files/{path.name}">{path.name}</a>'.encode()
            elif kind == "files":
                body = (folder / name).read_bytes()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if kind == "simple" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - named so by the standard library

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the same
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # of who does not know the authority, and goes
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()

    with serving(Packages, secured) as port:
        yield Index(
            address=f"https://127.0.0.1:{port}/{secret}/simple/",
            port=port,
            secret=secret,
            authority=folder / "ca.pem",
            wheels=wheels,
            asked=asked,
        )


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A project of one app on one server, whose image no other test has."""

    root: Path
    scratch: Path
    name: str

    @property
    def stack(self) -> Stack:
        return self.stacks.one(f"{self.name}+plain")

    @property
    def stacks(self) -> Stacks:
        bridges = declare.bridges(self.root)
        return Stacks(apps=declare.apps(self.root), servers=declare.servers(self.root), bridges=bridges)

    @property
    def app(self) -> Path:
        return self.root / "apps" / self.name / "app.py"

    def images(self, engine: Engine, base: str) -> Images:
        """What a session of its own has, which remembers no other's."""
        wanted = Containment(base=base)
        return Images(engine=engine, root=self.root, scratch=self.scratch, python=PYTHON, wanted=wanted)

    def put(self, place: str, text: str) -> None:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)  # as a careful umask has it


@contextlib.contextmanager
def planted(folder: Path, engine: Engine, root: Path, index: Index) -> Iterator[Tree]:
    tree = Tree(root=folder / "tree", scratch=folder / "scratch", name=f"t{uuid.uuid4().hex[:8]}")
    tree.scratch.mkdir()
    tree.put("compose/Dockerfile", (root / "compose" / "Dockerfile").read_text())
    tree.put("compose/servers/plain.toml", SERVER)
    tree.put(f"apps/{tree.name}/app.toml", 'interface = "wsgi"\ntarget = "app:app"\n')
    tree.put(f"apps/{tree.name}/app.py", APP)
    tree.put(f"apps/{tree.name}/requirements.txt", "small\n")
    tree.put("requirements/stacks.txt", index.lock("small"))
    tree.put("requirements/uv.txt", index.lock("uv"))
    try:
        yield tree
    finally:
        for one in engine.client.images.list(filters={"label": "gatebench.stack"}):
            if one.labels["gatebench.stack"].startswith(f"{tree.name}+"):
                engine.client.images.remove(str(one.id), force=True)


@pytest.fixture
def tree(tmp_path: Path, engine: Engine, root: Path, index: Index) -> Iterator[Tree]:
    with planted(tmp_path, engine, root, index) as made:
        yield made


def known(index: Index) -> pytest.MonkeyPatch:
    """Tell this process of the index, and of a proxy that is not for this machine."""
    patched = pytest.MonkeyPatch()
    for name in ("UV_INDEX_URL", "PIP_INDEX_URL", "PIP_CERT", "HTTP_PROXY", "http_proxy"):
        patched.delenv(name, raising=False)
    patched.setenv("UV_DEFAULT_INDEX", index.address)
    patched.setenv("SSL_CERT_FILE", str(index.authority))
    for name in ("HTTPS_PROXY", "https_proxy"):
        patched.setenv(name, f"http://{index.secret}.invalid:3128")
    for name in ("NO_PROXY", "no_proxy"):
        patched.setenv(name, f"127.0.0.1,{index.secret}.invalid")
    return patched


@pytest.fixture
def told(index: Index) -> Iterator[pytest.MonkeyPatch]:
    patched = known(index)
    yield patched
    patched.undo()


@dataclass(frozen=True, kw_only=True)
class Built:
    tree: Tree
    image: Image
    attributes: Mapping[str, Any]


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine, base: str, root: Path, index: Index
) -> Iterator[Built]:
    """An image that was made through the index alone: nothing of it is in the engine's cache."""
    folder = tmp_path_factory.mktemp("built")
    patched = known(index)
    try:
        with planted(folder, engine, root, index) as tree:
            for place in ("requirements/uv.txt", "requirements/stacks.txt"):
                tree.put(place, f"{(tree.root / place).read_text()}# {uuid.uuid4()}\n")
            image = tree.images(engine, base).stack(tree.stack)
            yield Built(tree=tree, image=image, attributes=engine.client.images.get(image.id).attrs)
    finally:
        patched.undo()


@pytest.mark.slow
def test_a_base_that_holds_another_python_than_the_plans_is_refused(built: Built, engine: Engine, base: str) -> None:
    images = replace(built.tree.images(engine, base), python="3.99")
    with pytest.raises(UsageError, match=rf"to run on Python 3\.99, and the image {base} has 3\.\d+\.\d+; name"):
        images.stack(built.tree.stack)


def layers(engine: Engine, image: str) -> list[str]:
    return list(engine.client.images.get(image).attrs["RootFS"]["Layers"])


def saved(engine: Engine, image: str, path: Path, skip: int) -> Iterator[tuple[int, str, bytes]]:
    """Give all files of an image above some layers, each with its layer's number, and -1 for what describes it."""
    with path.open("wb") as file:
        file.writelines(engine.client.images.get(image).save())
    with tarfile.open(path) as whole:

        def read(name: str) -> bytes:
            found = whole.extractfile(name)
            assert found is not None
            return found.read()

        about = json.loads(read("manifest.json"))[0]
        yield -1, about["Config"], read(about["Config"])
        for number, name in enumerate(about["Layers"]):
            if number >= skip:
                with tarfile.open(fileobj=io.BytesIO(read(name))) as layer:
                    for one in layer:
                        held = layer.extractfile(one) if one.isfile() else None
                        yield number, one.name, held.read() if held else one.linkname.encode()


@pytest.fixture(scope="module")
def contents(built: Built, engine: Engine, base: str, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """All that the recipe put upon the base."""
    path = tmp_path_factory.mktemp("saved") / "image.tar"
    return list(saved(engine, built.image.id, path, len(layers(engine, base))))


@pytest.mark.slow
def test_packages_come_through_the_machines_own_index_and_authority(built: Built, index: Index) -> None:
    """As behind a proxy that has a certificate authority of its own."""
    asked = {path.removeprefix(f"/{index.secret}/") for path in index.asked}
    assert {"simple/uv/", "simple/small/"} <= asked
    assert {f"files/{path.name}" for path in index.wheels.values()} <= asked
    assert built.image.versions["small"] == "1.0"
    assert built.image.versions["python"].startswith("3.")


@pytest.mark.slow
def test_nothing_of_the_hosts_index_proxy_or_authority_is_left_in_an_image(
    built: Built, contents: list[Any], index: Index, engine: Engine
) -> None:
    certificate = [line for line in index.authority.read_bytes().splitlines() if len(line) > 20]
    strange = [index.secret.encode(), f":{index.port}".encode(), AUTHORITY.encode(), *certificate]
    strange.append(base64.b64decode(b"".join(certificate[1:-1]))[:200])
    strange = [each for each in strange if b"CERTIFICATE" not in each]
    assert len(strange) > 10
    names = [name for _, name, _ in contents]
    held = [(name, name.encode() + content) for _, name, content in contents]
    assert not [name for name, all_of_it in held if any(each in all_of_it for each in strange)]
    # What is looked through is what is there.
    assert [content for _, name, content in contents if name.endswith(f"{built.tree.name}/app.py")] == [APP.encode()]
    assert any(name.endswith("/small.py") for name in names)
    assert not [name for name in names if re.search(r"pip\.conf|run/secrets/.|\.pem$|uv\.toml|\.whl$", name)]
    history = subprocess.check_output([*engine.command, "history", "--no-trunc", built.image.id])
    described = history + json.dumps(built.attributes).encode()
    assert b"HEALTHCHECK" in history
    assert not [each for each in strange if each in described]


@pytest.mark.slow
def test_what_only_builds_stays_behind(contents: list[Any]) -> None:
    names = [name for _, name, _ in contents]
    assert not [name for name in names if name.startswith(("opt/uv", "tmp/", "root/"))]
    assert not [name for name in names if name.endswith(("bin/uv", "uv.txt", "lock.txt"))]


@pytest.mark.slow
def test_an_image_runs_as_nobody_in_particular_and_says_what_it_is(built: Built, base: str) -> None:
    config = built.attributes["Config"]
    assert config["User"] == "10001:10001"
    assert config["Labels"] == {
        LABEL: "stack",
        "gatebench.stack": built.tree.stack.name,
        "org.opencontainers.image.title": f"gatebench: {built.tree.name}+plain",
        "org.opencontainers.image.description": "An application on one server, as gatebench runs it.",
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.version": importlib.metadata.version("gatebench"),
        "org.opencontainers.image.base.name": base,
    }
    assert built.image.name == tag(built.tree.stack.name)
    assert built.image.facts["image"] == f"gatebench:{built.tree.name}.plain"


@pytest.mark.slow
@pytest.mark.parametrize(("command", "health"), [(["python", "app.py"], "healthy"), (["sleep", "60"], "unhealthy")])
def test_the_health_check_tells_who_answers(command: list[str], health: str, built: Built, engine: Engine) -> None:
    often = Healthcheck(interval=200_000_000, timeout=5_000_000_000, retries=2, start_period=1_000_000)
    container = engine.client.containers.run(
        built.image.id,
        command,
        detach=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        healthcheck=often,
        labels=labels("test"),
    )
    try:
        deadline = time.monotonic() + 30
        while (found := container.attrs["State"].get("Health", {}).get("Status")) in (None, "starting"):
            assert time.monotonic() < deadline, container.logs()
            container.reload()
        assert found == health, container.logs()
    finally:
        container.remove(force=True)


def running(engine: Engine, image: str, words: list[str]) -> str:
    return str(
        engine.client.containers.run(
            image, words, network_mode="none", remove=True, stderr=True, labels=labels("test")
        ).decode()
    )


@pytest.mark.slow
def test_a_changed_app_costs_the_last_layers_and_no_package(
    built: Built, contents: list[Any], engine: Engine, base: str, index: Index
) -> None:
    before, asked = layers(engine, built.image.id), len(index.asked)
    built.tree.put(f"apps/{built.tree.name}/app.py", f"{APP}# changed\n")
    changed = built.tree.images(engine, base).stack(built.tree.stack)
    after = layers(engine, changed.id)
    same = next(number for number, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])
    (packages,) = [number for number, name, _ in contents if name == "opt/venv/packages.json"]
    assert packages < same
    assert len(after) - same <= 3
    assert len(index.asked) == asked
    text = running(engine, changed.id, ["cat", f"/srv/apps/{built.tree.name}/app.py"])
    assert text.endswith("# changed\n"), "which a file of 0600 could not be read for"


@pytest.mark.slow
def test_nothing_but_the_image_is_left_of_a_build(built: Built, engine: Engine) -> None:
    mine = f"{OWNER}={labels('look')[OWNER]}"
    assert not engine.client.containers.list(all=True, filters={"label": mine})
    assert not [path for path in built.tree.scratch.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_stacks_that_require_the_same_share_every_layer_and_each_has_its_name(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    tree.put(
        f"apps/{tree.name}/app.toml",
        'interface = "wsgi"\ntarget = "app:app"\n[axes.views.whole]\n[axes.views.split]\ntarget = "split:app"\n',
    )
    tree.put("compose/servers/other.toml", SERVER)
    images = tree.images(engine, base)
    stacks = [tree.stacks.one(f"{tree.name}+{rest}") for rest in ("plain", "plain[views=split]", "other")]
    found = [images.stack(stack) for stack in stacks]
    assert len({tuple(layers(engine, one.id)) for one in found}) == 1
    for stack, image in zip(stacks, found, strict=True):
        assert engine.client.images.get(image.name).labels["gatebench.stack"] == stack.name


@pytest.mark.slow
def test_launchers_bridges_and_the_shared_work_are_in_an_image(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    places = ["compose/launchers/run_it.py", "compose/bridges/over.py", "apps/work/rounds.py"]
    for place in places:
        tree.put(place, "")
    tree.put("apps/work/axes.toml", "")
    image = tree.images(engine, base).stack(tree.stack)
    running(engine, image.id, ["ls", *(f"/srv/{place}" for place in places)])


@pytest.mark.slow
def test_of_somebodys_own_app_there_is_its_folder_and_nothing_beside_it(
    tree: Tree, tmp_path: Path, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "elsewhere" / tree.name
    for folder in (own, own.parent / "work"):
        folder.mkdir(parents=True)
        (folder / "app.py").touch()
    (own / "old.py").write_text("print 'no Python of today'\n")
    (own / "gone").symlink_to("nowhere")
    app = replace(tree.stack.app, folder=own)
    assert app.work is None
    image = tree.images(engine, base).stack(replace(tree.stack, app=app))
    listed = running(engine, image.id, ["sh", "-c", "ls /srv /srv/apps; ls /srv/apps/*"]).split()
    assert listed == ["/srv:", "apps", "/srv/apps:", tree.name, "__pycache__", "app.py", "old.py"]


@pytest.mark.slow
def test_what_a_server_needs_of_debian_is_in_the_image_and_none_of_it_runs(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    reachable_mirror(base)
    tree.put("compose/servers/plain.toml", f'{SERVER}\n[needs]\nhello = "hello"\nagain = "hello"\nmore = "sl"\n')
    stack = tree.stack
    assert images.packages(stack) == {"PACKAGES": "hello sl"}
    image = tree.images(engine, base).stack(stack)
    asked = "hello && ls /usr/games/sl && python -c 'import small'; ls /usr/sbin"
    said = running(engine, image.id, ["sh", "-c", asked])
    assert said.startswith("Hello, world!\n/usr/games/sl\n")
    assert "policy-rc.d" not in said


@pytest.mark.slow
def test_a_package_that_the_lock_has_another_hash_of_is_not_installed(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    tree.put("requirements/stacks.txt", f"small==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(MachineError) as caught:
        tree.images(engine, base).stack(tree.stack)
    assert "ash mismatch" in one_sentence(caught.value, tree)


@pytest.mark.slow
def test_a_service_is_made_by_the_same_recipe(
    tree: Tree, engine: Engine, base: str, index: Index, told: pytest.MonkeyPatch
) -> None:
    tree.put(f"compose/services/{tree.name}/service.py", "import small; print(small.SIZE)\n")
    folder = tree.root / "compose" / "services"
    service = Service(
        name=tree.name, kind="http", variable="A", url="", requirements=("small",), command=(), folder=folder
    )
    image = tree.images(engine, base).service(service)
    try:
        assert running(engine, image.id, ["python", f"/srv/services/{tree.name}/service.py"]) == "1\n"
        assert running(engine, image.id, ["id", "-u"]) == "10001\n"
    finally:
        engine.client.images.remove(image.id, force=True)


def reachable_mirror(base: str) -> debian.Sources:
    if base != debian.tag_of(PYTHON):
        pytest.skip("the machine's mirror is for the project's own base")
    try:
        given = debian.sources()
        urllib.request.urlopen(f"{given.mirror}/dists/{given.suite}/Release", timeout=20).close()
    except (MachineError, OSError) as error:
        pytest.skip(f"no mirror of Debian can be reached: {error}")
    return given


@pytest.mark.slow
def test_debians_packages_leave_nothing_of_the_hosts_mirror(
    tree: Tree, engine: Engine, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = reachable_mirror(base)
    secret = f"secret{uuid.uuid4().hex}"
    told = debian.Sources(
        mirror=given.mirror,
        suite=given.suite,
        lines=f"{given.lines}# {secret}\n",
        settings=f'{given.settings}Acquire::http::User-Agent "{secret}";\n',
    )
    monkeypatch.setattr(debian, "sources", lambda: told)
    service = Service(
        name=tree.name,
        kind="http",
        variable="A",
        url="",
        requirements=(),
        command=(),
        image="127.0.0.1:1/none:1",
        packages=("hello",),
    )
    image = tree.images(engine, base).service(service)
    try:
        assert running(engine, image.id, ["sh", "-c", "id -u; hello"]) == "10001\nHello, world!\n"
        files = list(saved(engine, image.id, tmp_path / "image.tar", len(layers(engine, base))))
        strange = (secret.encode(), given.mirror.split("://")[1].encode())
        assert not [name for _, name, content in files if any(each in content for each in strange)]
        assert any(name == "usr/bin/hello" for _, name, _ in files)
        assert not [name for _, name, _ in files if name.startswith("var/lib/apt/lists/deb")]
    finally:
        engine.client.images.remove(image.id, force=True)


# ---- how a build fails ----


def one_sentence(error: MachineError, tree: Tree) -> str:
    said = str(error)
    assert said.startswith(f"The image of {tree.stack.name} could not be built (exit code ")
    assert "\n" not in said
    assert not re.search(r"#\d+ ", said), "BuildKit's own marks are of no use to anybody"
    assert "/bin/sh -c" not in said
    assert not [path for path in tree.scratch.iterdir() if path.is_dir()]
    return said


@pytest.mark.slow
def test_an_index_whose_authority_is_not_given_is_not_trusted(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    told.delenv("SSL_CERT_FILE")
    told.setattr(envs, "index", lambda: {"UV_DEFAULT_INDEX": os.environ["UV_DEFAULT_INDEX"]})
    for place in ("requirements/uv.txt", "requirements/stacks.txt"):
        tree.put(place, f"{(tree.root / place).read_text()}# {uuid.uuid4()}\n")
    with pytest.raises(MachineError) as caught:
        tree.images(engine, base).stack(tree.stack)
    assert "certificate" in one_sentence(caught.value, tree)


@pytest.mark.slow
def test_a_requirement_that_cannot_be_had_is_named(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    tree.put(f"apps/{tree.name}/requirements.txt", "missing\n")
    tree.put("requirements/stacks.txt", f"missing==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(MachineError) as caught:
        tree.images(engine, base).stack(tree.stack)
    assert "missing" in one_sentence(caught.value, tree)


def recipe(tree: Tree, *lines: str) -> None:
    tree.put("compose/Dockerfile", "\n".join(("ARG BASE", "FROM ${BASE} AS stack", *lines)) + "\n")


def test_a_step_that_fails_is_shown_by_its_last_lines(tree: Tree, engine: Engine, base: str) -> None:
    many = "for one in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo line $one; done"
    recipe(tree, "RUN echo well", f"RUN {many}; \\", f"  printf '%01000d\\n' 7; echo {uuid.uuid4()}; exit 3")
    with pytest.raises(MachineError) as caught:
        tree.images(engine, base).stack(tree.stack)
    said = one_sentence(caught.value, tree)
    assert re.search(r"line 14 \| line 15 \| 0{300} \| [0-9a-f-]{36} \| ERROR: .*the command.*exit code: 3$", said)
    assert "line 1 " not in said
    assert "well" not in said
    assert len(said) < 2000


def test_a_step_that_finds_no_file_is_shown_without_any_line(tree: Tree, engine: Engine, base: str) -> None:
    recipe(tree, "COPY nothing-of-the-kind /")
    with pytest.raises(MachineError) as caught:
        tree.images(engine, base).stack(tree.stack)
    assert re.search(r"\): ERROR: .*nothing-of-the-kind", one_sentence(caught.value, tree))


def test_a_recipe_that_cannot_be_read_is_shown(tree: Tree, engine: Engine, base: str) -> None:
    tree.put("compose/Dockerfile", "NONSENSE\n")
    with pytest.raises(MachineError) as caught:
        tree.images(engine, base).stack(tree.stack)
    assert "NONSENSE" in one_sentence(caught.value, tree)


def test_where_nothing_can_be_laid_out_that_is_said_with_the_place(
    tree: Tree, engine: Engine, base: str, tmp_path: Path
) -> None:
    scratch = tmp_path / "no folder"
    scratch.write_text("", encoding="utf-8")
    with pytest.raises(MachineError, match=rf"cannot be laid out in {scratch}: .*Not a directory"):
        replace(tree.images(engine, base), scratch=scratch).stack(tree.stack)


def test_without_a_recipe_that_is_said(tree: Tree, engine: Engine, base: str) -> None:
    (tree.root / "compose" / "Dockerfile").unlink()
    with pytest.raises(UsageError, match="There is no compose/Dockerfile in"):
        tree.images(engine, base).stack(tree.stack)


def processes(part: str) -> list[str]:
    """Whatever runs on this machine with this in its command."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = " ".join(one.cmdline())
            if one.pid != os.getpid() and part in words:
                found.append(words)
    return found


def until(done: Callable[[], object], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sleeping(tree: Tree) -> str:
    """Have the recipe sleep, for a time that nobody else sleeps."""
    sleep = f"sleep 250.{random.getrandbits(40)}"
    read = "RUN --mount=type=secret,id=index test -s /run/secrets/index"
    recipe(tree, f"{read} && echo beginning, {sleep}", f"RUN exec {sleep}")
    return sleep


CHILD = """
import signal
import sys
from pathlib import Path
from gatebench import declare
from gatebench.backends.containers.engine import find
from gatebench.backends.containers.images import Images
from gatebench.model import Containment
from gatebench.stacks import Stacks

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
root, scratch, base = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
(stack,) = Stacks(apps=declare.apps(root), servers=declare.servers(root)).values()
Images(engine=find(), root=root, scratch=scratch, python="3.11", wanted=Containment(base=base)).stack(stack)
"""


def test_an_interrupt_ends_a_build_and_leaves_nothing(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    sleep = sleeping(tree)
    words = [sys.executable, "-c", CHILD, str(tree.root), str(tree.scratch), base]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as child:
        until(lambda: processes(sleep) or child.poll() is not None)
        owner = f"{child.pid}@"
        assert {path.name.split("-")[0] for path in tree.scratch.iterdir() if path.is_dir()} == {"context", "secrets"}
        child.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, said = child.communicate(timeout=20)
    assert time.monotonic() - begin < 5
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert child.returncode == -signal.SIGINT
    assert not [path for path in tree.scratch.iterdir() if path.is_dir()]
    until(lambda: not processes(sleep))
    assert not processes(tag(tree.stack.name)), "no docker command of it runs on"
    found = engine.client.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
    assert not [one for one in found if one.labels[OWNER].startswith(owner)]
    with pytest.raises(ImageNotFound):
        engine.client.images.get(tag(tree.stack.name))


def test_a_build_that_takes_too_long_is_ended(
    tree: Tree, engine: Engine, base: str, told: pytest.MonkeyPatch
) -> None:
    told.setattr(images, "TIMEOUT_S", 3.0)
    sleep = sleeping(tree)
    with pytest.raises(
        MachineError, match=rf"^The image of {tree.name}\+plain took more than 3 s: .*beginning, sleep 250\."
    ):
        tree.images(engine, base).stack(tree.stack)
    until(lambda: not processes(sleep))
    assert not [path for path in tree.scratch.iterdir() if path.is_dir()]
