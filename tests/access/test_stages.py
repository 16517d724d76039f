"""The stages of a session as smtpd calls them: when each list is asked, and what is left behind."""

from __future__ import annotations

import pytest
from access_bench import Bench

from mta.lib.input_transp import INPUT_TRANSP_UNKNOWN_RCPT
from mta.lib.mail_error import MAIL_ERROR_BOUNCE, MAIL_ERROR_POLICY, MAIL_ERROR_RESOURCE
from mta.smtpd import check

ALONE = {"smtpd_relay_restrictions": "check_client_access static:OK, reject"}


def test_delayed_lists_are_asked_in_order_at_the_recipient() -> None:
    bench = Bench(
        {
            "smtpd_client_restrictions": "check_client_access static:{INFO client}",
            "smtpd_helo_restrictions": "check_helo_access static:{INFO helo}",
            "smtpd_sender_restrictions": "check_sender_access static:{INFO sender}",
            "smtpd_relay_restrictions": "check_recipient_access static:{INFO relay}",
            "smtpd_recipient_restrictions": "check_recipient_access static:{INFO rcpt}, reject",
        }
    )
    bench.rcpt()
    seen = [line.split(": ")[3].split(";")[0] for line in bench.log]
    assert seen[:5] == ["client", "helo", "sender", "relay", "rcpt"]


def test_without_delay_only_the_recipient_s_lists_are() -> None:
    bench = Bench(
        {
            "smtpd_delay_reject": "no",
            "smtpd_client_restrictions": "reject",
            "smtpd_recipient_restrictions": "permit_auth_destination, reject",
        }
    )
    session = bench.session
    assert bench.rcpt() is None
    session.where = "CONNECT"
    assert bench.run(check.check_client(session)) == (
        "554 5.7.1 <client.test[198.51.100.7]>: Client host rejected: Access denied"
    )


def test_a_stage_shows_its_own_argument_and_puts_the_old_back() -> None:
    bench = Bench({"smtpd_helo_restrictions": "reject", "smtpd_sender_restrictions": "reject"})
    session = bench.session
    session.sender = session.helo_name = None
    session.where = "EHLO"
    assert bench.run(check.check_helo(session, "new.test")) is not None
    session.where = "MAIL"
    assert bench.run(check.check_mail(session, "new@sender.test")) is not None
    assert session.helo_name is None
    assert session.sender is None
    assert "helo=<new.test>" in bench.log[0]
    assert "from=<new@sender.test>" in bench.log[1]


def test_a_permission_of_relay_restrictions_does_not_skip_recipient_restrictions() -> None:
    bench = Bench(ALONE | {"smtpd_recipient_restrictions": "reject"})
    assert bench.rcpt() is not None


def test_the_bare_postmaster_is_always_welcome() -> None:
    bench = Bench({"smtpd_client_restrictions": "reject"})
    assert bench.rcpt("PostMaster") is None


