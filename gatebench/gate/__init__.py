"""The gate: whether head is slower than base by more than it may be, told from a session's runs.

Pure judging: a file is judged just as it was live. Must not know how arms were made or measured, nor print.
"""

from gatebench.gate.alike import sameness
from gatebench.gate.beside import broken
from gatebench.gate.judging import decided, judge, ratios
from gatebench.gate.recorded import recorded
from gatebench.gate.sequence import AGAIN, CONFIRM, ERROR, GATE, LEAST, MARGINS, MOST, SHORT, errors, looks

__all__ = [
    "AGAIN",
    "CONFIRM",
    "ERROR",
    "GATE",
    "LEAST",
    "MARGINS",
    "MOST",
    "SHORT",
    "broken",
    "decided",
    "errors",
    "judge",
    "looks",
    "ratios",
    "recorded",
    "sameness",
]
