import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebench import records, store
from gatebench.errors import MachineError, UsageError
from gatebench.model import Capability, Connects, Part, Run, Session, Setting, Step, Usage

SMALL = sessions.session(measures=("plain closed(64)", "websocket hold(2000)"), blocks=2)
PACED = sessions.session(measures=("plain open(500)", "plain poisson(500)", "db search(50ms)"), blocks=1)
DOCUMENT = Path(__file__).parent.parent / "docs" / "results.md"

Lines = list[dict[str, Any]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return sessions.write(tmp_path, SMALL)


def lines_of(file: Path) -> Lines:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def changed(file: Path, change: Callable[[Lines], object]) -> Path:
    """The file with its lines, as JSON values, changed."""
    lines = lines_of(file)
    change(lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def test_a_session_that_is_written_and_read_is_the_same_session(file: Path) -> None:
    assert store.read(file) == SMALL


def test_figures_of_loads_that_a_clock_paces_come_back_as_they_were(tmp_path: Path) -> None:
    read = store.read(sessions.write(tmp_path, PACED))
    assert read == PACED
    assert {len(run.search_steps) for run in read.runs if run.load == "search(50ms)"} == {2}


def test_a_file_from_before_there_were_arrivals_is_read_and_says_that_they_are_missing(file: Path) -> None:
    new = ("arrivals_due", "arrivals_ended", "arrivals_overrun", "arrivals_unanswered", "service", "search_steps")
    lags = ("generator_send_lag_s", "generator_loop_lag_s")

    def strip(lines: Lines) -> None:
        del lines[0]["ceilings"]["websocket"]
        for line in lines[1:-1]:
            for name in (*new, *lags):
                del line[name]

    read = store.read(changed(file, strip))
    assert read.notices == ()
    assert read.runs == SMALL.runs
    assert read.ceilings.keys() == {"keep-alive", "close"}
    assert {getattr(run, name) for run in read.runs for name in (*new, *lags)} == {None, ()}


def test_a_file_from_before_plans_had_parts_is_read_as_a_plan_of_one(file: Path) -> None:
    def undivide(lines: Lines) -> None:
        plan = lines[0]["plan"]
        (part,) = plan.pop("parts")
        del part["name"], part["title"], part["stage"], part["knock"]
        plan.update(part, profile="matched")
        for line in lines[1:-1]:
            del line["part"]

    read = store.read(changed(file, undivide))
    assert read.notices == ()
    assert (read.plan, read.runs) == (SMALL.plan, SMALL.runs)


def killed(file: Path, trials: int) -> Path:
    """The file as a kill leaves it in the middle of a line, after so many trials."""
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[: 1 + trials]) + lines[1 + trials][:40])
    return file


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_a_session_that_ended_early_goes_on_in_its_file(file: Path, tmp_path: Path, how: str) -> None:
    path = killed(file, 3)
    if how == "interrupted":
        path = tmp_path / "other.jsonl"
        with store.Writer.new(path, SMALL) as writer:
            for run in SMALL.runs[:3]:
                writer.add(run)
            writer.end(ended_at="2026-01-31T12:00:30Z", interrupted=True)
    assert store.read(path).runs == SMALL.runs[:3]
    with store.Writer.again(path, at="2026-01-31T13:00:00Z", commit="0123456789ab") as writer:
        for run in SMALL.runs[3:]:
            writer.add(run)
        writer.end(ended_at="2026-01-31T13:01:00Z", interrupted=False)
    read = store.read(path)
    assert (read.runs, read.notices, read.interrupted) == (SMALL.runs, (), False)
    assert read.resumed == ("2026-01-31T13:00:00Z, commit 0123456789ab",)


@pytest.mark.parametrize("trials", [0, 3])
def test_a_last_line_that_lacks_only_its_line_feed_is_kept(file: Path, trials: int) -> None:
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join(lines[: 1 + trials]))
    with store.Writer.again(file, at="2026-01-31T13:00:00Z", commit=None) as writer:
        writer.add(SMALL.runs[trials])
    assert store.read(file).runs == SMALL.runs[: trials + 1]


def test_a_file_that_a_session_writes_is_written_by_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with store.Writer.new(path, SMALL) as writer:
        writer.add(SMALL.runs[0])
        before = path.read_bytes()
        with pytest.raises(UsageError, match="is being written by a session that goes on"):
            store.Writer.again(path, at="2026-01-31T13:00:00Z", commit=None)
        assert path.read_bytes() == before


