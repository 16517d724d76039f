"""Streams: bytes arrive whole, in order, at exact times, and end as TCP connections do."""

from __future__ import annotations

from typing import Any

import pytest
from two_hosts import LATENCY, SERVER, TwoHosts

from mta.system import Gone, Stream, TimedOut, Unix, Wait
from sim.engine import Alarm
from sim.streams import WINDOW


@pytest.fixture
def hosts() -> TwoHosts:
    return TwoHosts()


class TestLines:
    @pytest.mark.parametrize(
        ("segments", "limit", "lines"),
        [
            ([b"one\r\ntwo\r\n"], 100, [b"one\r\n", b"two\r\n", b""]),
            ([b"on", b"e\r", b"\ntwo\n"], 100, [b"one\r\n", b"two\n", b""]),
            ([b"no end"], 100, [b"no end", b""]),
            ([b"a\nno end"], 100, [b"a\n", b"no end", b""]),
            ([b"12345678\n"], 4, [b"1234", b"5678", b"\n", b""]),
            ([b"123\n"], 4, [b"123\n", b""]),
            ([b"12", b"345\n"], 4, [b"1234", b"5\n", b""]),
            ([b"\n\n"], 10, [b"\n", b"\n", b""]),
            ([], 10, [b""]),
        ],
    )
    def test_lines_come_whole_however_they_were_cut(
        self, hosts: TwoHosts, segments: list[bytes], limit: int, lines: list[bytes]
    ) -> None:
        hosts.serve(hosts.sends(*segments))

        def client() -> Wait[list[bytes]]:
            stream = yield hosts.connect()
            got = []
            while not got or got[-1]:
                got.append((yield stream.read_line(limit, 10)))
            stream.close()
            return got

        assert hosts.run(client()) == [lines]

    def test_taking_a_line_never_waits(self, hosts: TwoHosts) -> None:
        hosts.serve(hosts.sends(b"one\ntw", b"o\nthree"))

        def client() -> Wait[list[bytes | None]]:
            stream = yield hosts.connect()
            got = [stream.take_line(100)]
            got.append((yield stream.read_line(100, 10)))
            got.append(stream.take_line(100))
            assert stream.pending == 2
            yield hosts.here.sleep(1)
            assert stream.pending == 9
            assert not stream.at_end
            got += [stream.take_line(100), stream.take_line(100), stream.take_line(100)]
            assert stream.at_end
            stream.close()
            return got

        assert hosts.run(client()) == [[None, b"one\n", None, b"two\n", b"three", b""]]

    def test_reading_takes_what_is_there_up_to_its_limit(self, hosts: TwoHosts) -> None:
        hosts.serve(hosts.sends(b"abcdef", b"gh"))

        def client() -> Wait[list[bytes]]:
            stream = yield hosts.connect()
            got = []
            for limit in (2, 100, 100, 100):
                got.append((yield stream.read(limit, 10)))
            return got

        assert hosts.run(client()) == [[b"ab", b"cdef", b"gh", b""]]


