"""Errors, one class for each who must act; every message is one sentence: what happened, where, what helps.

Knows exit codes. Must not know where an error comes from, nor print: only the command line prints.
"""

from __future__ import annotations


class GatebenchError(Exception):
    """The base of all errors a user may see; `exit_code` is what the command line ends with."""

    exit_code = 2


class UsageError(GatebenchError):
    """The user must act: a wrong name, a malformed declaration, an unreadable file."""

    exit_code = 2


class ContractError(GatebenchError):
    """The author of an app or a server must act: a route does not answer as apps/CONTRACT.md says."""

    exit_code = 1


class RegressionError(GatebenchError):
    """The author of a change must act: the gate found it slower than it may be, and fresh blocks said the same."""

    exit_code = 1


class UntrustedError(GatebenchError):
    """Nobody can be believed: no trial was valid, or the figures cannot decide."""

    exit_code = 3


class MachineError(GatebenchError):
    """The owner of the machine must act: a database, a port, a limit on open files, a server that dies."""

    exit_code = 4


class Interrupted(BaseException):
    """The user wants it to end, by Ctrl-C or a signal; no KeyboardInterrupt, which typer takes for its own."""

    exit_code = 130


def reason(error: OSError) -> str:
    """Say in the system's words what it refused; of several files that could not be copied, the first is told."""
    several = error.args[0] if error.args else None
    return str(several[0][-1]) if isinstance(several, list) and several else str(error)
