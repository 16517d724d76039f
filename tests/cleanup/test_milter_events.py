"""What milters are told of mail that does not come by SMTP, and what their answers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mta.cleanup import milter
from mta.cleanup.milter_edit import MILTER_BODY_END, MILTER_BODY_LINE, MILTER_BODY_START, Edits
from mta.lib.requests import CLEANUP_STAT_CONT, CLEANUP_STAT_DEFER
from mta.system import Wait
from tests.cleanup.cleanup_site import EXTERNAL, CleanupSite

Site = type[CleanupSite]
Edit = Callable[[Edits], Wait[str | None]]


class FakeMilters:
    """Notes what it is told, and answers as the test says."""

    def __init__(self, replies: dict[str, str], edits: Sequence[Edit] = ()) -> None:
        self.replies = replies
        self.edits = edits
        self.events: list[Any] = []
        self.macro: Callable[[str], str | None] = lambda _name: None
        self.editor: Any = None

    def macro_callback(self, lookup: Callable[[str], str | None]) -> None:
        self.macro = lookup

    def edit_callback(self, edits: Edits) -> None:
        self.editor = edits

    def _event(self, name: str, *facts: Any) -> Wait[str | None]:
        self.events.append((name, *facts))
        return self.replies.get(name)
        yield None

    def conn_event(self, name: str, addr: str, port: str, family: int) -> Wait[str | None]:
        return self._event("connect", name, addr, port, family)

    def helo_event(self, name: str, esmtp: bool) -> Wait[str | None]:
        return self._event("helo", name, esmtp)

    def mail_event(self, argv: Sequence[str]) -> Wait[str | None]:
        return self._event("mail", *argv)

    def rcpt_event(self, flags: int, argv: Sequence[str]) -> Wait[str | None]:
        return self._event("rcpt", *argv)

    def data_event(self) -> Wait[str | None]:
        return self._event("data")

    def message(
        self, data: bytearray, offset: int, auto_headers: Sequence[str], too_big: str = ""
    ) -> Wait[str | None]:
        self.events.append(("message", data[offset : offset + 1], list(auto_headers)))
        for edit in self.edits:
            reply = yield from edit(self.editor)
            if reply is not None:
                return reply
        return self.replies.get("message")

    def disc_event(self) -> Wait[None]:
        self.events.append("disconnect")
        return
        yield None


@pytest.fixture
def make(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A mail system with fake milters."""

    def build(
        replies: dict[str, str] | None = None, edits: Sequence[Edit] = (), main_cf: str = "",
        files: dict[str, str] | None = None,
    ) -> tuple[CleanupSite, FakeMilters]:  # fmt: skip
        milters = FakeMilters(replies or {}, edits)
        monkeypatch.setattr(milter, "factory", lambda _process, _spec: milters)
        return site(f"non_smtpd_milters = inet:127.0.0.1:9\n{main_cf}", files), milters

    return build


def test_an_smtp_session_is_made_up(make: Callable[..., Any]) -> None:
    postfix, milters = make()
    postfix.send("Subject: x", "", "body", to=("b@c.test", "d e@f.test"))
    assert milters.events == [
        ("connect", "localhost", "127.0.0.1", "0", 2),
        ("helo", "localhost", True),
        ("mail", "a@client.test"),
        ("rcpt", "b@c.test"),
        ("rcpt", '"d e"@f.test'),
        ("data",),
        ("message", b"N", ["Received: from somewhere"]),
        "disconnect",
    ]


def test_the_client_s_own_facts_are_told_where_they_are_known(make: Callable[..., Any]) -> None:
    postfix, milters = make()
    attributes = ("client_name=c.test", "client_address=2001:db8::1", "client_address_type=10",
                  "client_port=25", "reverse_client_name=r.test", "helo_name=h.test",
                  "sasl_username=u")  # fmt: skip
    result = postfix.send("", attributes=attributes)
    assert milters.events[:2] == [
        ("connect", "c.test", "2001:db8::1", "25", 10), ("helo", "h.test", True)
    ]  # fmt: skip
    values = {name: milters.macro(name) for name in ("_", "{i}", "j", "{auth_authen}", "nothing")}
    assert values == {
        "_": "r.test [2001:db8::1] (may be forged)",
        "{i}": result.queue_id,
        "j": "mx.example.org",
        "{auth_authen}": "u",
        "nothing": None,
    }


WHERE = "from localhost[127.0.0.1]"


@pytest.mark.parametrize(
    ("event", "reply", "status", "reason", "queue", "logged"),
    [
        ("message", "550 5.7.1 no", CLEANUP_STAT_CONT, "550 5.7.1 no", "",
         f"milter-reject: END-OF-MESSAGE {WHERE}: 5.7.1 no; from=<a@client.test> to=<b@dest.test>"),
        ("message", "451 4.7.1 wait", CLEANUP_STAT_DEFER, "451 4.7.1 wait", "",
         f"milter-reject: END-OF-MESSAGE {WHERE}: 4.7.1 wait; "
         "from=<a@client.test> to=<b@dest.test>"),
        ("message", "H", 0, "", "hold",
         f"milter-hold: END-OF-MESSAGE {WHERE}: milter triggers HOLD action; "
         "from=<a@client.test> to=<b@dest.test>"),
        ("message", "D", 0, "", "",
         f"milter-discard: END-OF-MESSAGE {WHERE}: milter triggers DISCARD action; "
         "from=<a@client.test> to=<b@dest.test>"),
        ("mail", "550 5.7.1 no", CLEANUP_STAT_CONT, "550 5.7.1 no", "",
         f"milter-reject: MAIL {WHERE}: 5.7.1 no; from=<a@client.test>"),
        ("connect", "550 5.7.1 no", CLEANUP_STAT_CONT, "550 5.7.1 no", "",
         f"milter-reject: CONNECT {WHERE}: 5.7.1 no; from=<a@client.test>"),
        ("rcpt", "550 5.7.1 no", CLEANUP_STAT_CONT | CLEANUP_STAT_DEFER,
         "4.3.5 Server configuration error", "",
         f"milter-reject: RCPT {WHERE}: 5.7.1 no; from=<a@client.test> to=<b@dest.test>"),
    ],
)  # fmt: skip
def test_answers_decide_about_the_message(
    make: Callable[..., Any], event: str, reply: str, status: int, reason: str, queue: str,
    logged: str,
) -> None:  # fmt: skip
    postfix, _milters = make({event: reply})
    result = postfix.send("Message-Id: x", "")
    assert (result.reply.status, result.reply.reason) == (status, reason)
    assert result.queue == queue
    assert f"cleanup: QID: {logged}" in postfix.log()


