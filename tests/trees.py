"""Small trees of the user's own: one app, one server made of the standard library, one scenario, one plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gatebench.contract.routes import ROUTES

# An HTTP/1.1 server with keep-alive that runs a WSGI callable named on its command line.
LAUNCHER = """
import importlib, io, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

module, _, name = sys.argv[2].partition(":")
target = getattr(importlib.import_module(module), name)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        path, _, query = self.path.partition("?")
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": io.BytesIO()}
        head = []
        body = b"".join(target(environ, lambda status, headers: head.extend([status, headers])))
        self.send_response(int(head[0].split()[0]))
        for key, value in head[1]:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
APP = """
ANSWERS = {"/plaintext": ("200 OK", b"Hello, World!")}


def app(environ, start_response):
    status, body = ANSWERS.get(environ["PATH_INFO"], ("404 Not Found", b"not here"))
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
"""
LACKS = "".join(f'{route} = "left out of a small tree"\n' for route in ROUTES if route != "plaintext")
SCENARIO = '''"""One request."""

from gatebench.swarm import Expect, HttpUser, task

SCENARIO = {"version": 1, "title": "One request", "routes": ["plaintext"]}


class One(HttpUser):
    """Asks again and again."""

    @task
    def plaintext(self) -> None:
        """Ask."""
        self.client.get("/plaintext", expect=Expect(body=b"Hello, World!"))
'''
PLAN = """
title = "One"
stacks = ["hello+stdlib"]
blocks = 1
seed = 1
window_s = 0.5
warmup_slice_s = 0.1
warmup_limit_s = 0.3
[measures]
one = ["closed(4)"]
"""


def app(root: Path, name: str, *, code: str = APP, interface: str = "wsgi") -> None:
    """Add an app: one folder."""
    folder = root / "apps" / name
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(code, encoding="utf-8")
    (folder / "requirements.txt").write_text("", encoding="utf-8")
    declared = f'interface = "{interface}"\ntarget = "app:app"\n[lacks]\n{LACKS}'
    (folder / "app.toml").write_text(declared, encoding="utf-8")


def server(root: Path, name: str, *, code: str = LAUNCHER, interface: str = "wsgi", more: str = "") -> None:
    """Add a server: one file, with the launcher's code in it, and what comes after its settings."""
    folder = root / "compose" / "servers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(
        f'interface = "{interface}"\nrequirements = []\nprotocols = ["http/1.1"]\n'
        f'command = ["{{python}}", "-c", \'\'\'{code}\'\'\', "{{port}}", "{{target}}"]\n'.replace(
            code, code.replace("{", "{{").replace("}", "}}")
        )
        + "[settings]\nworkers = 1\npool_size = 1\nkeep_alive_s = 5\n"
        + more,
        encoding="utf-8",
    )


def front(root: Path, name: str, *, needs: Mapping[str, str]) -> None:
    """Add what stands in front of two stacks: one file, and the template of its configuration."""
    folder = root / "compose" / "fronts"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.conf").write_text("", encoding="utf-8")
    needed = "".join(f'{program} = "{package}"\n' for program, package in needs.items())
    (folder / f"{name}.toml").write_text(
        f'template = "{name}.conf"\n[settings]\nkeep_alive_s = 5\n[stages]\n1 = 0.5\n[needs]\n{needed}',
        encoding="utf-8",
    )


def scenario(root: Path, name: str, code: str = SCENARIO) -> None:
    """Add a scenario: one file."""
    (root / "scenarios" / "plans").mkdir(parents=True, exist_ok=True)
    (root / "scenarios" / f"{name}.py").write_text(code, encoding="utf-8")


def plan(root: Path, name: str, text: str = PLAN) -> None:
    """Add a plan: one file."""
    (root / "scenarios" / "plans").mkdir(parents=True, exist_ok=True)
    (root / "scenarios" / "plans" / f"{name}.toml").write_text(text, encoding="utf-8")


def small(root: Path) -> Path:
    """Make a whole tree: hello+stdlib on the scenario `one`, plan `flagship`."""
    app(root, "hello")
    server(root, "stdlib")
    scenario(root, "one")
    plan(root, "flagship")
    return root
