"""The message on the wire: lines, dots, folding, conversion, checks, generic addresses."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_site import Site

from mta.lib.smtp_stream import SmtpStream
from mta.smtp.content import LineWriter, _plain

Make = Callable[..., Site]


class Sink:
    """A stream that takes everything."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def flush(self, timeout: float) -> Any:
        return None


def finish(steps: Generator[Any, Any, Any]) -> None:
    for _ in steps:
        pass


def written(records: list[tuple[str, bytes]], limit: int, *, fast: bool) -> bytes:
    """The records on the wire, by the way for most messages or by the general one."""
    sink = Sink()
    stream = SmtpStream(sink)  # type: ignore[arg-type]
    if fast:
        finish(_plain(stream, records, limit))
    else:
        writer = LineWriter(stream, limit)
        for rec_type, data in records:
            writer.text(rec_type, data)
    finish(stream.flush())
    return sink.data


FOLDED = [
    ("a short line", [("N", b"abc")], b"abc\r\n"),
    ("an empty line", [("N", b"")], b"\r\n"),
    ("a dot is doubled", [("N", b".")], b"..\r\n"),
    ("only the first dot", [("N", b"..a.")], b"...a.\r\n"),
    ("a line of the limit is one line", [("N", b"0123456789")], b"0123456789\r\n"),
    ("a longer one is folded", [("N", b"0123456789a")], b"0123456789\r\n a\r\n"),
    ("parts begin with a blank", [("N", b"0123456789" * 2)], b"0123456789\r\n 012345678\r\n 9\r\n"),
    ("a dot after a fold is safe", [("N", b"0123456789.")], b"0123456789\r\n .\r\n"),
    ("records are joined", [("L", b"0123"), ("N", b"45")], b"012345\r\n"),
    ("and folded", [("L", b"012345"), ("N", b"6789a")], b"0123456789\r\n a\r\n"),
    ("a part that fills a line", [("L", b"0123456789"), ("N", b"")], b"0123456789\r\n \r\n"),
    ("a dot in the middle", [("L", b"012"), ("N", b".45")], b"012.45\r\n"),
]


@pytest.mark.parametrize(
    ("records", "wire"), [row[1:] for row in FOLDED], ids=[row[0] for row in FOLDED]
)
@pytest.mark.parametrize("fast", [True, False])
def test_lines_are_folded_at_the_limit(
    records: list[tuple[str, bytes]], wire: bytes, fast: bool
) -> None:
    assert written(records, 10, fast=fast) == wire


def test_without_a_limit_nothing_is_folded() -> None:
    assert written([("N", b"x" * 5000)], 0, fast=True) == b"x" * 5000 + b"\r\n"


LINES = st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"."))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("NNNL"), LINES), max_size=8), st.sampled_from((0, *range(2, 13))))
def test_the_short_way_gives_the_same_as_the_long_one(
    records: list[tuple[str, bytes]], limit: int
) -> None:
    assert written(records, limit, fast=True) == written(records, limit, fast=False)


# -- whole deliveries -----------------------------------------------------------------------------


def test_a_large_message_arrives_whole(make_site: Make) -> None:
    site = make_site()
    content = [b"Subject: big", b"", *(b".line %d" % n for n in range(30_000))]
    assert not site.send("b@dest.test", content=content).deferred
    assert site.delivered == ["".join(line.decode() + "\n" for line in content)]


def test_a_last_line_without_an_end_gets_one(make_site: Make) -> None:
    site = make_site()
    request = site.request("b@dest.test")
    request.file.data[-2:] = b"L\3endX\0"
    site.deliver(request)
    assert site.delivered == ["Subject: test\n\nhello\nend\n"]


def test_a_damaged_queue_file_ends_the_session_without_a_dot(make_site: Make) -> None:
    site = make_site()
    request = site.request("b@dest.test")
    request.file.data[-2:] = b"Q\0"
    site.deliver(request)
    assert site.log()[0] == "warning: QID: bad record type: 81 in message content"
    assert "dsn=5.3.0, status=bounced (unreadable mail queue entry)" in site.log()[1]
    assert site.log()[2] == "warning: corrupted queue file: active/QID"
    assert request.file.mode == 0o400
    assert site.delivered == []


EIGHT = [
    b"MIME-Version: 1.0",
    b"Content-Type: text/plain; charset=utf-8",
    b"Content-Transfer-Encoding: 8bit",
    b"",
    "Grüße = ".encode(),
    b".end",
]