def test_nothing_follows_the_end_of_a_whole_session(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b'{"kind":"resumed","at":"2026-01-31T13:00:00Z"}\n')
    with pytest.raises(UsageError, match="kind is 'resumed', expected no line after the end"):
        store.read(file)


def test_the_same_session_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (sessions.write(tmp_path / name, SMALL).read_bytes() for name in ("a", "b"))
    assert first == second


def test_settings_of_every_plain_type_come_back_as_they_were(tmp_path: Path) -> None:
    mixed: dict[str, dict[str, dict[str, Setting]]] = {
        "s": {"settings": {"a": 1, "b": 1.0, "c": True, "d": "1", "e": -1}}
    }
    whole = dataclasses.replace(SMALL, stacks=mixed)
    read = store.read(sessions.write(tmp_path, whole)).stacks["s"]["settings"]
    assert [(value, type(value)) for value in read.values()] == [
        (1, int),
        (1.0, float),
        (True, bool),
        ("1", str),
        (-1, int),
    ]


def test_results_are_never_written_over(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        store.Writer.new(file, SMALL)
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"):
        store.Writer.new(tmp_path / "taken" / "x.jsonl", SMALL)


def test_a_session_that_could_not_be_read_again_is_not_begun(tmp_path: Path) -> None:
    wrong = dataclasses.replace(SMALL, machine=dataclasses.replace(SMALL.machine, open_files=-1))
    with pytest.raises(UsageError, match=r"machine\.open_files is -1"):
        store.Writer.new(tmp_path / "x.jsonl", wrong)
    assert not list(tmp_path.iterdir())


def test_each_trial_is_in_the_file_when_add_returns(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with store.Writer.new(path, SMALL) as writer:
        for made, run in enumerate(SMALL.runs, start=1):
            writer.add(run)
            assert len(path.read_bytes().splitlines()) == 1 + made


def test_half_a_character_in_a_log_does_not_cost_the_trial(tmp_path: Path) -> None:
    runs = (dataclasses.replace(SMALL.runs[0], log="broken \udcff here"),)
    assert store.read(sessions.write(tmp_path, dataclasses.replace(SMALL, runs=runs))).runs[0].log == "broken ? here"


def test_after_a_kill_the_runs_are_used_and_the_missing_end_is_told(tmp_path: Path) -> None:
    read = store.read(sessions.write(tmp_path, dataclasses.replace(SMALL, ended_at=None)))
    assert read.runs == SMALL.runs
    assert read.ended_at is None
    assert ["no last line" in notice for notice in read.notices] == [True]


def test_an_interrupted_session_says_so(tmp_path: Path) -> None:
    assert store.read(sessions.write(tmp_path, dataclasses.replace(SMALL, interrupted=True))).interrupted


@given(cut=st.integers(min_value=1, max_value=400))
@settings(max_examples=40, deadline=None)
def test_a_last_line_cut_anywhere_is_told_and_the_rest_is_used(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    file = sessions.write(tmp_path_factory.mktemp("cut"), dataclasses.replace(SMALL, ended_at=None))
    file.write_bytes(file.read_bytes()[:-1][:-cut])
    read = store.read(file)
    assert read.runs == SMALL.runs[:-1]
    assert f"Line {1 + len(SMALL.runs)} is cut short" in read.notices[0]


def test_a_whole_last_line_counts_though_its_line_feed_is_missing(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    assert store.read(file) == SMALL


def test_a_malformed_line_in_the_middle_is_refused_with_its_number(file: Path) -> None:
    text = file.read_text(encoding="utf-8").splitlines()
    text[2] = text[2][:-20]
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 3: this is no JSON object"):
        store.read(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line[:-20], "at character"),
        (lambda line: line.replace('"elapsed_s":', '"elapsed_s":NaN,"was":'), "NaN is no number"),
        (lambda line: line.replace('"elapsed_s":', '"elapsed_s":' + "9" * 5000 + ',"was":'), "4300 digits"),
        (lambda line: line.replace('"elapsed_s":', '"elapsed_s":1,"elapsed_s":'), "a key is there twice"),
        (lambda line: "[" * 100_000, "it is nested too deep"),
    ],
)
def test_what_helps_with_a_bad_line_is_never_to_mend_or_delete_results(
    file: Path, change: Callable[[str], str], said: str
) -> None:
    text = file.read_text(encoding="utf-8").splitlines()
    text[2] = change(text[2])
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        store.read(file)
    message = str(caught.value)
    assert said in message
    assert message.endswith("take the file anew from where it was measured, or measure again.")
    assert "delete" not in message
    assert "sys." not in message


@pytest.mark.parametrize("hidden", ["\x1b[31m", "\u202e", "\x9b2J", "\u2028", "\x07"])
def test_what_a_terminal_would_obey_or_a_reader_not_see_is_in_no_text_that_was_read(
    tmp_path: Path, hidden: str
) -> None:
    machine = dataclasses.replace(SMALL.machine, cpu=f"a{hidden}b")
    run = dataclasses.replace(
        SMALL.runs[0], reason=f"a{hidden}b", error_reasons={f"a{hidden}b": 1}, log=f"1\n2{hidden}"
    )
    made = dataclasses.replace(SMALL, machine=machine, stacks={f"a{hidden}b": {}}, runs=(run,))
    read = store.read(sessions.write(tmp_path, made))
    texts = [read.machine.cpu, *read.stacks, read.runs[0].reason, *read.runs[0].error_reasons]
    texts += str(read.runs[0].log).split("\n")
    assert len(texts) == 6
    for text in texts:
        assert text is not None
        assert text.isprintable()
        assert hidden not in text
    assert read.machine.cpu[0] + read.machine.cpu[-1] == "ab"


def test_a_log_keeps_its_lines_and_a_name_is_one_line(tmp_path: Path) -> None:
    runs = (dataclasses.replace(SMALL.runs[0], log="one\n\ttwo"),)
    commit = dataclasses.replace(SMALL, commit="1a2b\n::error::", runs=runs)
    read = store.read(sessions.write(tmp_path, commit))
    assert read.runs[0].log == "one\n\ttwo"
    assert "\n" not in str(read.commit)


def test_names_that_look_alike_without_what_cannot_be_seen_are_refused(tmp_path: Path) -> None:
    made = dataclasses.replace(SMALL, ceilings={"close\x1b": 1.0, "close\x07": 2.0})
    with pytest.raises(UsageError, match="ceilings is dict, expected names that differ in what can be seen"):
        sessions.write(tmp_path, made)


def test_a_field_nobody_knows_is_named_without_what_a_terminal_would_obey(file: Path) -> None:
    read = store.read(changed(file, lambda lines: lines[1].update({"moon\x1b[2J": 1})))
    assert "\x1b" not in read.notices[0]
    assert "moon" in read.notices[0]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match="is empty"):
        store.read(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"PK\x03\x04\n",
        b"[]\n",
        b"null\n",
        b'"text"\n',
        b"[" * 100_000,
        b'{"kind": "session"',
        b"1" * 9999,
    ],
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=r"line 1: "):
        store.read(tmp_path / "x.jsonl")


