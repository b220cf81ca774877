"""The tidy DataFrame, and the page that shows what to do with it."""

import re
from dataclasses import replace
from pathlib import Path

import gates
import pytest
import sessions
from pandas.api.types import is_object_dtype

import gatebench
from gatebench.errors import UsageError
from gatebench.model import Run

FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_trial_is_a_row_that_says_of_which_session_it_is(tmp_path: Path) -> None:
    session = sessions.session(blocks=2, spoil=lambda run: sessions.make_void(run) if run.block else run)
    frame = gatebench.load(sessions.write(tmp_path, session))
    assert len(frame) == len(session.runs)
    assert set(frame["session"]) == {session.name}
    assert set(frame["machine"]) == {session.machine.identity}
    assert dict(frame["status"].value_counts()) == {"ok": len(frame) // 2, "void": len(frame) // 2}


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        session = sessions.session(blocks=1)
        runs = tuple(replace(run, session=name) for run in session.runs)
        sessions.write(tmp_path, replace(session, name=name, runs=runs))
    frame = gatebench.load(str(tmp_path))
    assert sorted(set(frame["session"])) == ["a", "b"]
    assert list(frame.index) == list(range(len(frame)))


def test_trials_of_a_gate_are_told_from_those_of_sessions(tmp_path: Path) -> None:
    sessions.write(tmp_path, sessions.session(blocks=2))
    gate = gates.gate_session(gates.flat(0.0, 4))
    sessions.write(tmp_path, gate)
    frame = gatebench.load(tmp_path)
    of_gate = frame[frame["arm"].notna()]
    assert set(of_gate["session"]) == {gate.name}
    assert {"base", "head"} <= set(of_gate["arm"])
    assert len(of_gate) == len(gate.runs)


def test_a_figure_is_a_number_and_a_text_a_text_even_where_all_of_it_is_missing(tmp_path: Path) -> None:
    def measure_nothing(run: Run) -> Run:
        return replace(run, connections_kept=None, response=None, generator_send_lag_s=None, requests=None)

    frame = gatebench.load(sessions.write(tmp_path, sessions.session(blocks=1, spoil=measure_nothing)))
    for name in ("connections", "response_p99_s", "generator_send_lag_s", "requests", "rate_rps"):
        assert frame[name].dtype == "float64", name
        assert frame[name].isna().all()
    assert not [name for name, kind in frame.dtypes.items() if is_object_dtype(kind)]
    assert frame["reason"].isna().all()
    assert frame["reason"].dtype == frame["stack"].dtype


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no results file; `gatebench run` makes some"):
        gatebench.load(tmp_path)


def test_the_notebook_page_answers_its_questions(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    blocks = FENCE.findall((root / "docs" / "notebook.md").read_text(encoding="utf-8"))
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/notebook.md", "exec"), names)
    said = capsys.readouterr().out
    assert "rate_rps" in said
    assert "50%" in said
    assert "generator_ceiling_share" in said
    assert "nan" not in said.lower()
