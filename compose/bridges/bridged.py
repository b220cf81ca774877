"""The app behind a bridge, by the target that the environment names. Knows nothing else."""

from __future__ import annotations

import importlib
import os
from typing import Any


def load() -> Any:
    """Import the app's module and give its attribute that GATEBENCH_TARGET names, such as "app:app"."""
    module, _, attribute = os.environ["GATEBENCH_TARGET"].partition(":")
    return getattr(importlib.import_module(module), attribute)
