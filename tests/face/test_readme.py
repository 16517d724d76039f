"""What the README and the demonstration promise is true."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from postlab import cli_compare, cli_tools
from postlab.cli import app
from postlab.run import run_file, run_scenario
from postlab.scenario import loads
from reports.fates import read
from reports.terminal import as_text

assert cli_compare.compare
assert cli_tools.check

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    """The first example of a language in the README."""
    match = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert match
    return match[1]


def test_the_first_scenario_does_what_its_title_says() -> None:
    report = run_scenario(loads(example("yaml"))).report
    story = read(report.outcome.log)
    (fate,) = [fate for message in story.messages for fate in message.fates]
    assert (fate.recipient, fate.status, fate.attempts) == ("bob@dest.test", "sent", 2)
    assert [reject.recipient for reject in story.rejects] == ["retired@example.org"]
    assert report.doubts == []
    assert report.unused == []


COMMANDS = re.findall(r"^\.venv/bin/postlab (.*?)(?:  +#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_that_it_shows_does_what_it_says(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("etc", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "main.cf").write_text(
            "compatibility_level = 2\nmyhostname = mx.example.org\nmydestination = example.org\n"
            "mynetworks = 127.0.0.0/8\nalias_maps =\n"
        )
    (tmp_path / "my-scenarios").mkdir()
    for name in ("first.yaml", "my-scenarios/second.yaml"):
        (tmp_path / name).write_text(example("yaml"))
    words = [word.replace("/etc/postfix", "etc") for word in line.split()]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert len(result.stdout) > 40


def test_the_examples_of_the_page_about_tests_in_python_are_true(tmp_path: Path) -> None:
    page = (ROOT / "docs/lab.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text(examples[0])
    assert runpy.run_path(str(one))["client"].fingerprint["rcpt"] == (1, 1)
    two.write_text("from postlab import Lab\nlab = Lab()\n" + examples[1])
    made = runpy.run_path(str(two))
    assert made["anna"].header in made["lab"].mailbox(made["ben"].user)[0]


def test_the_architecture_names_every_package_and_module_of_the_upper_floors() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in ROOT.glob("mta/*/__init__.py")]
    packages += [path.parent.name for path in ROOT.glob("postlab/*/__init__.py")]
    assert [name for name in packages if f"`{name}/`" not in page] == []
    modules = [path.stem for path in (*ROOT.glob("postlab/*.py"), *ROOT.glob("reports/*.py"))]
    assert [m for m in modules if f"`{m}`" not in page and m != "__init__"] == []


def test_the_example_test_passes(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(example("python"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_page_that_is_linked_exists() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "scenarios/README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.fixture(scope="module")
def demo() -> dict[str, tuple[str, int]]:
    """Recipient → (status, attempts) of the demonstration."""
    report = run_file(ROOT / "scenarios/demo/small-site.yaml")
    assert report.doubts == []
    assert "seed 0" in as_text(report)
    return {
        fate.recipient: (fate.status, fate.attempts)
        for message in read(report.outcome.log).messages
        for fate in message.fates
    }


@pytest.mark.parametrize(
    ("recipient", "status"),
    [
        ("xenia@silent.test", "bounced"),  # a null MX
        ("willy@down.test", "expired"),  # down for days
        ("yuri@grey.test", "sent"),  # greylisted
        ("regatta@club.test", "sent"),  # we are the backup MX
        ("everybody@members.test", "sent"),  # by the relayhost
        ("ben@home.test", "sent"),  # an alias and a .forward
    ],
)
def test_the_demonstration_shows_what_it_is_for(
    demo: dict[str, tuple[str, int]], recipient: str, status: str
) -> None:
    assert demo[recipient][0] == status


def test_the_demonstration_needs_patience(demo: dict[str, tuple[str, int]]) -> None:
    assert demo["xenia@silent.test"][1] == 1
    assert demo["yuri@grey.test"][1] == 3
    assert demo["regatta@club.test"][1] > 3
    assert demo["willy@down.test"][1] > 20
