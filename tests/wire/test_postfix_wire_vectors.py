"""Postfix's own test data for the codecs, where they are at hand (beside the project)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.lib.header_body_checks import BodyChecks, CheckAction, HeaderChecks, Unknown
from mta.system import Wait
from mta.wire import record
from mta.wire.ehlo_mask import ehlo_mask, str_ehlo_mask
from mta.wire.mime_state import (
    MIME_OPT_DOWNGRADE,
    MIME_OPT_REPORT_8BIT_IN_7BIT_BODY,
    MIME_OPT_REPORT_8BIT_IN_HEADER,
    MIME_OPT_REPORT_ENCODING_DOMAIN,
    MIME_OPT_REPORT_NESTING,
    MIME_OPT_REPORT_TRUNC_HEADER,
    MimeBody,
    MimeBodyEnd,
    MimeError,
    MimeHeadEnd,
    MimeHeader,
    MimeState,
    mime_state_detail,
)
from mta.wire.text import c_string, cut, to_bytes, to_text
from mta.wire.tok822 import (
    TOK822_ADDR,
    TOK822_STARTGRP,
    TOK822_STR_LINE,
    TOK822_STR_TRNC,
    Token,
    tok822_externalize,
    tok822_internalize,
    tok822_parse,
)

VECTORS = Path(__file__).parents[3] / "shared" / "postfix-3.0" / "tests"
pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="Postfix's test data are not here")

TRACE = re.compile(rb"mime_state: (?:header_token|PUSH|POP|garbage in)\b")
OPTIONS = (
    MIME_OPT_DOWNGRADE
    | MIME_OPT_REPORT_8BIT_IN_7BIT_BODY
    | MIME_OPT_REPORT_8BIT_IN_HEADER
    | MIME_OPT_REPORT_ENCODING_DOMAIN
    | MIME_OPT_REPORT_NESTING
    | MIME_OPT_REPORT_TRUNC_HEADER
)
CLASSES = {1: b"MAIN", 2: b"MULT", 3: b"NEST"}
SUMMARY = {
    2: b"message header length exceeds safety limit",
    1: b"MIME nesting exceeds safety limit",
    4: b"improper use of 8-bit data in message header",
    8: b"improper use of 8-bit data in message body",
    16: b"improper message/* or multipart/* encoding domain",
}


def folders(area: str, pattern: str) -> list[Path]:
    return sorted((VECTORS / area).glob(pattern)) if VECTORS.is_dir() else []


def name(folder: object) -> str:
    return folder.name if isinstance(folder, Path) else str(folder)


def text_records(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(data):
        end = data.find(b"\n", at, at + 1024)
        if end >= 0:
            yield "N", data[at:end]
            at = end + 1
        else:
            yield "L", data[at : at + 1024]
            at += 1024
    yield "E", b""


def summary(program: bytes, errors: int) -> bytes:
    found = [b"%s: warning: %s\n" % (program, SUMMARY[code]) for code in SUMMARY if errors & code]
    return b"".join(found)


@pytest.mark.parametrize("folder", folders("mime-header", "mime_*"), ids=name)
def test_mime_state(folder: Path) -> None:
    source = re.search(r"<(\S+)", (folder / "cmd").read_text())
    assert source
    state = MimeState(OPTIONS, 2000, 20, 2000)
    out: list[bytes] = []
    for rec_type, data in text_records((folder / source[1]).read_bytes()):
        for event in state.update(rec_type, data):
            match event:
                case MimeHeader(header_class, _, text, offset):
                    out.append(b"%s %d\t|%s\n" % (CLASSES[header_class], offset, to_bytes(text)))
                case MimeHeadEnd():
                    out.append(b"HEADER END\n")
                case MimeBody(kind, line, offset):
                    end = b"\n" if kind == "N" else b""
                    out.append(b"BODY %s %d\t|%s%s" % (kind.encode(), offset, line, end))
                case MimeBodyEnd():
                    out.append(b"BODY END\n")
                case MimeError(code, text):
                    words = mime_state_detail(code).text.encode()
                    out.append(b"mime_state: warning: %s: %s\n" % (words, text[:100]))
    out.append(summary(b"mime_state", state.errors))
    expected = (folder / "expected").read_bytes().splitlines(keepends=True)
    assert b"".join(out) == b"".join(line for line in expected if not TRACE.match(line))


class Patterns:
    """A table as the tests have it: static:, or regexp: with patterns that Python knows too."""

    def __init__(self, title: str, spec: str, folder: Path) -> None:
        self.title = title
        kind, _, value = spec.partition(":")
        self.static = value if kind == "static" else None
        self.rules: list[tuple[re.Pattern[str], str]] = []
        if kind == "regexp":
            for line in (folder / value).read_text().splitlines():
                rule = re.fullmatch(r"/(.*)/\s+(.*)", line)
                if rule:
                    self.rules.append((re.compile(rule[1], re.IGNORECASE), rule[2]))

    def find(self, key: str) -> Wait[str | None]:
        yield from ()
        if not key:
            return None
        if self.static is not None:
            return self.static
        return next((result for pattern, result in self.rules if pattern.search(key)), None)


class Output:
    """The call-backs of the header_body_checks program."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def log(self, action: str, where: str, line: str, text: str) -> None:
        row = f"test-queueID: {action}: {where} {cut(line, 200)}" + (f": {text}" if text else "")
        row = re.sub("[\x00-\x1f\x7f]", "?", row)
        self.lines.append(b"header_body_checks: " + to_bytes(row) + b"\n")

    def warn(self, text: str) -> None:
        self.lines.append(b"header_body_checks: warning: " + to_bytes(text) + b"\n")

    def prepend(self, text: str, offset: int) -> None:
        self.lines.append(to_bytes(text) + b"\n")

    def extend(
        self, action: CheckAction, where: str, line: str, offset: int
    ) -> Wait[str | Unknown | None]:
        raise AssertionError("not used")