class TestTime:
    def test_a_segment_takes_the_latency_of_the_link(self, hosts: TwoHosts) -> None:
        def echo(stream: Stream) -> Wait[None]:
            line = yield stream.read_line(100, 10)
            stream.write(line)
            yield stream.flush(10)
            stream.close()

        hosts.serve(echo)

        def client() -> Wait[list[int]]:
            moments = [hosts.elapsed]
            stream = yield hosts.connect()
            moments.append(hosts.elapsed)
            stream.write(b"hel")
            stream.write(b"lo\n")
            yield stream.flush(10)
            moments.append(hosts.elapsed)
            assert (yield stream.read_line(100, 10)) == b"hello\n"
            moments.append(hosts.elapsed)
            return moments

        assert hosts.run(client()) == [[0, 2 * LATENCY, 2 * LATENCY, 4 * LATENCY]]

    def test_what_is_not_flushed_does_not_leave(self, hosts: TwoHosts) -> None:
        def silent(stream: Stream) -> Wait[None]:
            stream.write(b"220 hello\r\n")
            yield hosts.there.sleep(5)
            stream.close()

        hosts.serve(silent)

        def client() -> Wait[tuple[bytes, int]]:
            stream = yield hosts.connect()
            return (yield stream.read_line(100, 10)), hosts.elapsed

        assert hosts.run(client()) == [(b"220 hello\r\n", 5_000_000 + 2 * LATENCY)]

    @pytest.mark.parametrize("how", ["read", "read_line"])
    @pytest.mark.parametrize("timeout", [0.5, 3, 300])
    def test_a_time_limit_is_exact(self, hosts: TwoHosts, how: str, timeout: float) -> None:
        def silent(_: Stream) -> Wait[None]:
            yield hosts.there.sleep(1000)

        hosts.serve(silent)

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            began = hosts.elapsed
            with pytest.raises(TimedOut):
                yield getattr(stream, how)(100, timeout)
            return hosts.elapsed - began

        assert hosts.run(client()) == [timeout * 1_000_000]

    def test_each_wait_has_a_limit_of_its_own(self, hosts: TwoHosts) -> None:
        """A long limit, then a shorter one, then one that data has already reset."""
        hosts.serve(hosts.sends(b"a\n", b"b\n", b"c\n", gap=2.0))

        def client() -> Wait[list[Any]]:
            stream = yield hosts.connect()
            got: list[Any] = []
            for timeout in (300, 1, 3, 0.5, 1.6):
                try:
                    line = yield stream.read_line(10, timeout)
                except TimedOut:
                    line = None
                got.append((line, hosts.elapsed - 2 * LATENCY))
            return got

        assert hosts.run(client())[0] == [
            (b"a\n", 0),
            (None, 1_000_000),
            (b"b\n", 2_000_000),
            (None, 2_500_000),
            (b"c\n", 4_000_000),
        ]

    def test_zero_stands_for_no_limit(self, hosts: TwoHosts) -> None:
        hosts.serve(hosts.sends(b"a\n", b"b\n", gap=86400))

        def client() -> Wait[list[bytes]]:
            stream = yield hosts.connect()
            first = yield stream.read_line(10, 5)
            return [first, (yield stream.read_line(10, 0)), (yield stream.read(10, 0))]

        assert hosts.run(client()) == [[b"a\n", b"b\n", b""]]
        assert hosts.elapsed == 2 * 86400 * 1_000_000 + 2 * LATENCY


