"""postconf(1) against Postfix's own tests and its list of defaults, where they are at hand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mta.conf.host import Host
from mta.conf.postconf import dump_defaults, postconf

FACTS = Path(__file__).resolve().parents[3] / "shared" / "postfix-3.0"
TESTS = FACTS / "tests" / "postconf"

pytestmark = pytest.mark.skipif(not TESTS.exists(), reason="Postfix's test data are not at hand")

HOST = Host("host.example")
CASES = sorted(path.name for path in TESTS.iterdir()) if TESTS.exists() else []
UNORDERED = re.compile(r"(unused|undefined) parameter")


class Folder:
    """The files of a test, as ``.``."""

    def __init__(self, path: Path) -> None:
        self.texts = {f"./{p.name}": p.read_text() for p in path.iterdir()}

    def read(self, path: str) -> str:
        if path not in self.texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.texts[path]

    def write(self, path: str, text: str) -> None:
        self.texts[path] = text


def run(folder: Folder, line: str) -> str:
    command, _, pipe = line.partition("|")
    words = [word for word in shlex.split(command, comments=False) if word != "2>&1"]
    if words[0] == "cat":
        return folder.texts["./" + words[1]]
    shown = postconf(words[1:], folder, HOST).output.decode()
    if pipe:
        wanted = pipe.split()[1]
        shown = "".join(t for t in shown.splitlines(keepends=True) if wanted in t)
    return shown


def comparable(text: str) -> list[str]:
    lines = text.splitlines()
    warned = sorted(line for line in lines if UNORDERED.search(line))
    return [line for line in lines if not UNORDERED.search(line)] + warned


@pytest.mark.parametrize("name", CASES)
def test_postconf_prints_what_postfix_prints(name: str) -> None:
    folder = Folder(TESTS / name)
    commands = folder.texts["./cmd"].splitlines()
    shown = "".join(run(folder, line) for line in commands)
    assert comparable(shown) == comparable(folder.texts["./expected"])


def test_all_860_parameters_have_their_names_and_defaults() -> None:
    ignored = {
        line.split("#")[0].strip()
        for line in (FACTS / "postconf-ignore.txt").read_text().split("\n")
    }
    expected = {}
    for line in (FACTS / "postconf-d.txt").read_text().splitlines():
        name, _, value = line.partition(" =")
        expected[name] = value.strip()
    found = dump_defaults(HOST, (FACTS / "master.cf").read_text())
    assert list(found) == list(expected)
    assert len(found) == 860
    differing = {
        name: (value, expected[name])
        for name, value in found.items()
        if name not in ignored and " ".join(value.split()) != expected[name]
    }
    assert differing == {}
