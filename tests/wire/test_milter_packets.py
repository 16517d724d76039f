"""The milter codec: packets there and back, and packets that are wrong."""

import pytest

from mta.wire import milter as wire
from mta.wire import milter_reply as reply
from mta.wire.milter import ExcessData, MalformedPacket, Packet, PacketReader, UnknownCode

EVENTS = [
    (wire.Negotiation(6, 0x1FF, 0x1FFFFF), b"\0\0\0\x0dO\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"),
    (
        wire.Negotiation(6, 1, 0, ((2, "{mail_addr} i"),)),
        b"\0\0\0\x1fO\0\0\0\6\0\0\0\1\0\0\0\0\0\0\0\2{mail_addr} i\0",
    ),
    (wire.Macros(b"C", [("j", "mx"), ("v", "")]), b"\0\0\0\x0aDCj\0mx\0v\0\0"),
    (wire.Connect("c.test", "4", 1025, "192.0.2.1"), b"\0\0\0\x15Cc.test\x004\4\x01192.0.2.1\0"),
    (wire.Connect("localhost", "U"), b"\0\0\0\x0cClocalhost\0U"),
    (wire.Helo("c.test"), b"\0\0\0\x08Hc.test\0"),
    (wire.Mail(["<a@b>", "SIZE=1"]), b"\0\0\0\x0eM<a@b>\0SIZE=1\0"),
    (wire.Rcpt(["<a@b>"]), b"\0\0\0\x07R<a@b>\0"),
    (wire.DATA, b"\0\0\0\x01T"),
    (wire.Header("To", "x\n\ty"), b"\0\0\0\x09LTo\0x\n\ty\0"),
    (wire.Header("To", "\udcff"), b"\0\0\0\x06LTo\0\xff\0"),
    (wire.EOH, b"\0\0\0\x01N"),
    (wire.Body(b"a\r\n\0b"), b"\0\0\0\x06Ba\r\n\0b"),
    (wire.EndOfBody(), b"\0\0\0\x01E"),
    (wire.ABORT, b"\0\0\0\x01A"),
    (wire.QUIT, b"\0\0\0\x01Q"),
    (wire.QUIT_NC, b"\0\0\0\x01K"),
    (wire.Unknown("JUNK x"), b"\0\0\0\x08UJUNK x\0"),
]

REPLIES = [
    (reply.CONTINUE, b"\0\0\0\x01c"),
    (reply.ACCEPT, b"\0\0\0\x01a"),
    (reply.ReplyCode("550 5.7.1 no"), b"\0\0\0\x0ey550 5.7.1 no\0"),
    (reply.Quarantine("why"), b"\0\0\0\x05qwhy\0"),
    (reply.AddHeader("X", "y"), b"\0\0\0\x05hX\0y\0"),
    (reply.InsertHeader(0, "X", "y"), b"\0\0\0\x09i\0\0\0\0X\0y\0"),
    (reply.ChangeHeader(2, "X", ""), b"\0\0\0\x08m\0\0\0\2X\0\0"),
    (reply.ReplaceBody(b"new\r\n"), b"\0\0\0\x06bnew\r\n"),
    (reply.AddRecipient("<a@b>"), b"\0\0\0\x07+<a@b>\0"),
    (reply.AddRecipient("<a@b>", "NOTIFY=NEVER"), b"\0\0\0\x142<a@b>\0NOTIFY=NEVER\0"),
    (reply.DeleteRecipient("<a@b>"), b"\0\0\0\x07-<a@b>\0"),
    (reply.ChangeFrom("<a@b>"), b"\0\0\0\x07e<a@b>\0"),
    (reply.ChangeFrom("<a@b>", "X=1"), b"\0\0\0\x0be<a@b>\0X=1\0"),
    (reply.SetSymlist(1, "j"), b"\0\0\0\x07l\0\0\0\1j\0"),
]


def only_packet(data: bytes) -> Packet:
    reader = PacketReader()
    reader.feed(data)
    packet = reader.next()
    assert packet is not None
    assert reader.pending == 0
    return packet


@pytest.mark.parametrize(("event", "data"), EVENTS)
def test_an_event_becomes_a_packet_and_comes_back(event: wire.Event, data: bytes) -> None:
    assert event.encode() == data
    assert wire.decode_event(only_packet(data)) == event


@pytest.mark.parametrize(("said", "data"), REPLIES)
def test_a_reply_becomes_a_packet_and_comes_back(said: reply.Reply, data: bytes) -> None:
    assert said.encode() == data
    assert reply.decode_reply(only_packet(data)) == said


def test_packets_that_come_byte_by_byte_are_whole() -> None:
    reader = PacketReader()
    found = []
    for byte in b"".join(data for _, data in EVENTS):
        reader.feed(bytes((byte,)))
        while packet := reader.next():
            found.append(wire.decode_event(packet))
    assert found == [event for event, _ in EVENTS]


BAD_REPLIES = [
    (Packet(b"h", b"X\0y", 3), "milter8_read_data: milter {name}: missing string null termimator"),
    (Packet(b"h", b"X\0", 2), "milter {name}: packet too short for string"),
    (
        Packet(b"h", b"X\0y", 9),
        "milter8_read_data: milter {name}: EOF while reading string: {error}",
    ),
    (Packet(b"h", b"X\0y\0zz", 6), "milter8_read_data: left-over data 2 bytes"),
    (Packet(b"i", b"\0\0", 2), "milter {name}: input packet too short for network long"),
    (Packet(b"i", b"\0\0", 20), "milter {name}: EOF while reading network long: {error}"),
    (Packet(b"b", b"ab", 9), "milter {name}: EOF while reading data: {error}"),
]


@pytest.mark.parametrize(("packet", "text"), BAD_REPLIES)
def test_a_reply_with_wrong_data_says_what_is_wrong(packet: Packet, text: str) -> None:
    with pytest.raises(MalformedPacket) as caught:
        reply.decode_reply(packet)
    assert caught.value.args == (text,)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"\0\0\0\0", "bad packet length: 0"),
        (b"\x40\0\0\0", "unreasonable packet length: 1073741824 > 1073741823"),
    ],
)
def test_a_length_that_cannot_be_is_refused(head: bytes, text: str) -> None:
    reader = PacketReader()
    reader.feed(head)
    with pytest.raises(MalformedPacket, match=text):
        reader.next()


def test_a_decision_that_comes_with_data_is_refused() -> None:
    with pytest.raises(ExcessData) as caught:
        reply.decode_reply(Packet(b"c", b"xy", 2))
    assert caught.value.args == ("SMFIR_CONTINUE", 2)


def test_codes_that_do_not_exist_are_told_from_wrong_data() -> None:
    with pytest.raises(UnknownCode):
        reply.decode_reply(Packet(b"?", b"", 0))
    with pytest.raises(UnknownCode):
        wire.decode_event(Packet(b"?", b"", 0))


def test_a_packet_cut_after_its_code_can_be_looked_at() -> None:
    reader = PacketReader()
    reader.feed(b"\0\0\0\x09hX\0y")
    assert reader.next() is None
    assert reader.rest() == Packet(b"h", b"X\0y", 8)


def test_the_step_masks_hold_what_their_versions_had() -> None:
    step = wire.Step
    no_reply = [s for s in step if s.name and s.name.startswith("NR_")]
    no_send = [s for s in step if s.name and s.name.startswith("NO")]
    assert sum(no_reply) == wire.NO_REPLY_MASK
    assert sum(no_send) == wire.NO_SEND_MASK
    assert sum(step) == wire.STEPS_V6
    assert sum(wire.Action) == wire.ALL_ACTIONS