@pytest.mark.parametrize(
    ("extensions", "encoding", "main_cf", "body"),
    [
        ([], "8bit", "", "Gr=C3=BC=C3=9Fe =3D=20\n.end\n"),
        (["8BITMIME"], "8bit", "", "Grüße = \n.end\n"),
        ([], "7bit", "", "Grüße = \n.end\n"),
        ([], "8bit", "disable_mime_output_conversion = yes", "Grüße = \n.end\n"),
    ],
)
def test_8_bit_text_is_converted_for_a_7_bit_server(
    make_site: Make, extensions: list[str], encoding: str, main_cf: str, body: str
) -> None:
    site = make_site(extensions=extensions, main_cf=main_cf)
    site.send("b@dest.test", content=EIGHT, encoding=encoding)
    head, _, text = site.delivered[0].partition("\n\n")
    assert text == body
    assert ("quoted-printable" in head) is ("=C3" in body)


CHECKS = "smtp_header_checks = regexp:/etc/postfix/h\nsmtp_body_checks = regexp:/etc/postfix/b"
CHECKED = {
    "h": "/^X-Drop/ IGNORE\n/^X-New/ REPLACE X-Old: 2\n/^X-Log/ WARN seen\n"
    "/^X-More/ PREPEND X-Less: 0\n/^X-Bad/ REJECT no\n",
    "b": "/^drop/ IGNORE\n/^dot/ REPLACE .dot\n/^note/ INFO\n",
}


def test_headers_and_lines_are_checked(make_site: Make) -> None:
    site = make_site(main_cf=CHECKS, files=CHECKED)
    headers = [b"X-Drop: 1", b"X-New: 1", b"X-Log: 1", b"X-More: 1", b"X-Bad: 1"]
    site.send("b@dest.test", content=[*headers, b"", b"drop me", b"dot", b"note"])
    assert site.delivered == [
        "X-Old: 2\nX-Log: 1\nX-Less: 0\nX-More: 1\nX-Bad: 1\n\n.dot\nnote\n"
    ]
    assert site.log()[:-1] == [
        "QID: replace: header X-New: 1: X-Old: 2",
        "QID: warning: header X-Log: 1: seen",
        "QID: prepend: header X-More: 1: X-Less: 0",
        "warning: unsupported command in smtp_header_checks map: REJECT no",
        "QID: replace: body dot: .dot",
        "QID: info: body note",
    ]


@pytest.mark.parametrize("what", ["header", "body"])
def test_checks_that_fail_defer(make_site: Make, what: str) -> None:
    site = make_site(main_cf=f"smtp_{what}_checks = fail:now")
    assert site.send("b@dest.test", nexthop="[one.test]").deferred
    assert site.log()[-2] == f"warning: QID: smtp {what} checks lookup error"
    assert "status=deferred (local data error while talking to one.test" in site.log()[-1]
    assert site.delivered == []


GENERIC = """\
smtp_generic_maps = inline:{ {joe@local.test = joe@public.test} {@inner.test = @outer.test} }
myorigin = local.test
"""


def test_internal_addresses_become_public(make_site: Make) -> None:
    site = make_site(main_cf=GENERIC)
    site.send(
        "ann@inner.test",
        sender="joe@local.test",
        content=[
            b"From: Joe (the one) <joe@local.test>",
            b"To: aaaaaaaaaa@inner.test, bbbbbbbbbb@inner.test, cccccccccc@inner.test,",
            b"  dddddddddd@elsewhere.test",
            b"Subject: joe@local.test",
            b"",
            b"joe@local.test",
        ],
    )
    assert site.said()[1:3] == [
        "MAIL FROM:<joe@public.test> SIZE=172",
        "RCPT TO:<ann@outer.test>",
    ]
    assert site.delivered == [
        "From: Joe (the one) <joe@public.test>\n"
        "To: aaaaaaaaaa@outer.test, bbbbbbbbbb@outer.test,\n"
        "\tcccccccccc@outer.test, dddddddddd@elsewhere.test\n"
        "Subject: joe@local.test\n\njoe@local.test\n"
    ]


def test_the_pix_workaround_delays_the_dot_of_old_mail(make_site: Make) -> None:
    site = make_site(peers={"one.test": [{"on": "connect", "reply": "220 ********"}]})
    request = site.request("b@dest.test")
    request.stats.incoming_arrival -= 501_000_000
    before = site.world.now
    site.deliver(request)
    assert 10_000_000 < site.world.now - before < 11_000_000
    assert site.log()[0] == (
        "QID: enabling PIX workarounds: disable_esmtp delay_dotcrlf for one.test[203.0.113.1]:25"
    )
