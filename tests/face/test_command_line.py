"""The command line: what it prints and writes, and how it ends, with runs that are given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import postlab.run
from postlab.batch import expand, outcomes, run_one
from postlab.cli import app
from postlab.errors import NotStarted, Problem, RunError, ScenarioError, Unsupported
from reports.outcome import Dialogue, Outcome, Report


@pytest.fixture(autouse=True)
def given_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that need no world: what comes of a file hangs on its name."""

    def run_file(path: Path, *, seed: int = 0, config: object = None) -> Report:
        match path.stem:
            case "wrong":
                raise ScenarioError((Problem(str(path), 3, "untill", "unknown key"),))
            case "tls":
                raise Unsupported("TLS")
            case "stuck":
                raise RunError("does not come to rest")
            case "dead":
                raise NotStarted("the mail system does not start; its log:\n  fatal: no")
            case "defect":
                raise ZeroDivisionError("oops")
        client = Dialogue("198.51.100.7", [f"S: 220 seed {seed}"])
        report = Report(str(path), f"title of {path.stem}", Outcome(clients=[client]), seed)
        report.doubts = ["a program is missing"] if path.stem == "doubtful" else []
        report.unheeded = ["a_setting has no effect yet"] if path.stem == "unheeded" else []
        report.unused = ["dns fault: a.test. MX"] if path.stem == "unused" else []
        return report

    monkeypatch.setattr(postlab.run, "run_file", run_file)


def postlab_says(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def files(folder: Path, *names: str) -> list[Path]:
    (folder / "area").mkdir(exist_ok=True)
    paths = [folder / "area" / f"{name}.yaml" for name in names]
    for path in paths:
        path.write_text("format: 1\n")
    return paths


def test_one_file_gives_a_summary(tmp_path: Path) -> None:
    status, out, _ = postlab_says("run", *files(tmp_path, "one"))
    assert status == 0
    assert "title of one" in out
    assert "seed 0" in out


def test_json_is_the_outcome_and_nothing_else(tmp_path: Path) -> None:
    status, out, _ = postlab_says("run", *files(tmp_path, "one"), "--json", "--seed", 7)
    assert status == 0
    assert json.loads(out)["clients"][0]["transcript"] == ["S: 220 seed 7"]


def test_json_of_many_files_is_refused(tmp_path: Path) -> None:
    status, _, err = postlab_says("run", *files(tmp_path, "one", "two"), "--json")
    assert status == 2
    assert "--json-dir DIR takes many" in err


def test_a_folder_gets_a_document_for_each_file_by_folder_and_name(tmp_path: Path) -> None:
    files(tmp_path, "one", "two")
    status, out, err = postlab_says("run", tmp_path, "--json-dir", tmp_path / "out")
    assert (status, out, err) == (0, "", "")
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json"))
    assert written == ["out/area/one.json", "out/area/two.json"]


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("wrong", 2, "area/wrong.yaml:3: untill: unknown key"),
        ("tls", 1, "area/tls.yaml: not possible yet: TLS"),
        ("stuck", 1, "area/stuck.yaml: does not come to rest"),
        ("dead", 1, "area/dead.yaml: the mail system does not start; its log:\n  fatal: no"),
        ("defect", 1, "ZeroDivisionError: oops"),
    ],
)
def test_one_file_without_an_outcome_stops_no_other(
    tmp_path: Path, name: str, status: int, said: str
) -> None:
    paths = files(tmp_path, "one", name, "two")
    result, _, err = postlab_says("run", *paths, "--json-dir", tmp_path / "out")
    assert result == status
    assert said in err
    assert len(list(tmp_path.rglob("*.json"))) == 2
    result, out, _ = postlab_says("run", *paths)
    assert result == status
    assert "2 of 3 scenarios have an outcome" in out
    assert postlab_says("run", paths[1])[0] == status


@pytest.mark.parametrize(
    ("name", "status", "strict", "said"),
    [
        ("one", 0, 0, ""),
        ("doubtful", 1, 1, "do not trust this outcome: a program is missing"),
        ("unheeded", 0, 1, "a_setting has no effect yet"),
        ("unused", 0, 1, "never used: dns fault: a.test. MX"),
    ],
)
def test_a_doubt_is_told_and_counts_by_its_weight(
    tmp_path: Path, name: str, status: int, strict: int, said: str
) -> None:
    (path,) = files(tmp_path, name)
    for options in (["--json"], ["--json-dir", tmp_path / "out"]):
        result, out, err = postlab_says("run", path, *options)
        assert (result, said in err or name == "unused") == (status, True)
        result, _, err = postlab_says("run", path, *options, "--strict")
        assert (result, said in err) == (strict, True)
        assert options != ["--json"] or json.loads(out)["clients"]
    for options, wanted in (([], status), (["--strict"], strict)):
        assert postlab_says("run", path, *options)[0] == wanted
        assert postlab_says("run", path, path, *options)[0] == wanted
    assert said.rpartition(": ")[2] in postlab_says("run", path)[1]