class TestUnlistedRecipients:
    MAIN = {
        "mydestination": "example.org",
        "local_recipient_maps": "inline:{bob=x}",
        "virtual_alias_domains": "alias.test",
        "virtual_alias_maps": "inline:{a@alias.test=bob}",
        "virtual_mailbox_domains": "box.test",
        "virtual_mailbox_maps": "inline:{b@box.test=x}",
        "relay_domains": "relay.test",
        "relay_recipient_maps": "inline:{r@relay.test=x}",
        "recipient_canonical_maps": "inline:{old@example.org=bob}",
        "transport_maps": "inline:{ {gone.test=error:5.1.6 moved away} {slow.test=retry:4.4.1 later} }",
        "smtpd_recipient_restrictions": "permit",
        **ALONE,
    }

    @pytest.mark.parametrize(
        ("recipient", "reply"),
        [
            ("bob@example.org", None),
            ("old@example.org", None),
            ("postmaster@example.org", None),
            ("double-bounce@example.org", None),
            ("no@example.org", "550 5.1.1 <no@example.org>: Recipient address rejected: User "
             "unknown in local recipient table"),
            ("a@alias.test", None),
            ("no@alias.test", "550 5.1.1 <no@alias.test>: Recipient address rejected: User "
             "unknown in virtual alias table"),
            ("b@box.test", None),
            ("no@box.test", "550 5.1.1 <no@box.test>: Recipient address rejected: User unknown "
             "in virtual mailbox table"),
            ("r@relay.test", None),
            ("no@relay.test", "550 5.1.1 <no@relay.test>: Recipient address rejected: User "
             "unknown in relay recipient table"),
            ("x@gone.test", "550 5.1.6 <x@gone.test>: Recipient address rejected: moved away"),
            ("x@slow.test", "450 4.4.1 <x@slow.test>: Recipient address rejected: later"),
            ("x@far.test", None),
        ],
    )  # fmt: skip
    def test_they_are_rejected_by_the_tables_of_their_class(
        self, recipient: str, reply: str | None
    ) -> None:
        bench = Bench(self.MAIN)
        assert bench.rcpt(recipient) == reply
        assert bool(bench.session.error_mask & MAIL_ERROR_BOUNCE) == (reply is not None)

    def test_unless_that_is_switched_off(self) -> None:
        bench = Bench(self.MAIN | {"smtpd_reject_unlisted_recipient": "no"})
        assert bench.rcpt("no@example.org") is None
        bench = Bench(self.MAIN)
        bench.session.input_transp_mask = INPUT_TRANSP_UNKNOWN_RCPT
        assert bench.rcpt("no@example.org") is None

    def test_an_explicit_check_is_not_made_twice(self) -> None:
        rules = "warn_if_reject reject_unlisted_recipient, permit"
        bench = Bench(self.MAIN | {"smtpd_recipient_restrictions": rules})
        assert bench.rcpt("no@example.org") is not None
        assert ["reject_warning" in line for line in bench.new_log()] == [True, False]
        rules = "reject_unlisted_recipient, permit"
        bench = Bench(self.MAIN | {"smtpd_recipient_restrictions": rules})
        assert bench.rcpt("no@example.org") is not None
        assert len(bench.log) == 1

    def test_unlisted_senders_too_where_that_is_wanted(self) -> None:
        bench = Bench(self.MAIN | {"smtpd_reject_unlisted_sender": "yes"})
        bench.session.sender = "no@box.test"
        assert bench.rcpt("bob@example.org") == (
            "550 5.1.0 <no@box.test>: Sender address rejected: User unknown in virtual mailbox table"
        )
        bench.session.sender = "x@gone.test"
        assert bench.rcpt("bob@example.org") == (
            "550 5.1.7 <x@gone.test>: Sender address rejected: moved away"
        )
        assert "mapping DSN status 5.1.6 into Sender address status 5.1.7" in bench.log

    def test_a_table_that_fails_is_a_451(self) -> None:
        bench = Bench(self.MAIN | {"local_recipient_maps": "fail:x"})
        assert bench.rcpt("bob@example.org") == (
            "451 4.3.0 <bob@example.org>: Temporary lookup failure"
        )

    def test_a_failure_to_resolve_is_remembered(self) -> None:
        bench = Bench(self.MAIN | {"virtual_mailbox_domains": "fail:x"})
        for _ in range(2):
            assert bench.rcpt("x@far.test") == (
                "451 4.3.0 <x@far.test>: Temporary lookup failure"
            )
        assert len([line for line in bench.log if "table lookup problem" in line]) == 1


class TestWholeMessages:
    @pytest.mark.parametrize("stage", ["data", "end_of_data"])
    def test_of_several_recipients_none_is_shown(self, stage: str) -> None:
        bench = Bench({f"smtpd_{stage}_restrictions": "reject"})
        session = bench.session
        session.recipient = "to@example.org"
        ask = check.check_data if stage == "data" else check.check_eod
        for count, shown in ((1, True), (2, False)):
            session.rcpt_count = count
            assert bench.run(ask(session)) is not None
            assert ("to=<to@example.org>" in bench.new_log()[0]) == shown
            assert session.recipient == "to@example.org"

    def test_etrn_is_checked_after_client_and_helo(self) -> None:
        bench = Bench(
            {"smtpd_etrn_restrictions": "permit", "smtpd_helo_restrictions": "defer_if_permit"}
        )
        bench.session.where = "ETRN"
        assert bench.run(check.check_etrn(bench.session, "dial.test")) == (
            "450 4.7.0 <client.test>: Helo command rejected: defer_if_permit requested"
        )
        assert bench.session.etrn_name is None