def run(task: Wait[str | bytes | None]) -> str | bytes | None:
    with pytest.raises(StopIteration) as stop:
        next(task)
    return stop.value.value  # type: ignore[no-any-return]


@pytest.mark.parametrize("folder", folders("mime-header", "header_body_checks_*"), ids=name)
def test_header_body_checks(folder: Path) -> None:
    out: list[bytes] = []
    for command in (folder / "cmd").read_text().splitlines():
        found = re.fullmatch(r"header_body_checks (\S+) (\S+) (\S+) (\S+) <(\S+) 2>&1", command)
        assert found, command
        out += check_message(folder, [spec.strip('"') for spec in found.groups()[:4]], found[5])
    assert b"".join(out) == (folder / "expected").read_bytes()


def check_message(folder: Path, specs: list[str], source: str) -> list[bytes]:
    output = Output()
    titles = ("header_checks", "mime_header_checks", "nested_header_checks", "body_checks")
    tables = [
        Patterns(title, spec, folder) if spec else None
        for title, spec in zip(titles, specs, strict=True)
    ]
    header_checks = HeaderChecks(output, tables[0], tables[1], tables[2])
    body_checks = BodyChecks(output, tables[3]) if tables[3] else None
    state = MimeState(OPTIONS, 2000, 20, 2000)
    count = 0
    for rec_type, data in text_records((folder / source).read_bytes()):
        for event in state.update(rec_type, data):
            match event:
                case MimeHeader(kind, opts, text, offset):
                    header = run(header_checks.check(kind, opts, text, offset))
                    if isinstance(header, str):
                        row = b"%d %s %d\t|%s\n"
                        row = row % (count, CLASSES[kind], offset, to_bytes(header))
                        output.lines.append(row)
                    count += 1
                case MimeHeadEnd():
                    output.lines.append(b"HEADER END\n")
                case MimeBody(letter, line, offset):
                    body = run(body_checks.check(line, offset)) if body_checks else line
                    if isinstance(body, bytes):
                        row = b"%d BODY %s %d\t|%s\n"
                        row = row % (count, letter.encode(), offset, c_string(body))
                        output.lines.append(row)
                    count += 1
                case MimeBodyEnd():
                    output.lines.append(b"BODY END\n")
                case MimeError(code, found):
                    output.warn(f"{mime_state_detail(code).text}: {to_text(found[:100])}")
    return [*output.lines, summary(b"header_body_checks", state.errors)]