def test_milters_edit_the_message(make: Callable[..., Any]) -> None:
    edits: list[Edit] = [
        lambda e: e.add_header("X-Last", " ", "z"),
        lambda e: e.ins_header(1, "X-First", " ", "a"),
        lambda e: e.upd_header(1, "Subject", " ", "new\nfolded"),
        lambda e: e.del_header(1, "X-Gone"),
        lambda e: e.chg_from("<new@sender.test>", ""),
        lambda e: e.add_rcpt("added@dest.test"),
        lambda e: e.del_rcpt("<b@dest.test>"),
        lambda e: e.repl_body(MILTER_BODY_START),
        *(lambda e, n=n: e.repl_body(MILTER_BODY_LINE, b"line %d" % n) for n in range(9)),
        lambda e: e.repl_body(MILTER_BODY_END),
    ]
    postfix, _milters = make(edits=edits)
    result = postfix.send("Subject: x", "X-Gone: y", " folded", "X-Kept: z", "", "body",
                          to=("b@dest.test", "c@dest.test"),
                          attributes=("rewrite_context=remote",))  # fmt: skip
    assert result.reply.status == 0
    assert result.content == [
        "X-First: a", "Subject: new", "\tfolded", "X-Kept: z", "X-Last: z", "",
        *(f"line {n}" for n in range(9)),
    ]  # fmt: skip
    assert result.of("S") == ["new@sender.test"]
    assert result.recipients == ["c@dest.test", "added@dest.test"]
    assert result.of("/") == ["b@dest.test"]


@pytest.mark.parametrize(
    ("arguments", "notify", "orcpt", "warning"),
    [
        ("NOTIFY=success,delay ORCPT=rfc822;a+40b", ["notify_flags=10"],
         ["dsn_orig_rcpt=rfc822;a@b"], None),
        ("SIZE=1", [], [], 'ignoring ESMTP argument from Milter or header/body_checks: "SIZE=1"'),
        ("ORCPT=x", [], [], 'Bad ORCPT parameter from Milter or header/body_checks: "ORCPT=x"'),
        ("NOTIFY=x", [], [], 'Bad NOTIFY parameter from Milter or header/body_checks: "NOTIFY=x"'),
    ],
)  # fmt: skip
def test_added_recipients_have_parameters(
    make: Callable[..., Any], arguments: str, notify: list[str], orcpt: list[str],
    warning: str | None,
) -> None:  # fmt: skip
    postfix, _milters = make(edits=[lambda e: e.add_rcpt_par("new@dest.test", arguments)])
    result = postfix.send("Message-Id: x", "")
    attributes = [data for data in result.of("A") if data.startswith(("notify", "dsn"))]
    assert [a for a in attributes if a.startswith("notify")] == notify
    assert [a for a in attributes if a.startswith("dsn")][1:] == orcpt
    if warning is not None:
        assert f"cleanup: warning: QID: {warning}" in postfix.log()


@pytest.mark.parametrize(
    ("action", "types", "status"),
    [
        ("REJECT no", "", CLEANUP_STAT_CONT),
        ("FILTER smtp:x", "L", 0),
        ("REDIRECT r@x.test", ">", 0),
        ("BCC c@x.test", "", 0),
        ("DISCARD", "", 0),
        ("HOLD", "", 0),
    ],
)
def test_headers_that_milters_add_are_checked(
    make: Callable[..., Any], action: str, types: str, status: int
) -> None:
    postfix, _milters = make(
        edits=[lambda e: e.add_header("X-Spam", " ", "yes")],
        main_cf="milter_header_checks = regexp:/etc/postfix/mhc\n",
        files={"mhc": f"/^X-Spam/ {action}\n"},
    )
    result = postfix.send("Message-Id: x", "")
    assert result.reply.status == status
    verb = action.split()[0]
    logged = [line for line in postfix.log() if "milter-header" in line]
    assert len(logged) == 1
    assert f": milter-header-{verb.lower()}: header X-Spam: yes {WHERE};" in logged[0]
    assert result.queue == {"HOLD": "hold", "DISCARD": "", "REJECT": ""}.get(verb, "incoming")
    assert [rec_type for rec_type, _ in result.records if rec_type in "L>"] == list(types)
    assert ("c@x.test" in result.recipients) is (verb == "BCC")


def test_without_the_flag_milters_hear_nothing(make: Callable[..., Any]) -> None:
    postfix, milters = make()
    postfix.send("", flags=EXTERNAL & ~(1 << 6))
    assert milters.events == ["disconnect"]