def test_a_missing_file_or_a_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            store.read(path)


def test_a_newer_format_is_refused_before_anything_else_of_it_is_read(file: Path) -> None:
    def newer(lines: Lines) -> None:
        lines[0] = {"kind": "session", "format_version": store.FORMAT_VERSION + 1, "all": "different"}

    with pytest.raises(UsageError, match="newer gatebench wrote this file"):
        store.read(changed(file, newer))


def test_a_field_that_is_not_known_is_left_out_and_told(file: Path) -> None:
    def add(lines: Lines) -> None:
        lines[1]["phase_of_the_moon"] = 0.5
        lines[3]["server"]["dreams"] = 1

    read = store.read(changed(file, add))
    assert read.runs == SMALL.runs
    assert "phase_of_the_moon (line 2), server.dreams (line 4)" in read.notices[0]


def test_what_only_the_reader_may_say_is_not_taken_from_a_header(file: Path) -> None:
    read = store.read(
        changed(file, lambda lines: lines[0].update(notices=["all is well"], runs=[{}], interrupted=True))
    )
    assert (read.runs, read.interrupted) == (SMALL.runs, False)
    assert "all is well" not in read.notices


BAD_HEADERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no version": (lambda header: header.pop("format_version"), "format_version is None"),
    "version as text": (lambda header: header.update(format_version="1"), "format_version is '1'"),
    "version as truth": (lambda header: header.update(format_version=True), "format_version is True"),
    "version zero": (lambda header: header.update(format_version=0), "format_version is 0"),
    "no plan": (lambda header: header.pop("plan"), "plan is nothing, expected a value"),
    "plan as list": (lambda header: header.update(plan=[]), "plan is list, expected an object"),
    "blocks as text": (
        lambda header: header["plan"]["parts"][0].update(blocks="six"),
        "plan.parts[0].blocks is 'six', expected a whole number",
    ),
    "load of no kind": (
        lambda header: header["plan"]["parts"][0]["measures"][0].update(load="wild(3)"),
        "plan.parts[0].measures[0].load",
    ),
    "setting as list": (lambda header: header.update(services={"a": {"b": []}}), "services.a.b is list"),
    "ceiling as text": (
        lambda header: header.update(ceilings={"close": "1"}),
        "ceilings.close is '1', expected a number",
    ),
    "no time": (lambda header: header.update(started_at="yesterday"), "started_at is 'yesterday'"),
    "time without a zone": (lambda header: header.update(started_at="2026-01-31T12:00:00"), "a time with its zone"),
    "another kind": (lambda header: header.update(kind="run"), "kind is 'run', expected session"),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_bad_header_is_refused_with_key_and_what_is_expected(file: Path, name: str) -> None:
    change, said = BAD_HEADERS[name]
    with pytest.raises(UsageError) as caught:
        store.read(changed(file, lambda lines: change(lines[0])))
    assert f"{file}, line 1: " in str(caught.value)
    assert said in str(caught.value)