def show_tokens(tokens: list[Token], indent: int) -> Iterator[str]:
    for token in tokens:
        if token.type == TOK822_ADDR:
            yield f"{'':{indent}} address\n"
            yield from show_tokens(token.children, indent + 2)
        elif token.type == TOK822_STARTGRP:
            yield f'{"":{indent}} group ":"\n'
        elif len(token.type) == 1:
            yield f'{"":{indent}} OP "{token.type}"\n'
        else:
            yield f'{"":{indent}} {token.type} "{token.text}"\n'


def test_tok822() -> None:
    folder = VECTORS / "address" / "tok822_test"
    logical: list[str] = []
    for line in to_text((folder / "tok822_parse.in").read_bytes()).split("\n")[:-1]:
        if line[:1] in (" ", "\t") and logical:
            logical[-1] += line
        elif line.strip() and not line.startswith("#"):
            logical.append(line)
    out: list[str] = []

    def warn(text: str) -> None:
        out.append(f"unknown: warning: {text}\n")

    for line in logical:
        tree = tok822_parse(line, 20)
        out += [f">>>{line}<<<\n\nParse tree:\n", *show_tokens(tree, 0)]
        out.append(f"\nInternalized:\n{tok822_internalize(tree)}\n\n")
        for flags, how in ((0, "no newlines"), (TOK822_STR_LINE, "newlines")):
            text = tok822_externalize(tree, TOK822_STR_TRNC | flags, warn)
            out.append(f"Externalized, {how} inserted:\n{text}\n\n")
    assert to_bytes("".join(out)) == (folder / "expected").read_bytes()


def test_ehlo_mask() -> None:
    folder = VECTORS / "protocol-misc" / "ehlo_mask_test"
    rows = [
        f"{line} -> 0x{ehlo_mask(line):x} -> {str_ehlo_mask(ehlo_mask(line))}\n"
        for line in (folder / "ehlo_mask.in").read_text().splitlines()
    ]
    assert "".join(rows) == (folder / "expected").read_text()


MARKERS = {"M": "MESSAGE CONTENTS", "X": "HEADER EXTRACTED", "E": "MESSAGE FILE END"}


@pytest.mark.parametrize("folder", folders("cleanup-milter", "*"), ids=name)
def test_records_of_a_queue_file_are_where_postcat_says(folder: Path) -> None:
    """The original queue files: those of their records that no edit moved."""
    source = re.match(r"cp (\S+) ", (folder / "cmd.ov").read_text())
    assert source
    data = (folder / source[1]).read_bytes()
    rows = {}
    for offset, rec_type, value in record.records(data, follow=False):
        kind = record.rec_type_name(rec_type) if rec_type not in MARKERS else "***"
        rows[offset] = "create_time" if value.startswith(b"create_time=") else kind
        if rec_type == record.REC_TYPE_END:  # after it is a heap that edits may use again
            break
    expected = (folder / "expected.ov").read_text("utf-8", "surrogateescape")
    shown = {
        int(found[1]): found[2]
        for found in re.finditer(r"^ *(\d+) (?:([a-z_]+|\*\*\*)[: ])", expected, re.MULTILINE)
    }
    known = {offset: kind for offset, kind in shown.items() if offset in rows}
    assert len(known) > 10
    edits = {"pointer_record", "padding", "canceled_recipient"}
    for offset, kind in known.items():
        assert kind == rows[offset] or kind in edits or rows[offset] in edits, offset