def test_what_is_doubted_is_part_of_the_document_and_nothing_else_is_added(tmp_path: Path) -> None:
    doubtful, unheeded, one = files(tmp_path, "doubtful", "unheeded", "one")
    said = [json.loads(postlab_says("run", p, "--json")[1]) for p in (doubtful, unheeded, one)]
    assert said[0]["doubts"] == ["a program is missing"]
    assert said[1]["doubts"] == ["a_setting has no effect yet"]
    assert list(said[2]) == [
        "clients", "peers", "delivered", "log", "queue", "policy", "milters", "commands",
    ]  # fmt: skip


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (path,) = files(tmp_path, "one")
    (tmp_path / "taken").write_text("")
    for option in ("--json-dir", "--html"):
        status, _, err = postlab_says("run", path, option, tmp_path / "taken" / "x")
        assert (status, err.startswith("postlab: cannot write ")) == (2, True)


def test_html_holds_every_run(tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    status, out, _ = postlab_says("run", *files(tmp_path, "one", "two"), "--html", page)
    assert (status, "title of two" in out) == (0, True)
    text = page.read_text()
    assert "title of one" in text
    assert "S: 220 seed 0" in text


def test_many_files_give_a_line_each(tmp_path: Path) -> None:
    status, out, _ = postlab_says("run", *files(tmp_path, "one", "two"))
    assert status == 0
    assert "area/one" in out
    assert "title of two" in out
    assert "S: 220" not in out
    assert postlab_says("run", *files(tmp_path, "one", "two"), "--dialogue")[1].count("S: 220") == 2


def test_no_file_at_all_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "empty"
    assert postlab_says("run", folder)[::2] == (
        2, f"postlab: there is no scenario file (*.yaml) in {folder}\n",
    )  # fmt: skip
    status, _, err = postlab_says("run")
    assert (status, "name a scenario file" in err) == (2, True)


def test_conform_says_what_agrees_and_adopts_it(tmp_path: Path) -> None:
    one, two, tls = files(tmp_path, "one", "two", "tls")
    said = {"clients": [{"from": "198.51.100.7", "transcript": ["S: 220 seed 0"]}]}
    one.with_suffix(".json").write_text(json.dumps(said))
    two.with_suffix(".json").write_text(json.dumps({"log": ["postfix/smtpd[1]: x"]}))
    tls.with_suffix(".json").write_text("{}")
    target = tmp_path / "adopted"
    status, out, _ = postlab_says("conform", tmp_path / "area", "--show", "--adopt", target)
    assert status == 1
    assert "area/tls: no outcome" in out
    assert "area/two: clients" in out
    assert "+postfix/smtpd: x" not in out
    assert "-postfix/smtpd: x" in out
    assert "area             equal   1 of   3" in out
    assert [p.name for p in sorted(target.rglob("*.*"))] == ["one.json", "one.yaml"]
    status, out, _ = postlab_says("conform", one, "--adopt", target)
    assert (status, "adopted" in out) == (0, False)


def test_conform_without_a_recorded_outcome_is_told(tmp_path: Path) -> None:
    assert postlab_says("conform", *files(tmp_path, "one"))[0] == 2


def test_the_version_names_the_postfix_that_it_behaves_as() -> None:
    assert "3.0.15" in postlab_says("version")[1]
    assert postlab_says("--version") == postlab_says("version")


def test_a_folder_stands_for_the_scenario_files_below_it(tmp_path: Path) -> None:
    paths = files(tmp_path, "b", "a")
    (tmp_path / "area" / "a.json").write_text("{}")
    (tmp_path / "area" / "c.yml").write_text("")
    assert expand([tmp_path, paths[0]]) == [
        paths[1], paths[0], tmp_path / "area" / "c.yml", paths[0],
    ]  # fmt: skip


def test_a_file_that_is_missing_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    done = run_one(tmp_path / "missing.yaml", 0)
    assert done.bad_input
    assert done.error.endswith("missing.yaml: cannot read it: No such file or directory")


def test_workers_give_the_same_results_in_the_same_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"missing{n}.yaml" for n in range(3)]
    found = [done.path for done in outcomes(paths, 0, 2)]
    assert found == paths


def test_the_command_line_starts_without_what_it_does_not_need() -> None:
    code = (
        "import sys, postlab.cli;"
        "print([m for m in ('simpy','pydantic','rich.table','mta','sim','ruamel') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
