"""Lines over a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.lib.smtp_stream import SmtpEof, SmtpStream, SmtpTimeout
from mta.system import Gone, TimedOut, Wait

SECOND = 1_000_000


class Peer:
    """A stream whose input is a list of chunks, each after a delay in seconds; a chunk may be an
    exception.  Leaves are functions that :func:`run` calls.
    """

    def __init__(self, *chunks: bytes | Exception | tuple[float, bytes]) -> None:
        self.chunks = list(chunks)
        self.sent: list[bytes] = []
        self.unsent = b""
        self.waits: list[float] = []
        self.time = 0
        self.flush_error: Exception | None = None
        self.closed = False

    pending = 0

    def now(self) -> int:
        return self.time

    def read(self, limit: int, timeout: float) -> Callable[[], bytes]:
        def leaf() -> bytes:
            self.waits.append(timeout)
            chunk = self.chunks.pop(0) if self.chunks else b""
            if isinstance(chunk, Exception):
                raise chunk
            if isinstance(chunk, tuple):
                delay, chunk = chunk
                if delay > timeout:
                    self.time += int(timeout * SECOND)
                    raise TimedOut
                self.time += int(delay * SECOND)
            if len(chunk) > limit:
                self.chunks.insert(0, chunk[limit:])
            return chunk[:limit]

        return leaf

    def write(self, data: bytes) -> None:
        self.unsent += data

    def flush(self, timeout: float) -> Callable[[], None]:
        def leaf() -> None:
            if self.flush_error is not None:
                raise self.flush_error
            self.sent.append(self.unsent)
            self.unsent = b""

        return leaf

    def close(self) -> None:
        self.closed = True


def run(task: Wait[Any]) -> Any:
    """Runs a generator whose leaves are functions."""
    value: Any = None
    error: Exception | None = None
    while True:
        try:
            leaf = task.send(value) if error is None else task.throw(error)
        except StopIteration as stop:
            return stop.value
        error = None
        try:
            value = leaf()
        except (TimedOut, Gone) as raised:
            error = raised


def stream(peer: Peer, **options: Any) -> SmtpStream:
    return SmtpStream(peer, **options)  # type: ignore[arg-type]


def lines(peer: Peer, limit: int, skip: bool = False) -> list[tuple[bytes, bool]]:
    client = stream(peer)
    found: list[tuple[bytes, bool]] = []
    while True:
        try:
            found.append((run(client.get(limit, skip)), client.complete))
        except SmtpEof:
            return found


LINES = [
    # input, limit, lines and whether each came to its end
    (b"EHLO a\r\nQUIT\r\n", 100, [(b"EHLO a", True), (b"QUIT", True)]),
    (
        b"bare\nmany\r\r\r\nin\rside\r\n",
        100,
        [(b"bare", True), (b"many", True), (b"in\rside", True)],
    ),
    (b"\r\n\n", 100, [(b"", True), (b"", True)]),
    (b"nul\0 \xff\r\n", 100, [(b"nul\0 \xff", True)]),
    (b"12345\r\n", 7, [(b"12345", True)]),
    (b"123456\r\n", 7, [(b"123456", True)]),
    (b"1234567\r\n", 7, [(b"1234567", False), (b"", True)]),
    (b"12345678\n", 7, [(b"1234567", False), (b"8", True)]),
    (b"123456\rx\n", 7, [(b"123456\r", False), (b"x", True)]),
    (b"123456\r\r\n", 7, [(b"123456\r", False), (b"", True)]),
    (b"x" * 20 + b"\n", 7, [(b"x" * 7, False), (b"x" * 7, False), (b"x" * 6, True)]),
    (b"x" * 5000 + b"\r\n", 0, [(b"x" * 5000, True)]),
    (b"whole\r\npart", 100, [(b"whole", True)]),
    (b"123456\r", 7, []),
]


@pytest.mark.parametrize(("data", "limit", "found"), LINES)
def test_lines_lose_their_ends_and_long_ones_come_in_parts(
    data: bytes, limit: int, found: list[tuple[bytes, bool]]
) -> None:
    assert lines(Peer(data), limit) == found


@pytest.mark.parametrize(("data", "limit", "found"), LINES)
def test_it_does_not_matter_how_the_bytes_come(
    data: bytes, limit: int, found: list[tuple[bytes, bool]]
) -> None:
    assert lines(Peer(*(data[n : n + 1] for n in range(len(data)))), limit) == found


def test_the_rest_of_a_long_line_can_be_thrown_away() -> None:
    peer = Peer(b"x" * 30, b"x" * 30 + b"\r", b"\nnext\r\n")
    assert lines(peer, 10, skip=True) == [(b"x" * 10, False), (b"next", True)]
    assert lines(Peer(b"x" * 30), 10, skip=True) == []


def test_a_reset_is_the_end_and_silence_is_a_timeout() -> None:
    with pytest.raises(SmtpEof):
        run(stream(Peer(Gone())).get(100))
    peer = Peer(TimedOut())
    with pytest.raises(SmtpTimeout):
        run(stream(peer, timeout=30).get(100))
    assert peer.waits == [30]


def test_the_time_limit_is_for_each_wait_unless_there_is_a_deadline() -> None:
    slow = [(8.0, b"a"), (8.0, b"b"), (8.0, b"\r\n"), (8.0, b"c"), (8.0, b"\r\n")]
    peer = Peer(*slow)
    assert run(stream(peer, timeout=10).get(100)) == b"ab"
    peer = Peer(*slow)
    with pytest.raises(SmtpTimeout):
        run(stream(peer, timeout=10, deadline=True, now=peer.now).get(100))
    assert peer.waits == [10, 2]
    assert peer.time == 10 * SECOND


def test_a_deadline_begins_anew_with_each_line() -> None:
    peer = Peer((3.0, b"a"), (3.0, b"\r\nb"), (4.5, b"\r\n"))
    client = stream(peer, timeout=10, deadline=True, now=peer.now)
    assert run(client.get(100)) == b"a"
    assert run(client.get(100)) == b"b"
    assert peer.waits == [10, 7, 10]


def test_output_waits_until_input_is_needed() -> None:
    peer = Peer(b"one\r\ntwo\r\n", b"three\r\n")
    client = stream(peer)
    client.put_line(b"220 hello")
    assert run(client.get(100)) == b"one"
    assert peer.sent == [b"220 hello\r\n"]
    client.put_line(b"250 one")
    assert run(client.get(100)) == b"two"
    client.put(b"250 ")
    client.put(b"two\r\n")
    assert client.out_pending == 18
    assert len(peer.sent) == 1
    assert run(client.get(100)) == b"three"
    assert peer.sent[1:] == [b"250 one\r\n250 two\r\n"]
    assert client.out_pending == 0


def test_flush_sends_and_says_what_went_wrong() -> None:
    peer = Peer()
    client = stream(peer)
    run(client.flush())
    assert peer.sent == []
    client.put_line(b"x")
    run(client.flush())
    assert peer.sent == [b"x\r\n"]
    for error, raised in ((Gone(), SmtpEof), (TimedOut(), SmtpTimeout)):
        peer.flush_error = error
        client.put_line(b"x")
        with pytest.raises(raised):
            run(client.flush())
        assert client.out_pending == 0


def test_drain_sends_whole_buffers() -> None:
    peer = Peer()
    client = stream(peer)
    client.put(b"x" * 4000)
    run(client.drain())
    assert peer.sent == []
    client.put(b"y" * 5000)
    run(client.drain())
    assert [len(data) for data in peer.sent] == [8192]
    assert client.out_pending == 9000 - 8192
    client.close()
    assert peer.unsent == b"y" * (9000 - 8192)
    assert peer.closed


def test_input_can_be_looked_at_and_purged() -> None:
    peer = Peer(b"STARTTLS\r\nMAIL FROM:<>\r\n")
    client = stream(peer)
    assert not client.readable
    assert run(client.get(100)) == b"STARTTLS"
    assert client.readable
    assert client.peek() == b"MAIL FROM:<>\r\n"
    client.put_line(b"220 go")
    client.purge()
    assert client.peek() == b""
    assert client.out_pending == 0
    peer.pending = 3
    assert client.readable


def test_single_bytes_can_be_read() -> None:
    client = stream(Peer(b"ab"))
    assert [run(client.get_char()), run(client.get_char())] == [97, 98]
    with pytest.raises(SmtpEof):
        run(client.get_char())


def text(client: SmtpStream, limit: int, unstuff: bool = True) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    end = False
    while not end:
        rows, end = run(client.get_text(limit, found[-1][0] if found else "", unstuff))
        found += rows
    return found


TEXTS = [
    (b".\r\n", []),
    (b"a\r\nb\r\n.\r\n", [("N", b"a"), ("N", b"b")]),
    (b"..a\r\n.b\r\n..\r\n.\r\n", [("N", b".a"), ("N", b"b"), ("N", b".")]),
    (b"a\r\n\r\n\n.\n", [("N", b"a"), ("N", b""), ("N", b"")]),
    (b"a\r\n.\r\r\n", [("N", b"a")]),
    (b"123456789012345\r\n.\r\n", [("L", b"1234567890"), ("N", b"12345")]),
    (b"1234567890.\r\n.\r\n", [("L", b"1234567890"), ("N", b".")]),
    (b"123456789\r\n.\r\n", [("N", b"123456789")]),
    (b"1234567890\r\n.\r\n", [("L", b"1234567890"), ("N", b"")]),
    (b".234567890..\r\n.\r\n", [("L", b"234567890"), ("N", b"..")]),
    (b"1234567890.\n..\n.\n", [("L", b"1234567890"), ("N", b"."), ("N", b".")]),
]


@pytest.mark.parametrize(("data", "found"), TEXTS)
def test_content_is_read_up_to_the_lone_dot(data: bytes, found: list[tuple[str, bytes]]) -> None:
    client = stream(Peer(data + b"QUIT\r\n"))
    assert text(client, 10) == found
    assert run(client.get(100)) == b"QUIT"
    client = stream(Peer(*(data[n : n + 1] for n in range(len(data))), b"QUIT\r\n"))
    assert text(client, 10) == found
    assert run(client.get(100)) == b"QUIT"


def test_dots_can_be_left_for_a_proxy() -> None:
    client = stream(Peer(b"..a\r\n.b\r\n.\r\n"))
    assert text(client, 100, unstuff=False) == [("N", b"..a"), ("N", b".b")]


def test_content_that_breaks_off_is_an_error() -> None:
    client = stream(Peer(b"a\r\n", b"b"))
    with pytest.raises(SmtpEof):
        text(client, 100)


def slowly(client: SmtpStream, limit: int) -> list[tuple[str, bytes]]:
    """Content line by line, by the book."""
    found: list[tuple[str, bytes]] = []
    while True:
        line = run(client.get(limit))
        if not (found and found[-1][0] == "L") and line.startswith(b"."):
            line = line[1:]
            if not line:
                return found
        found.append(("N" if client.complete else "L", line))


@given(
    st.lists(
        st.sampled_from([b"a", b".", b"\r", b"\n", b"\r\n", b"abcdef", b"\r\n."]), max_size=20
    ),
    st.integers(2, 8),
    st.integers(1, 9),
)
def test_reading_many_lines_is_reading_them_one_by_one(
    parts: list[bytes], limit: int, size: int
) -> None:
    data = b"".join(parts) + b"\r\n.\r\nrest\r\n"
    chunks = [data[n : n + size] for n in range(0, len(data), size)]
    one, many = stream(Peer(*chunks)), stream(Peer(*chunks))
    try:
        expected = slowly(one, limit)
    except SmtpEof:
        with pytest.raises(SmtpEof):
            text(many, limit)
        return
    assert text(many, limit) == expected
    assert run(many.get(100)) == run(one.get(100))