class TestEnd:
    def test_the_other_side_reads_what_was_sent_and_then_the_end(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            stream.write(b"221 bye\r\n")
            stream.close()
            stream.close()
            return
            yield

        hosts.serve(server)

        def client() -> Wait[list[bytes]]:
            stream = yield hosts.connect()
            got = [(yield stream.read_line(100, 5)), (yield stream.read_line(100, 5))]
            assert stream.at_end
            got.append((yield stream.read(100, 5)))
            stream.close()
            return got

        assert hosts.run(client()) == [[b"221 bye\r\n", b"", b""]]
        assert hosts.world.network.links == {}

    def test_sending_to_who_has_closed_succeeds_once(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            stream.close()
            return
            yield

        hosts.serve(server)

        def client() -> Wait[list[Any]]:
            stream = yield hosts.connect()
            yield hosts.here.sleep(1)
            stream.write(b"NOOP\r\n")
            yield stream.flush(5)
            stream.write(b"NOOP\r\n")
            yield stream.flush(5)
            yield hosts.here.sleep(0.000399)
            stream.write(b"NOOP\r\n")
            yield stream.flush(5)
            yield hosts.here.sleep(0.000001)
            stream.write(b"NOOP\r\n")
            with pytest.raises(Gone, match="Broken pipe"):
                yield stream.flush(5)
            return (yield stream.read(10, 5))

        assert hosts.run(client()) == [b""]

    def test_closing_with_unread_data_sends_a_reset(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            yield hosts.there.sleep(1)
            assert stream.pending == 6
            stream.write(b"421 bye\r\n")
            stream.close()

        hosts.serve(server)

        def client() -> Wait[bytes]:
            stream = yield hosts.connect()
            stream.write(b"HELLO\n")
            yield stream.flush(5)
            line = yield stream.read_line(100, 5)
            with pytest.raises(Gone, match="Connection reset by peer"):
                yield stream.read_line(100, 5)
            assert stream.at_end
            stream.close()
            return line

        assert hosts.run(client()) == [b"421 bye\r\n"]

    def test_a_reset_wakes_who_reads(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            yield hosts.there.sleep(1)
            stream.abort()
            stream.abort()

        hosts.serve(server)

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            with pytest.raises(Gone, match="reset"):
                yield stream.read_line(100, 300)
            moment = hosts.elapsed
            with pytest.raises(Gone, match="reset"):
                yield stream.read(100, 300)
            stream.write(b"x")
            with pytest.raises(Gone, match="reset"):
                yield stream.flush(300)
            return moment

        assert hosts.run(client()) == [1_000_000 + 2 * LATENCY]

    def test_part_of_a_line_can_be_read_after_a_reset(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            stream.write(b"220 hel")
            yield stream.flush(5)
            stream.abort()

        hosts.serve(server)

        def client() -> Wait[bytes]:
            stream = yield hosts.connect()
            part = yield stream.read_line(100, 300)
            with pytest.raises(Gone):
                yield stream.read_line(100, 300)
            return part

        assert hosts.run(client()) == [b"220 hel"]

    def test_an_end_that_is_closed_here_cannot_be_used(self, hosts: TwoHosts) -> None:
        hosts.serve(hosts.sends(b"x"))

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            stream.close()
            with pytest.raises(Gone, match="Bad file descriptor"):
                yield stream.read(10, 5)
            stream.write(b"x")
            with pytest.raises(Gone, match="Bad file descriptor"):
                yield stream.flush(5)

        hosts.run(client())

    def test_closing_wakes_another_task_that_reads(self, hosts: TwoHosts) -> None:
        def silent(stream: Stream) -> Wait[None]:
            yield stream.read(10, 100)

        hosts.serve(silent)

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            hosts.here.after(1, stream.close)
            with pytest.raises(Gone):
                yield stream.read(10, 300)
            return hosts.elapsed

        assert hosts.run(client()) == [1_000_000 + 2 * LATENCY]

    def test_an_ended_connection_leaves_no_alarm(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            yield stream.read_line(100, 300)
            stream.close()

        hosts.serve(server)

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            stream.write(b"x\n")
            yield stream.flush(300)
            yield stream.read_line(100, 300)
            stream.close()

        hosts.run(client())
        hosts.world.run_for(1)
        assert {type(entry[3]) for entry in hosts.world.engine._queue} <= {Alarm}
        assert [entry[3].action for entry in hosts.world.engine._queue] == [None, None]


class TestWindow:
    def test_who_does_not_read_makes_the_sender_wait(self, hosts: TwoHosts) -> None:
        def lazy(stream: Stream) -> Wait[int]:
            yield hosts.there.sleep(60)
            assert stream.pending == WINDOW
            total = 0
            while data := (yield stream.read(100_000, 10)):
                total += len(data)
            assert total == 3 * WINDOW
            return total

        hosts.serve(lazy)

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            stream.write(b"x" * 3 * WINDOW)
            yield stream.flush(100)
            stream.close()
            return hosts.elapsed

        (moment,) = hosts.run(client())
        assert 60_000_000 < moment < 60_100_000

    def test_waiting_for_room_has_a_limit_of_time(self, hosts: TwoHosts) -> None:
        def asleep(_: Stream) -> Wait[None]:
            yield hosts.there.sleep(1000)

        hosts.serve(asleep)

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            stream.write(b"x" * (WINDOW + 1))
            with pytest.raises(TimedOut):
                yield stream.flush(30)
            return hosts.elapsed

        assert hosts.run(client()) == [30_000_000 + 2 * LATENCY]

    def test_progress_starts_the_limit_again(self, hosts: TwoHosts) -> None:
        def slow(stream: Stream) -> Wait[None]:
            for _ in range(5):
                yield hosts.there.sleep(20)
                yield stream.read(WINDOW, 1)
            while (yield stream.read(WINDOW, 100)):
                pass

        hosts.serve(slow)

        def client() -> Wait[None]:
            stream = yield hosts.connect()
            stream.write(b"x" * 5 * WINDOW)
            yield stream.flush(30)
            stream.close()

        hosts.run(client())
        assert hosts.elapsed > 80_000_000

    def test_a_reset_wakes_who_waits_for_room(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            yield hosts.there.sleep(1)
            stream.abort()

        hosts.serve(server)

        def client() -> Wait[int]:
            stream = yield hosts.connect()
            stream.write(b"x" * 2 * WINDOW)
            with pytest.raises(Gone):
                yield stream.flush(30)
            return hosts.elapsed

        assert hosts.run(client()) == [1_000_000 + 2 * LATENCY]

    def test_one_task_may_read_while_another_waits_for_room(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            yield hosts.there.sleep(40)
            stream.write(b"late\n")
            yield stream.flush(1)
            yield hosts.there.sleep(1000)

        hosts.serve(server)

        def client() -> Wait[tuple[int, bytes]]:
            stream = yield hosts.connect()
            lines: list[bytes] = []

            def reader() -> Wait[None]:
                lines.append((yield stream.read_line(100, 300)))

            hosts.here.spawn(reader(), "reader")
            stream.write(b"x" * 2 * WINDOW)
            with pytest.raises(TimedOut):
                yield stream.flush(10)
            moment = hosts.elapsed
            yield hosts.here.sleep(100)
            return moment, lines[0]

        assert hosts.run(client()) == [(10_000_000 + 2 * LATENCY, b"late\n")]


class TestLocalSockets:
    PATH = Unix("/var/spool/postfix/private/policy")

    def test_a_conversation(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            line = yield stream.read_line(100, 5)
            stream.write(b"got " + line)
            yield stream.flush(5)
            stream.close()

        hosts.here.network.listen(self.PATH, server)

        def client() -> Wait[Any]:
            stream = yield hosts.here.network.connect(self.PATH, 5)
            assert stream.remote == self.PATH
            stream.write(b"x\n")
            yield stream.flush(5)
            return (yield stream.read_line(100, 5)), hosts.elapsed

        assert hosts.run(client()) == [(b"got x\n", 40)]

    def test_the_sender_knows_at_once_that_the_other_side_has_closed(self, hosts: TwoHosts) -> None:
        def server(stream: Stream) -> Wait[None]:
            stream.close()
            return
            yield

        hosts.here.network.listen(self.PATH, server)

        def client() -> Wait[None]:
            stream = yield hosts.here.network.connect(self.PATH, 5)
            yield hosts.here.sleep(1)
            stream.write(b"x")
            with pytest.raises(Gone, match="Broken pipe"):
                yield stream.flush(5)
            assert (yield stream.read(10, 5)) == b""

        hosts.run(client())

    @pytest.mark.parametrize(
        ("path", "why"),
        [("/nowhere", "No such file or directory"), (PATH.path, "Connection refused")],
    )
    def test_a_socket_that_nobody_serves(self, hosts: TwoHosts, path: str, why: str) -> None:
        leave = hosts.here.network.listen(self.PATH, hosts.sends())
        leave()
        error, took = hosts.outcome(lambda: hosts.here.network.connect(Unix(path), 5))
        assert (str(error), took) == (why, 0)


def test_both_ends_know_their_names(hosts: TwoHosts) -> None:
    seen = []

    def server(stream: Stream) -> Wait[None]:
        seen.append((stream.local, stream.remote))
        return
        yield

    hosts.serve(server)

    def client() -> Wait[Any]:
        stream = yield hosts.connect()
        return stream.local, stream.remote

    assert hosts.run(client()) == [(("192.0.2.25", 40000), SERVER)]
    assert seen == [(SERVER, ("192.0.2.25", 40000))]


class TestBeingTold:
    @pytest.mark.parametrize("segments", [[b"one\n"], []], ids=["input", "the end"])
    def test_who_asks_is_told_once_that_there_is_something_to_read(
        self, hosts: TwoHosts, segments: list[bytes]
    ) -> None:
        hosts.serve(hosts.sends(*segments))
        told: list[int] = []

        def client() -> Wait[bytes]:
            stream: Stream = yield hosts.connect()
            stream.when_readable(lambda: told.append(hosts.here.now()))
            assert told == []
            yield hosts.here.sleep(1)
            assert len(told) == 1
            stream.when_readable(lambda: told.append(0))
            assert told[1:] == [0]
            seen = stream.peek()
            assert (yield stream.read(100, 10)) == seen
            return seen

        assert hosts.run(client()) == [b"".join(segments)]

    def test_it_can_be_taken_back(self, hosts: TwoHosts) -> None:
        hosts.serve(hosts.sends(b"one\n"))
        told: list[str] = []

        def client() -> Wait[None]:
            stream: Stream = yield hosts.connect()
            stream.when_readable(lambda: told.append("told"))
            stream.when_readable(None)
            yield hosts.here.sleep(1)

        hosts.run(client())
        assert told == []
