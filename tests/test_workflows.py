"""What another repository meets: the action and the workflow, and what they make of a verdict."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from repositories import commit, git
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCHEMAS = {ACTION: "vendor.github-actions", **dict.fromkeys(WORKFLOWS, "vendor.github-workflows")}

# ---- the files -----------------------------------------------------------------------------------------------------


def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def steps(document: Any) -> list[dict[str, Any]]:
    """Every step of an action or a workflow."""
    jobs = document.get("jobs", {}).values()
    return [step for job in (*jobs, document.get("runs", {})) for step in job.get("steps", ())]


def readme_workflow() -> str:
    """The workflow that the README gives to another repository."""
    fences = re.findall(
        r"^```yaml[^\n]*\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (found,) = [text for text in fences if "/gatebench@" in text]
    return str(found)


def own_steps(document: Any) -> list[dict[str, Any]]:
    """Those steps that use this repository's own action."""
    return [step for step in steps(document) if re.fullmatch(r"\./|.+/gatebench@.+", step.get("uses", ""))]


def schema_says(path: Path, schema: str) -> str | None:
    """What the schema that GitHub's editors use has against a file; None where that is nothing."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_action_and_workflows_keep_githubs_schema(path: Path) -> None:
    assert schema_says(path, SCHEMAS[path]) is None


def test_a_workflow_that_breaks_the_schema_is_seen(tmp_path: Path) -> None:
    text = WORKFLOWS[0].read_text("utf-8")
    (tmp_path / "gate.yml").write_text(text.replace("timeout-minutes", "timeout-hours"), encoding="utf-8")
    assert "timeout-hours" in (schema_says(tmp_path / "gate.yml", "vendor.github-workflows") or "")


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not on this machine")
def test_actionlint_has_nothing_against_the_workflows() -> None:
    done = subprocess.run(["actionlint", *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_readme_gates_another_repository_in_ten_lines(tmp_path: Path) -> None:
    text = readme_workflow()
    assert len(text.splitlines()) <= 10
    (tmp_path / "gate.yml").write_text(text, encoding="utf-8")
    assert schema_says(tmp_path / "gate.yml", "vendor.github-workflows") is None
    (step,) = own_steps(load(text))
    assert "app" in step["with"]


def test_every_use_of_the_action_names_inputs_and_outputs_that_it_has() -> None:
    action = load(ACTION.read_text("utf-8"))
    texts = [readme_workflow(), *(path.read_text("utf-8") for path in WORKFLOWS)]
    used = [step for text in texts for step in own_steps(load(text))]
    assert len(used) >= 3
    for step in used:
        assert set(step.get("with", {})) <= set(action["inputs"])
        wanted = {
            found for text in texts for found in re.findall(rf"steps\.{step.get('id')}\.outputs\.([\w-]+)", text)
        }
        assert wanted <= set(action["outputs"])


def test_the_action_reads_every_input_that_it_declares_and_no_other() -> None:
    text = ACTION.read_text("utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(load(text)["inputs"])


def test_a_job_that_may_write_runs_nothing_of_the_pull_requests() -> None:
    seen = 0
    for path in WORKFLOWS:
        document = load(path.read_text("utf-8"))
        for name, job in document["jobs"].items():
            if "write" not in job.get("permissions", document.get("permissions", {})).values():
                continue
            seen += 1
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["ref"] == "${{ github.event.pull_request.base.sha }}", f"{path.name}: {name}"
            assert own_steps({"jobs": {name: job}}) == []
    assert seen


def test_every_checkout_leaves_no_token_behind() -> None:
    texts = {"README.md": readme_workflow(), **{path.name: path.read_text("utf-8") for path in WORKFLOWS}}
    for name, text in texts.items():
        found = [step for step in steps(load(text)) if step.get("uses", "").startswith("actions/checkout@")]
        assert found, name
        assert all(step["with"]["persist-credentials"] is False for step in found), name


def test_nothing_that_a_pull_request_can_choose_is_put_into_a_shells_text() -> None:
    for path in SCHEMAS:
        for step in steps(load(path.read_text("utf-8"))):
            assert "${{" not in step.get("run", ""), f"{path.name}: {step.get('name')}"


def test_every_shell_step_and_script_can_be_read_by_bash() -> None:
    texts = {path.name: path.read_text("utf-8") for path in (ROOT / ".ci").iterdir() if path.is_file()}
    for path in SCHEMAS:
        found = [step for step in steps(load(path.read_text("utf-8"))) if "run" in step]
        assert found
        texts |= {f"{path.name}, {number}": step["run"] for number, step in enumerate(found)}
    for name, text in texts.items():
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr}"


# ---- the verdict over two runners ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "code", "said"),
    [
        ("pass", "", 0, ""),
        ("unsure", "", 0, "::warning"),
        ("fail", "pass", 0, "::warning"),
        ("fail", "unsure", 0, "::warning"),
        ("fail", "fail", 1, "::error"),
        ("fail", "error", 1, "::error"),
        ("fail", "", 1, "::error"),
        ("error", "", 1, "::error"),
        ("", "", 1, "::error"),
    ],
)
def test_a_fail_counts_where_a_second_runner_says_the_same_and_nothing_unmeasured_passes(
    first: str, second: str, code: int, said: str
) -> None:
    jobs = load((ROOT / ".github" / "workflows" / "gate.yml").read_text("utf-8"))["jobs"]
    (step,) = [step for step in jobs["verdict"]["steps"] if step.get("name") == "Verdict"]
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        env={**os.environ, "FIRST": first, "SECOND": second},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stdout.startswith(said)
    assert bool(done.stdout) == bool(said)


@pytest.mark.parametrize(
    ("verdict", "code", "fails", "ended"),
    [
        ("pass", "0", "true", 0),
        ("unsure", "3", "true", 0),
        ("fail", "1", "true", 1),
        ("fail", "1", "false", 0),
        ("error", "2", "false", 2),
        ("error", "4", "true", 4),
        ("error", "0", "true", 1),
        ("", "", "true", 1),
    ],
)
def test_the_action_ends_with_the_gates_exit_code_but_for_unsure(
    verdict: str, code: str, fails: str, ended: int
) -> None:
    (step,) = [step for step in steps(load(ACTION.read_text("utf-8"))) if step["name"] == "Verdict"]
    env = {**os.environ, "VERDICT": verdict, "CODE": code, "FAILS": fails}
    assert subprocess.run(["bash", "-e", "-c", step["run"]], env=env, check=False).returncode == ended


# ---- this project's own, in CI -------------------------------------------------------------------------------------


@pytest.mark.parametrize("repository", [False, True])
def test_cis_own_gate_says_why_there_is_none_where_there_is_no_commit_before(
    tmp_path: Path, repository: bool
) -> None:
    if repository:
        git(tmp_path, "init")
        commit(tmp_path, "the first")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". {ROOT / '.ci' / 'gate'}"],
        cwd=tmp_path,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ci: no gate: ")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_cis_own_gate_tells_what_the_gate_ended_with_and_fails_nothing(tmp_path: Path, code: int) -> None:
    git(tmp_path, "init")
    before = commit(tmp_path, "the first")
    commit(tmp_path, "the last")
    program = tmp_path / ".venv" / "bin" / "gatebench"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n', encoding="utf-8")
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". {ROOT / '.ci' / 'gate'}; echo passed"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    asked, told, passed = done.stdout.splitlines()
    assert asked.startswith(f"gate --base {before} --head . ")
    assert (f"ended with {code};" in told, passed, done.returncode) == (True, "passed", 0)
