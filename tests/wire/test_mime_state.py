"""The MIME machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.wire.mime_state import (
    MIME_ERR_8BIT_IN_7BIT_BODY,
    MIME_ERR_8BIT_IN_HEADER,
    MIME_ERR_ENCODING_DOMAIN,
    MIME_ERR_NESTING,
    MIME_ERR_TRUNC_HEADER,
    MIME_OPT_DISABLE_MIME,
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

CLASSES = {1: "MAIN", 2: "MULT", 3: "NEST"}


def show(state: MimeState, text: str) -> list[str]:
    r"""The events for the lines of a message, one line an event; ``\`` at a line's end makes it a
    record that is continued.
    """
    out: list[str] = []
    records = [("N", line) for line in text.split("\n")]
    for rec_type, line in [*records, ("X", "")]:
        if line.endswith("\\"):
            rec_type, line = "L", line[:-1]
        for event in state.update(rec_type, line.encode("utf-8", "surrogateescape")):
            match event:
                case MimeHeader(header_class, opts, header, offset):
                    known = opts.name if opts else "-"
                    out.append(f"{CLASSES[header_class]} {offset} {known} {header}")
                case MimeHeadEnd():
                    out.append("HEAD END")
                case MimeBody(kind, data, offset):
                    out.append(f"{kind} {offset} {data.decode('utf-8', 'surrogateescape')}")
                case MimeBodyEnd():
                    out.append("BODY END")
                case MimeError(code, found):
                    out.append(f"ERROR {code} {found.decode('utf-8', 'surrogateescape')}")
    return out


def test_a_plain_message_is_headers_and_body() -> None:
    assert show(MimeState(), "Subject: x\nto : a@b\n\tc@d\n\nline\nSubject: no") == [
        "MAIN 0 - Subject: x",
        "MAIN 9 To to: a@b\n\tc@d",
        "HEAD END",
        "N 0 ",
        "N 1 line",
        "N 6 Subject: no",
        "BODY END",
    ]


def test_a_missing_blank_line_is_supplied_after_the_primary_headers() -> None:
    assert show(MimeState(), "Subject: x\ngarbage") == [
        "MAIN 0 - Subject: x",
        "HEAD END",
        "N 0 ",
        "N 0 garbage",
        "BODY END",
    ]


def test_a_message_may_be_nothing_but_headers_or_nothing_at_all() -> None:
    state = MimeState()
    assert state.update("N", b"Subject: x") == []
    assert [type(event) for event in state.update("X", b"")] == [
        MimeHeader,
        MimeHeadEnd,
        MimeBodyEnd,
    ]
    assert [type(event) for event in MimeState().update("X", b"")] == [MimeHeadEnd, MimeBodyEnd]


def test_parts_of_lines_are_joined_in_headers_and_kept_in_bodies() -> None:
    assert show(MimeState(), "Subject: a\\\n b\\\nc\n\nlong\\\nline\nend\\") == [
        "MAIN 0 - Subject: a bc",
        "HEAD END",
        "N 0 ",
        "L 1 long",
        "N 6 line",
        "L 11 end",
        "N 15 ",
        "BODY END",
    ]


def test_a_header_ends_at_a_nul() -> None:
    state = MimeState()
    state.update("N", b"Subject: a\0b")
    state.update("N", b" c")
    assert state.update("N", b"")[0] == MimeHeader(1, None, "Subject: a\n c", 0)


MULTIPART = """Content-Type: multipart/mixed; boundary="ab"

prolog
--ab
Content-Type: message/rfc822

Subject: nested

