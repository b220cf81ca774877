"""The scenario of somebody's own app: its declared visits, as a Locust file of the same kind as those in scenarios/.

Knows how visits are spelled as a mix. Must not know how anything is started or measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from gatebench.errors import MachineError, UsageError
from gatebench.model import App, Scenario
from gatebench.toml import find

NAME = "own"
TEXT = '''"""The visits that {app}'s app.toml declares. Written by gatebench."""

from gatebench.swarm import EngineUser, Expect, Request


class Visitor(EngineUser):
    """Makes the visits at random, each as often as its weight says."""

    mix = (
{requests}
    )
'''


def check(app: App, taken: Collection[str], services: Mapping[str, object]) -> None:
    """Refuse an app that has another's name, under which it would be taken for that one, or an unknown service."""
    if app.name in taken:
        raise UsageError(
            f"app.toml: the app's name '{app.name}' is taken by what is here already; add a key 'name' with another."
        )
    for name in app.services:
        find("service (in app.toml)", name, services)
    if len(set(app.services)) != len(app.services):
        raise UsageError(f"app.toml: the key 'services' holds {[*app.services]!r}; expected each service once.")


def hint(app: App) -> str:
    """Say what may help where an app did not start: whether its module is there, and how it is seen to be up."""
    module = app.target.partition(":")[0].partition(".")[0]
    here = any(app.folder.glob(f"{module}.*")) or (app.folder / module).is_dir()
    missing = f"its folder holds no module '{module}', which its target names, and " if not here else ""
    return f"{missing}it is up when it answers GET {app.ready} with 200"


def scenario(app: App, folder: Path) -> Scenario:
    """Write the scenario of an app's visits under `folder`, named by its content."""
    requests = []
    for visit in app.visits:
        headers = {"Content-Type": visit.content_type} if visit.content_type else {}
        spelled = f"{visit.path!r}, method={visit.method!r}, headers={headers!r}, body={visit.body!r}"
        requests.append(f"        Request({spelled}, expect=Expect(status={visit.status}), weight={visit.weight!r}),")
    text = TEXT.format(app=app.name, requests="\n".join(requests))
    path = folder / f"own_{hashlib.sha256(text.encode()).hexdigest()[:12]}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"The visits of {app.name} cannot be written to {folder} ({error.strerror}).") from error
    return Scenario(
        name=NAME, path=path, version=1, title=f"The paths of {app.name}", routes=(), services=app.services
    )
