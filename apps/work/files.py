"""The route `file`: where its bytes lie. Knows nothing else."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).parent / "file.bin"