BAD_RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "negative count": ({"requests": -1}, "requests is -1, expected a whole number from 0"),
    "negative time": ({"window_s": -0.5}, "window_s is -0.5"),
    "huge count": ({"requests": 10**400}, "expected a whole number from 0 to 1.84467e+19"),
    "huge time": ({"window_s": 1e300}, "window_s is 1e+300"),
    "huge whole number as a time": ({"window_s": 10**400}, "expected a number from 0"),
    "fraction of a count": ({"requests": 1.5}, "requests is 1.5, expected a whole number"),
    "truth as count": ({"requests": True}, "requests is True, expected a whole number"),
    "text as number": ({"elapsed_s": "6"}, "elapsed_s is '6', expected a number"),
    "null where it may not be": ({"number": None}, "number is None, expected a whole number"),
    "number as text": ({"stack": 3}, "stack is 3, expected text"),
    "status of no kind": ({"status": "fine"}, "status is 'fine', expected one of ok, void, failed"),
    "status as list": ({"status": ["ok"]}, "status is list, expected one of"),
    "interface of no kind": ({"interface": "cgi"}, "interface is 'cgi', expected one of wsgi, asgi"),
    "load of no kind": ({"load": "closed(0)"}, "load is 'closed(0)', expected a load such as closed(64)"),
    "histogram of other bits": ({"response": {"bits": 3}}, "response is dict, expected a histogram"),
    "histogram as list": ({"response": [1, 2]}, "response is list, expected a histogram"),
    "placement of text": ({"placement": {"server": ["3"]}}, "placement.server[0] is '3'"),
    "reasons as list": ({"error_reasons": []}, "error_reasons is list, expected an object"),
    "step without a rate": ({"search_steps": [{"p99_s": 1.0}]}, "search_steps[0].rate_rps is nothing"),
    "step as number": ({"search_steps": [500]}, "search_steps[0] is 500, expected an object"),
    "steps as null": ({"search_steps": None}, "search_steps is None, expected a list"),
    "negative arrivals": ({"arrivals_due": -1}, "arrivals_due is -1, expected a whole number"),
    "another session": ({"session": "other"}, "session is 'other'"),
    "a part of another plan": ({"part": "other"}, "part is 'other', expected a part of the plan: "),
    "a load of no part": ({"load": "closed(3)"}, "closed(3)', expected a scenario and load of the part "),
    "a stack of no part": ({"stack": "other"}, "stack is 'other', expected a stack of the part "),
    "another backend": ({"backend": "container"}, "backend is 'container'"),
    "half a character": ({"reason": "\udcff"}, "text without half characters"),
    "another header": ({"kind": "session"}, "kind is 'session', expected run, end or resumed"),
}


