"""Folders and TOML files to App, Server, Bridge, Service and Scenario.

Knows where declarations lie and what may stand in them; a name is its folder's or file's name. Must not know how
anything is started or measured. Every fault is a UsageError that names file, key, what was found, what is expected.
"""

from __future__ import annotations

from pathlib import Path

from gatebench.declare.app_folders import Work, apps, work
from gatebench.declare.own_folder import own
from gatebench.declare.scenario_files import scenarios
from gatebench.declare.server_files import bridges, fronts, servers
from gatebench.declare.service_files import services

__all__ = ["Work", "apps", "bridges", "fronts", "own", "requirements", "scenarios", "servers", "services", "work"]


def requirements(root: Path) -> list[str]:
    """List all that any stack or service requires, each line once, in order."""
    shared = work(root)
    axes = [*shared.axes.values()] if shared else []
    axes += [app.axes for app in apps(root).values()]
    choices = [choice.requirements for each in axes for values in each.values() for choice in values]
    found = [one.requirements for one in apps(root).values()]
    found += [one.requirements for one in servers(root).values()]
    found += [one.requirements for one in bridges(root).values()]
    found += [one.requirements for one in services(root).values()]
    return sorted({line for lines in (*found, *choices) for line in lines})
