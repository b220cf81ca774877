"""A made-up session that has every part of every plan: what each row of the published comparison needs."""

from __future__ import annotations

from dataclasses import replace

import sessions
from sessions import FASTAPI, GTHREAD, SYNC, Truth, part

from gatebench.model import Answer, Part, Run, Session

GEVENT, HYPERCORN = "flask+gunicorn-gevent", "fastapi+hypercorn"
WIDE = "flask+gunicorn-gthread[threads=1000]"
TWO, FOUR = f"{SYNC}[workers=2]", f"{SYNC}[workers=4]"
DEF = f"{FASTAPI}[views=def]"
BRIDGED = "flask+uvicorn[bridge=a2wsgi]"
UNBRIDGED = "flask+uvicorn[bridge=asgiref]"
STAGES = tuple(f"nginx[asgi={FASTAPI},stage={stage},wsgi={GTHREAD}]" for stage in range(1, 6))
PROFILED = (f"{SYNC}@default", GTHREAD, f"{GTHREAD}@tuned", f"{FASTAPI}@default", FASTAPI, f"{FASTAPI}@tuned")
WSGI_SERVERS = ("gunicorn-gthread", "uwsgi", "mod_wsgi", "waitress")
ASGI_SERVERS = ("uvicorn", "hypercorn", "daphne")
RAW = tuple(f"raw_wsgi+{each}" for each in WSGI_SERVERS) + tuple(f"raw_asgi+{each}" for each in ASGI_SERVERS)
WSGI_FRAMEWORKS = ("flask", "django", "pyramid", "bottle", "cherrypy")
ASGI_FRAMEWORKS = ("fastapi", "starlette", "django_asgi", "channels", "quart", "sanic")
FRAMEWORKS = tuple(f"{each}+gunicorn-gthread" for each in WSGI_FRAMEWORKS) + tuple(
    f"{each}+uvicorn" for each in ASGI_FRAMEWORKS
)
LADDER = ("raw_wsgi+gunicorn-gthread", "werkzeug+gunicorn-gthread", GTHREAD, "raw_asgi+uvicorn", "starlette+uvicorn")
LADDERS = {
    server: tuple(f"{app}+{server}" for app in ("raw_wsgi", "werkzeug", "flask"))
    for server in ("gunicorn-sync", "bjoern")
}
SWAPS = (GTHREAD, BRIDGED, "fastapi+gunicorn-gthread[bridge=a2wsgi]", FASTAPI)
SIZES = (1, 4, 16, 64, 100, 256, 1000, 2000)
HELD = {"idle": "idle", "sse": "push", "ws": "websocket"}


