"""Finds the app that a launcher is to serve, by its target such as "app:app". Knows nothing else."""

from __future__ import annotations

import importlib
from typing import Any


def load(target: str) -> Any:
    """Import a module and give the attribute of it that the target names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
