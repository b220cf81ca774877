"""Keeps a scenario's file name from standing for a library's: scenarios/json.py must not be what `import json` gives.

Plain `locust -f` puts the scenario's folder first on the import path while it loads it, and the scenario itself into
sys.modules under its bare name, for good. Knows the import system, and nothing of what is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


@contextmanager
def libraries_first() -> Iterator[None]:
    """Import as if the folder that is searched first were not there, and for good undo what names it has taken."""
    path = list(sys.path)
    folder = Path(path[0]).resolve()
    sys.path[:] = [entry for entry in path if Path(entry).resolve() != folder]
    try:
        for name, module in list(sys.modules.items()):
            origin = getattr(getattr(module, "__spec__", None), "origin", None)
            if origin is not None and "." not in name and Path(origin).resolve().parent == folder:
                _give_back(name)
        yield
    finally:
        sys.path[:] = path


def _give_back(name: str) -> None:
    """Load the library of that name, where there is one, in the place of the scenario."""
    genuine = PathFinder.find_spec(name, sys.path)
    if genuine is None or genuine.loader is None or not genuine.has_location:
        return
    module = sys.modules[name] = module_from_spec(genuine)
    genuine.loader.exec_module(module)
    for inner, loaded in list(sys.modules.items()):  # an import sets these only once, and has set them elsewhere
        if inner.startswith(f"{name}.") and inner.count(".") == 1:
            setattr(module, inner.partition(".")[2], loaded)