def parts(blocks: int = 6) -> list[Part]:
    """Give the parts of all plans, in little."""
    found = [
        part("flagship", blocks=blocks),
        part(
            "profiles.headline", PROFILED, ("plain closed(64)", "db closed(64)", "external closed(64)"), blocks=blocks
        ),
        part("websockets.kept", (GTHREAD, GEVENT, FASTAPI, HYPERCORN), ("websocket hold(20000)",), blocks=3),
        part("protocols.spoken", (*RAW, GTHREAD, FASTAPI), ("plain speak(1)",), blocks=1),
        part("rules.one_at_a_time", (SYNC, TWO, FOUR), ("wait closed(16)",), blocks=blocks),
        part(
            "rules.concurrency", (SYNC, GTHREAD, FASTAPI), [f"wait closed({size})" for size in SIZES], blocks=blocks
        ),
        part("rules.cpu", (SYNC, GTHREAD, FASTAPI), ("cpu closed(16)",), blocks=blocks),
        part("rules.cpu_beside", (SYNC, GTHREAD, FASTAPI), ("cpu closed(16)",), blocks=blocks, knock=True),
        part("rules.model_beside", (GTHREAD, FASTAPI), ("model closed(16)",), blocks=blocks, knock=True),
        part("utilisation.offered", (GTHREAD, FASTAPI), ("db open(50)", "db open(100)"), blocks=blocks),
        part("rules.push", (WIDE, GEVENT, FASTAPI), ("push hold(1000)",), blocks=blocks),
        part("migration.stages", STAGES, ("mixed closed(64)",), blocks=blocks),
        part("migration.bridges", (BRIDGED, UNBRIDGED, FASTAPI), ("plain closed(64)",), blocks=blocks),
        part("migration.views", (GTHREAD, DEF, FASTAPI), ("db closed(64)",), blocks=blocks),
        part("servers.order", RAW, ("plain closed(64)",), blocks=blocks),
        part("servers.frameworks", FRAMEWORKS, ("plain closed(64)",), blocks=blocks),
        *(part(f"ladders.{name}", stacks, ("plain closed(64)",), blocks=blocks) for name, stacks in LADDERS.items()),
        part("attribution.ladder", (*LADDER, FASTAPI), ("plain closed(64)", "db closed(64)"), blocks=blocks),
        part("attribution.swaps", SWAPS, ("plain closed(64)",), blocks=blocks),
    ]
    for name in ("templates", "crud", "model"):
        scenario = {"templates": "template"}.get(name, name)
        loads = [f"{scenario} closed({size})" for size in (1, 16, 64)]
        found.append(part(f"rules.{name}", (GTHREAD, FASTAPI), loads, blocks=blocks))
    for size in (1000, 10000):
        waiting = (f"{GTHREAD}[threads={size}]", GEVENT, FASTAPI)
        found.append(part(f"connections.waiting_{size}", waiting, (f"wait_2s closed({size})",), blocks=3, knock=True))
        for kind, scenario in HELD.items():
            name = f"connections.{kind}_{size}"
            found.append(part(name, waiting, (f"{scenario} hold({size})",), blocks=3, knock=True))
    for name, scenario, stacks in (
        ("database", "db", (f"{GTHREAD}[db=psycopg2]", f"{GTHREAD}[db=pymysql]", FASTAPI, f"{FASTAPI}[db=aiomysql]")),
        ("http", "external", (GTHREAD, FASTAPI, f"{FASTAPI}[http=aiohttp]")),
        ("redis", "redis", (GTHREAD, FASTAPI)),
        ("files", "file", (GTHREAD, FASTAPI)),
    ):
        found.append(part(f"migration.{name}", stacks, (f"{scenario} closed(64)",), blocks=blocks))
    return [replace(each, title=f"The part {each.name}") for each in found]


def truth() -> Truth:
    """Say how fast things are where a row hangs on it."""
    return Truth(
        rate=_rate, kept=lambda stack, scenario, size: size if stack != SYNC else None, speaks=_speaks, noise=0.2
    )


def session(**changes: object) -> Session:
    """Make the session up; asgiref's bridge is void, so that something is."""

    def spoil(run: Run) -> Run:
        if run.stack == UNBRIDGED:
            return sessions.make_void(run)
        app = run.stack.split("+")[0]
        if app in ("django_asgi", "channels", "quart", "sanic"):
            return replace(run, interface="asgi")
        if run.scenario == "wait_2s" and "threads=" in run.stack:
            return replace(run, server=replace(run.server, threads=int(run.load[7:-1]) + 1))
        return run

    return sessions.session(**{"parts": parts(), "truth": truth(), "spoil": spoil, **changes})  # type: ignore[arg-type]


def _rate(stack: str, scenario: str, size: int) -> float | None:
    at_once = {SYNC: 1, TWO: 2, FOUR: 4, GTHREAD: 16}.get(stack, 2000)
    faster = stack.startswith("fastapi") and size > 1
    by_scenario = {
        "wait": min(size, at_once) / 0.1,
        "wait_2s": size / 2,
        "cpu": 400,
        "template": 400,
        "crud": 400,
        "model": 800 if faster else 400,
    }
    if stack.startswith("raw_"):
        return dict(zip(RAW, (2000, 4000, 1000, 1500, 9000, 3000, 5000), strict=True)).get(stack, 2500)
    if scenario == "external" and stack.endswith("@tuned"):
        return 3000 if faster else 300
    return by_scenario.get(scenario)


def _speaks(stack: str) -> dict[str, Answer]:
    server = stack.split("+")[1]
    sse: Answer = "yes"
    return {
        "http/1.0": "yes",
        "http/1.1": "yes",
        "h2": "yes" if server in ("hypercorn", "daphne") else "no",
        "h3": "yes" if server == "hypercorn" else "no",
        "websocket": "untried" if stack.startswith("raw_wsgi") else "yes",
        "sse": sse,
    }