def test_messages_that_are_too_large_are_refused() -> None:
    bench = Bench({"message_size_limit": "1000"})
    assert bench.run(check.check_size(bench.session, 1000)) is None
    assert bench.run(check.check_size(bench.session, 1001)) == (
        "552 5.3.4 Message size exceeds fixed limit"
    )
    assert bench.session.error_mask == MAIL_ERROR_POLICY


def test_the_queue_needs_room_for_a_message_and_a_half() -> None:
    bench = Bench({"message_size_limit": "10240000"})
    files = bench.machine.files
    files.free_space = lambda: 10240000 * 2  # type: ignore[method-assign]
    assert bench.run(check.check_queue(bench.session)) is None
    files.free_space = lambda: 10240000  # type: ignore[method-assign]
    assert bench.run(check.check_queue(bench.session)) == (
        "452 4.3.1 Insufficient system storage"
    )
    assert bench.log[-1] == (
        "warning: not enough free space in mail queue: 10240000 bytes < 1.5*message size limit"
    )
    assert bench.session.error_mask == MAIL_ERROR_RESOURCE
    bench = Bench({"message_size_limit": "0", "queue_minfree": "1000000"})
    files = bench.machine.files
    files.free_space = lambda: 999999  # type: ignore[method-assign]
    assert bench.run(check.check_queue(bench.session)) is not None


class TestRewriteContext:
    @pytest.mark.parametrize(
        ("clients", "addr", "context"),
        [
            ("permit_inet_interfaces", "192.0.2.1", "local"),
            ("permit_inet_interfaces", "198.51.100.7", "remote"),
            ("permit_mynetworks", "192.0.2.99", "local"),
            ("permit_mynetworks", "198.51.100.7", "remote"),
            ("check_address_map inline:{198.51.100.7=x}", "198.51.100.7", "local"),
            ("inline:{198.51.100.7=x}", "198.51.100.7", "local"),
            ("permit_sasl_authenticated permit_tls_clientcerts", "198.51.100.7", "remote"),
            ("", "192.0.2.1", "remote"),
        ],
    )
    def test_is_local_for_some_clients(self, clients: str, addr: str, context: str) -> None:
        bench = Bench({"local_header_rewrite_clients": clients})
        bench.session.addr = addr
        assert bench.run(check.check_rewrite(bench.session)) is None
        assert bench.session.rewrite_context == context

    def test_a_table_that_fails_is_a_451(self) -> None:
        bench = Bench({"local_header_rewrite_clients": "permit_mynetworks", "mynetworks": "fail:x"})
        assert bench.run(check.check_rewrite(bench.session)) == "451 4.3.0 Temporary lookup error"
        assert ": reject: RCPT from client.test[198.51.100.7]: 451 4.3.0 Temp" in bench.log[-1]

    def test_what_is_unknown_is_skipped_with_a_warning(self) -> None:
        bench = Bench({"local_header_rewrite_clients": "reject, permit_inet_interfaces"})
        bench.run(check.check_rewrite(bench.session))
        assert bench.log == [
            "warning: parameter local_header_rewrite_clients: invalid request: reject"
        ]


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "smtputf8", "good"),
        [
            ("", False, True),
            ("a@example.org", False, True),
            ("a@", False, False),
            ("ü@example.org", False, True),
            ("a@münchen.test", True, True),
            ("a@münchen.test", False, False),
        ],
    )
    def test_some_cannot_be(self, address: str, smtputf8: bool, good: bool) -> None:
        bench = Bench({"smtputf8_enable": "yes", "resolve_null_domain": "no"})
        fault = bench.run(check.check_addr(bench.session, address, smtputf8))
        assert (fault is None) == good
