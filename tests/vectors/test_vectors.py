"""Postfix's own test data, where they are at hand; and the runner itself, on a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vectors.__main__ import main
from tests.vectors.cases import FAILED, NOT_APPLICABLE, PASSED, Facts, folders, play
from tests.vectors.shell import NotHere, Shell
from tests.vectors.site import Site
from tests.vectors.tools import basic_expression

DATA = Path(__file__).resolve().parents[3] / "shared" / "postfix-3.0" / "tests"
FOUND = list(folders(DATA, ())) if DATA.exists() else []


@pytest.fixture(scope="module")
def facts() -> Facts:
    return Facts.of(DATA)


@pytest.mark.skipif(not FOUND, reason="Postfix's test data are not at hand")
@pytest.mark.parametrize("folder", FOUND, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_it_prints_what_postfix_prints(folder: Path, facts: Facts) -> None:
    result = play(folder, facts)
    if result.result == NOT_APPLICABLE:
        pytest.skip(result.reason)
    assert result.result == PASSED, "\n".join([result.reason, *result.difference])


def shell(text: str, **files: str) -> str:
    site = Site({name: data.encode() for name, data in files.items()})
    import tests.vectors.drivers  # noqa: F401

    return Shell(site.folder, {"PWD": "/vectors", "X": "a b"}, site).run(text).decode()


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("echo a; echo b\necho c # d", "a\nb\nc\n"),
        ("echo 'a  b' \"c  $X\" $X \\$X", "a  b c  a b a b $X\n"),
        ("(echo b; echo a) | sort", "a\nb\n"),
        ("false || echo no; true && echo yes; false && echo never", "no\nyes\n"),
        ("echo a >f; echo b >>f; cat f", "a\nb\n"),
        ("echo a >f; cat <f | tr '[a-z]' '[A-Z]'", "A\n"),
        ("cat nothing 2>/dev/null || echo gone", "gone\n"),
        ("for i in 1 2; do echo $i; done", "1\n2\n"),
        ("echo `echo x` \"`echo y`\"", "x y\n"),
        ("cat <<EOF\nhi $X\nEOF\necho after", "hi a b\nafter\n"),
        ("cat <<'EOF'\nhi $X\nEOF", "hi $X\n"),
        ("echo abab | sed 's/a\\(b\\)/<\\1>/g; s/x/y/'", "<b><b>\n"),
        ("echo 'one' | grep -v two", "one\n"),
        ("env Y=z sh -c 'echo $Y'", "z\n"),
        ("printf 'a\\n' | od -cb", "0000000   a  \\n\n        141 012\n0000002\n"),
        ("{ echo a; echo b; } | uniq", "a\nb\n"),
        ("awk 'BEGIN { print \"a\"; printf \"%c-\\n\", 65; exit }'", "a\nA-\n"),
    ],
)  # fmt: skip
def test_the_shell(text: str, output: str) -> None:
    assert shell(text) == output


def test_messages_come_before_what_is_held_back() -> None:
    assert shell("postmap -q x texthash:t 2>&1", t="x y\nz\n").splitlines()[0].startswith("postmap: w")


@pytest.mark.parametrize("text", ["frobnicate", "echo <&3", "echo $(", "echo x | sed -n p", "if true"])
def test_what_the_shell_does_not_know_is_told(text: str) -> None:
    with pytest.raises(NotHere):
        shell(text)


@pytest.mark.parametrize(
    ("basic", "python"),
    [("a\\{2\\}", "a{2}"), ("a+(b)", r"a\+\(b\)"), ("[[:digit:]]*", "[0-9]*"), ("*a", r"\*a")],
)
def test_basic_expressions(basic: str, python: str) -> None:
    assert basic_expression(basic) == python


def make(root: Path, test: str, cmd: str, expected: str, **files: str) -> None:
    folder = root / test
    folder.mkdir(parents=True)
    (folder / "cmd").write_text(cmd)
    (folder / "expected").write_text(expected)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_a_folder_is_played_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, "one/good", "postmap -q a texthash:t", "b\n", t="a b\n")
    make(tmp_path, "one/bad", "postmap -q a texthash:t", "c\n", t="a b\n")
    make(tmp_path, "two/strange", "frobnicate <t", "", t="")
    assert main([str(tmp_path), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["passed"], shown["failed"], shown["not_applicable"]) == (1, 1, 1)
    results = {t["test"]: (t["result"], t["reason"]) for t in shown["tests"]}
    assert results["good"] == (PASSED, "")
    assert results["bad"] == (FAILED, "2 lines differ (cmd): -c")
    assert results["strange"] == (NOT_APPLICABLE, "there is no program frobnicate")
    assert main([str(tmp_path), "two"]) == 0
    assert "two/strange: not applicable" in capsys.readouterr().out
    assert main([str(tmp_path / "nowhere")]) == 2
    assert main([str(tmp_path), "three"]) == 2