@pytest.mark.parametrize("name", BAD_RUNS)
def test_a_bad_run_is_refused_with_line_key_and_what_is_expected(file: Path, name: str) -> None:
    change, said = BAD_RUNS[name]
    with pytest.raises(UsageError) as caught:
        store.read(changed(file, lambda lines: lines[2].update(change)))
    message = str(caught.value)
    assert f"{file}, line 3: " in message
    assert said in message
    assert len(message) < 500 + len(str(file))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(file: Path, number: str) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"warmup_s":1.2', f'"warmup_s":{number}', 1), encoding="utf-8")
    with pytest.raises(UsageError, match="line 2: "):
        store.read(file)


def test_a_key_that_is_there_twice_is_refused(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"status":"ok"', '"status":"void","status":"ok"', 1), encoding="utf-8")
    with pytest.raises(UsageError, match="a key is there twice"):
        store.read(file)


def test_a_cell_measured_twice_in_a_block_is_refused_since_pairs_are_made_by_block(file: Path) -> None:
    with pytest.raises(UsageError, match=r"line \d+: block is .*line 2 has this one already"):
        store.read(changed(file, lambda lines: lines.insert(4, lines[1])))


def test_two_versions_of_a_scenario_are_not_mixed(file: Path) -> None:
    with pytest.raises(UsageError, match=r"scenario_version is 2, expected 1"):
        store.read(changed(file, lambda lines: [line.update(scenario_version=2) for line in lines[5:-1]]))


def test_nothing_may_follow_the_end(file: Path) -> None:
    with pytest.raises(UsageError, match="no line after the end"):
        store.read(changed(file, lambda lines: lines.append(lines[1])))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data(), value=json_values)
@settings(max_examples=250, deadline=None)
def test_whatever_stands_in_a_field_it_is_read_or_refused_and_never_a_crash(data: st.DataObject, value: Any) -> None:
    header = records.encode(SMALL, without=store.NOT_IN_HEADER)
    runs = [records.encode(run) for run in SMALL.runs[:2]]
    target = data.draw(st.sampled_from([header, header["plan"], header["machine"], *runs, runs[0]["server"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = value
    lines = [{"kind": "session", **header}, *({"kind": "run", **run} for run in runs)]
    reading = store._Reading(path=Path("x"))
    with contextlib.suppress(UsageError):
        for number, line in enumerate(lines, start=1):
            reading.take(number, json.dumps(line).encode("utf-8", "surrogatepass"), whole=True)
        assert isinstance(reading.session(), Session)


def test_every_field_is_documented_in_the_part_it_belongs_to() -> None:
    header, _, rest = DOCUMENT.read_text(encoding="utf-8").partition("\n## A run\n")
    run, _, rest = rest.partition("### A step of a search")
    step, _, rest = rest.partition("### Fresh connections")
    connects, _, rest = rest.partition("### A protocol")
    capability, _, usage = rest.partition("### What a party used")
    header, _, rest = header.partition("### A part of a plan")
    part, _, _ = rest.partition("### `machine`")
    expected = {
        header: store.header_fields(),
        run: records.names_of(Run),
        step: records.names_of(Step),
        connects: records.names_of(Connects),
        capability: records.names_of(Capability),
        part: records.names_of(Part),
        usage: records.names_of(Usage),
    }
    for text, names in expected.items():
        table = " ".join(re.findall(r"^\|([^|]*)\|", text, flags=re.MULTILINE))
        assert set(names) <= set(re.findall(r"`(\w+)`", table))


def test_the_documented_example_loads(tmp_path: Path) -> None:
    found = re.search(r"```jsonl\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None
    (tmp_path / "example.jsonl").write_text(found[1], encoding="utf-8")
    read = store.read(tmp_path / "example.jsonl")
    assert (len(read.runs), read.notices) == (1, ())


def test_a_full_disk_is_told_in_a_sentence_and_never_as_a_traceback(tmp_path: Path) -> None:
    """What a full disk does: nothing more can be written, and what is still to be written fails again at the end."""
    writer = store.Writer.new(tmp_path / "s.jsonl", SMALL)
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), writer._file.fileno())
    with pytest.raises(MachineError, match="make room"), writer:
        writer.add(SMALL.runs[0])
