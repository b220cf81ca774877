"""Putting a page's files in their place.

Knows how a file is written whole. Must not know what stands in it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gatebench.errors import UsageError


def put(path: Path, text: str | bytes, *, option: str = "--out") -> None:
    """Write a file whole or not at all: beside its place first, then over it.

    `option` is what another folder is given with.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as beside:
            try:
                beside.write(text.encode("utf-8") if isinstance(text, str) else text)
                beside.close()
                Path(beside.name).chmod(0o644)
                Path(beside.name).replace(path)
            except OSError:
                Path(beside.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): give another folder with {option}.") from None


def put_copy(source: Path, path: Path) -> None:
    """Put a file's bytes elsewhere, whole or not at all; nothing where it lies there already."""
    if path.exists() and path.samefile(source):
        return
    put(path, source.read_bytes())