text
--ab-- trailing
Subject: epilog"""


def test_multipart_and_attached_messages_have_headers_of_their_own() -> None:
    assert show(MimeState(), MULTIPART) == [
        'MAIN 0 Content-Type Content-Type: multipart/mixed; boundary="ab"',
        "HEAD END",
        "N 0 ",
        "N 1 prolog",
        "N 8 --ab",
        "MULT 0 Content-Type Content-Type: message/rfc822",
        "N 0 ",
        "NEST 0 - Subject: nested",
        "N 0 ",
        "N 1 text",
        "N 0 --ab-- trailing",
        "N 16 Subject: epilog",
        "BODY END",
    ]


def test_mime_processing_can_be_disabled() -> None:
    kinds = [row.split()[0] for row in show(MimeState(MIME_OPT_DISABLE_MIME), MULTIPART)]
    assert kinds == ["MAIN", "HEAD"] + ["N"] * 10 + ["BODY"]


def test_the_parts_of_a_digest_are_messages() -> None:
    text = "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: in digest\n\n--x--"
    assert "NEST 0 - Subject: in digest" in show(MimeState(), text)


def test_an_outer_boundary_ends_inner_multiparts() -> None:
    text = (
        "Content-Type: multipart/mixed; boundary=out\n\n--out\n"
        "Content-Type: multipart/mixed; boundary=in\n\n--in\n\ntext\n--out\nX: y\n\n--in\nnot: a part"
    )
    rows = show(MimeState(), text)
    assert "MULT 0 - X: y" in rows
    assert not any("MULT" in row and "not: a part" in row for row in rows)


def test_eight_bit_content_becomes_quoted_printable() -> None:
    text = "Content-Transfer-Encoding: 8bit\n\nü = x \n" + "é" * 14
    assert show(MimeState(MIME_OPT_DOWNGRADE), text) == [
        "MAIN 0 - Content-Transfer-Encoding: quoted-printable",
        "HEAD END",
        "N 0 ",
        "N 1 =C3=BC =3D x=20",
        "N 17 " + "=C3=A9" * 12 + "=C3=",
        "N 94 =A9=C3=A9",
        "BODY END",
    ]


def test_a_multipart_is_announced_as_7bit_when_its_parts_are_converted() -> None:
    text = (
        "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: 8bit\n\n--x\n"
        "Content-Transfer-Encoding: binary\n\né\n--x--"
    )
    rows = show(MimeState(MIME_OPT_DOWNGRADE), text)
    assert "MAIN 32 - Content-Transfer-Encoding: 7bit" in rows
    assert "MULT 0 - Content-Transfer-Encoding: quoted-printable" in rows
    assert "N 1 =C3=A9" in rows


ERRORS = [
    (
        MIME_OPT_REPORT_8BIT_IN_HEADER,
        "Subject: é\nX: é\n",
        MIME_ERR_8BIT_IN_HEADER,
        "Subject: é",
        "improper use of 8-bit data in message header",
    ),
    (
        MIME_OPT_REPORT_8BIT_IN_7BIT_BODY,
        "\né1\né2",
        MIME_ERR_8BIT_IN_7BIT_BODY,
        "é1",
        "improper use of 8-bit data in message body",
    ),
    (
        MIME_OPT_REPORT_ENCODING_DOMAIN,
        "Content-Type: multipart/mixed\nContent-Transfer-Encoding: base64\n",
        MIME_ERR_ENCODING_DOMAIN,
        "base64",
        "invalid message/* or multipart/* encoding domain",
    ),
    (
        MIME_OPT_REPORT_ENCODING_DOMAIN,
        "Content-Type: message/partial\nContent-Transfer-Encoding: 8bit\n",
        MIME_ERR_ENCODING_DOMAIN,
        "8bit",
        "invalid message/* or multipart/* encoding domain",
    ),
    (
        MIME_OPT_REPORT_TRUNC_HEADER,
        "Subject: " + "x" * 60 + "\n y\n",
        MIME_ERR_TRUNC_HEADER,
        "Subject: " + "x" * 60,
        "message header length exceeds safety limit",
    ),
    (
        MIME_OPT_REPORT_NESTING,
        "Content-Type: multipart/mixed" + "; boundary=x" * 4 + "\n",
        MIME_ERR_NESTING,
        "Content-Type: multipart/mixed" + "; boundary=x" * 4,
        "MIME nesting exceeds safety limit",
    ),
]


@pytest.mark.parametrize(("option", "text", "code", "found", "words"), ERRORS)
def test_errors_are_reported_once_where_that_was_asked_for(
    option: int, text: str, code: int, found: str, words: str
) -> None:
    state = MimeState(option, header_size_limit=60, mime_nesting_limit=1)
    rows = show(state, text)
    assert [row for row in rows if row.startswith("ERROR")] == [f"ERROR {code} {found}"]
    assert state.errors == code
    assert mime_state_detail(code) == (code, "5.6.0", words)
    quiet = MimeState(0, header_size_limit=60, mime_nesting_limit=1)
    assert not any(row.startswith("ERROR") for row in show(quiet, text))
    assert quiet.errors == 0


def test_the_most_serious_error_is_told() -> None:
    assert mime_state_detail(31).code == MIME_ERR_NESTING
    assert mime_state_detail(24).code == MIME_ERR_8BIT_IN_7BIT_BODY


def test_a_long_header_is_cut_where_a_line_began_beyond_the_limit() -> None:
    rows = show(MimeState(header_size_limit=12), "Subject: abcdef\n ghi\nTo: a\n b\n c\n d\n")
    assert rows[:2] == ["MAIN 0 - Subject: abcdef", "MAIN 6 To To: a\n b\n c\n d"]


def test_a_long_boundary_is_compared_as_far_as_it_was_kept() -> None:
    text = "Content-Type: multipart/mixed; boundary=abcdef\n\n--abcxyz\nA: b\n"
    assert "MULT 0 - A: b" in show(MimeState(mime_boundary_length_limit=3), text)
    assert "MULT 0 - A: b" not in show(MimeState(), text)


LINES = st.sampled_from(
    [
        "Subject: x",
        "Content-Type: multipart/mixed; boundary=a",
        "Content-Type: message/rfc822",
        "Content-Transfer-Encoding: 8bit",
        "",
        "--a",
        "--a--",
        " text",
        "text é",
        "part\\",
    ]
)


@given(st.lists(LINES, max_size=15), st.sampled_from([0, MIME_OPT_DISABLE_MIME]))
def test_what_a_program_passes_by_a_plain_body_is_what_the_machine_would_say(
    lines: list[str], options: int
) -> None:
    text = "\n".join(lines)
    whole = [row.split(" ", 2)[::2] for row in show(MimeState(options), text)]
    state = MimeState(options)
    rows: list[list[str]] = []
    for line in [*text.split("\n"), None]:
        rec_type = "X" if line is None else "L" if line.endswith("\\") else "N"
        data = (line or "").removesuffix("\\")
        if line is not None and state.plain_body:
            rows.append([rec_type, data])
            state.pass_body(rec_type)
            continue
        for event in state.update(rec_type, data.encode()):
            if isinstance(event, MimeBody):
                rows.append([event.rec_type, event.data.decode()])
            elif isinstance(event, MimeHeader):
                opts = event.opts.name if event.opts else "-"
                rows.append([CLASSES[event.header_class], f"{opts} {event.text}"])
            else:
                rows.append(["HEAD" if isinstance(event, MimeHeadEnd) else "BODY"])
    assert rows == [row if row[0] not in ("HEAD", "BODY") else row[:1] for row in whole]
