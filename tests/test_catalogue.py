from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gatebench import catalogue
from gatebench.model import resolved
from gatebench.session import Tree
from gatebench.stacks import pairs


@pytest.fixture(scope="module")
def tree(root: Path) -> Tree:
    return Tree.load(root)


@pytest.fixture(scope="module")
def page(tree: Tree) -> str:
    return catalogue.markdown(tree.stacks, tree.services)


def test_the_page_of_stacks_is_what_is_declared(root: Path, page: str) -> None:
    """`gatebench list --markdown >docs/stacks.md` makes it anew."""
    assert (root / "docs" / "stacks.md").read_text(encoding="utf-8") == page


def test_every_stack_is_on_the_page_once_under_its_server(tree: Tree, page: str) -> None:
    sections = dict(re.findall(r"^## (\S+)$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    for stack in pairs(tree.stacks):
        said = re.findall(r"^Stacks: (.*)\.$", sections[stack.server.name], re.MULTILINE)
        assert said[0].split(", ").count(f"`{stack.name}`") == 1, stack.name
    named = re.findall(r"`([^`\[\]]+\+[^`\[\]]+)`", "".join(re.findall(r"^Stacks: .*$", page, re.MULTILINE)))
    assert sorted(named) == sorted(stack.name for stack in pairs(tree.stacks))


def test_every_app_axis_bridge_front_and_service_is_on_the_page(tree: Tree, page: str) -> None:
    stacks = tree.stacks
    for name in (*stacks.apps, *stacks.bridges, *tree.services):
        assert re.search(rf"^\| `{re.escape(name)}` \|", page, re.MULTILINE), name
    assert stacks.work is not None
    for axes in (*stacks.work.axes.values(), *(app.axes for app in stacks.apps.values())):
        for axis, choices in axes.items():
            values = "; ".join(rf"`{re.escape(choice.value)}`[^;|]*" for choice in choices)
            assert re.search(rf"\| `{axis}` \| {values} \|", page), axis
    for front in stacks.fronts.values():
        assert f"`{front.name}[asgi=STACK,stage=STAGE,wsgi=STACK]`" in page
        for stage, share in front.stages.items():
            assert f"| {stage} | {share:.0%} | {1 - share:.0%} |" in page


def test_what_cannot_run_is_told_with_the_reason(tree: Tree, page: str) -> None:
    cannot = [stack for stack in map(tree.stacks.one, tree.stacks) if stack.cannot]
    assert cannot
    for stack in cannot:
        assert f"| `{stack.name}` | {stack.cannot} |" in page


def test_every_setting_of_every_server_is_on_the_page(tree: Tree, page: str) -> None:
    sections = dict(re.findall(r"^## (\S+)$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    for server in tree.stacks.servers.values():
        for key, value in resolved(server.settings).items():
            shown = str(value).lower() if isinstance(value, bool) else value
            assert f"{key} {shown}" in sections[server.name], f"{server.name} {key}"


def test_a_bar_in_a_reason_does_not_end_its_cell(tree: Tree) -> None:
    app = replace(tree.stacks.apps["flask"], lacks={"ws": "either | or"})
    changed = replace(tree.stacks, apps={"flask": app})
    page = catalogue.markdown(changed, tree.services)
    (row,) = (line for line in page.splitlines() if line.startswith("| `flask` | WSGI"))
    assert r"`ws`: either \| or" in row


def test_the_page_is_the_same_whatever_this_machine_has(
    tree: Tree, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert catalogue.markdown(tree.stacks, tree.services) == page


def test_a_tree_without_work_bridges_and_fronts_has_its_page_too(tree: Tree) -> None:
    bare = replace(tree.stacks, work=None, bridges={}, fronts={})
    assert "`flask+gunicorn-sync`" in catalogue.markdown(bare, {})
