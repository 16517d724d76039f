"""Lists of restrictions: order, classes, tests, deferrals, mistakes."""

from __future__ import annotations

import pytest
from access_bench import Bench

from mta.smtpd import check
from mta.system import Fatal

DENIED = "554 5.7.1 <to@example.org>: Recipient address rejected: Access denied"
CONFUSED = "451 4.3.5 Server configuration error"


def rules(text: str, **main: str) -> Bench:
    return Bench(
        {
            "smtpd_relay_restrictions": "check_client_access static:OK, reject",
            "smtpd_recipient_restrictions": text,
            "smtpd_reject_unlisted_recipient": "no",
            **main,
        }
    )


class TestClasses:
    def test_a_class_stands_for_its_list(self) -> None:
        bench = rules("strict, permit", smtpd_restriction_classes="strict", strict="reject")
        assert bench.rcpt() == DENIED

    def test_a_permission_in_a_class_ends_the_whole_list(self) -> None:
        bench = rules("soft, reject", smtpd_restriction_classes="soft", soft="permit")
        assert bench.rcpt() is None

    def test_a_table_names_a_class(self) -> None:
        bench = rules(
            "check_recipient_access inline:{to@example.org=strict}",
            smtpd_restriction_classes="strict",
            strict="permit_mynetworks, reject",
        )
        assert bench.rcpt() == DENIED

    def test_its_name_is_case_sensitive(self) -> None:
        bench = rules("Strict", smtpd_restriction_classes="strict", strict="reject")
        assert bench.rcpt() == CONFUSED
        assert bench.log[0] == 'warning: unknown smtpd restriction: "Strict"'

    def test_a_restriction_s_name_wins_over_a_class(self) -> None:
        bench = rules("reject", smtpd_restriction_classes="reject", reject="permit")
        assert bench.rcpt() == DENIED

    def test_it_needs_a_definition(self) -> None:
        with pytest.raises(Fatal, match="restriction class `strict' needs a definition"):
            rules("reject", smtpd_restriction_classes="strict")

    def test_one_that_contains_itself_is_fatal(self) -> None:
        with pytest.raises(Fatal, match="restriction class `a' contains itself"):
            rules("a", smtpd_restriction_classes="a b", a="b", b="a", smtpd_relay_restrictions="")


class TestWarnIfReject:
    def test_it_makes_a_test_of_the_next_restriction(self) -> None:
        bench = rules("warn_if_reject reject_plaintext_session, reject")
        assert bench.rcpt() == DENIED
        assert "reject_warning: RCPT from" in bench.log[0]
        assert "450 4.7.1 Session encryption is required" in bench.log[0]

    def test_it_holds_for_a_whole_class(self) -> None:
        bench = rules(
            "warn_if_reject both",
            smtpd_restriction_classes="both",
            both="reject_plaintext_session, reject",
        )
        assert bench.rcpt() is None
        assert len([line for line in bench.log if "reject_warning" in line]) == 2

    def test_what_would_be_put_off_is_shown_at_once(self) -> None:
        bench = rules("warn_if_reject defer_if_permit, permit")
        assert bench.rcpt() is None
        assert "reject_warning" in bench.log[0]

    def test_a_mistake_in_the_configuration_is_no_test(self) -> None:
        assert rules("warn_if_reject nonsense, permit").rcpt() == CONFUSED

    def test_at_the_end_of_a_list_it_does_nothing(self) -> None:
        assert rules("warn_if_reject").rcpt() is None


class TestDeferrals:
    def test_the_first_reason_stays(self) -> None:
        bench = rules("check_helo_access static:{DEFER_IF_PERMIT one}, defer_if_permit")
        reply = bench.rcpt()
        assert reply is not None
        assert reply.endswith(": one")

    def test_both_kinds_end_the_list(self) -> None:
        bench = rules("defer_if_reject, defer_if_permit, nonsense")
        assert bench.rcpt() == (
            "450 4.7.0 <to@example.org>: Recipient address rejected: defer_if_permit requested"
        )

    def test_a_deferral_of_an_earlier_stage_comes_with_the_recipient(self) -> None:
        bench = rules("permit", smtpd_helo_restrictions="defer_if_permit")
        assert bench.rcpt() == (
            "450 4.7.0 <client.test>: Helo command rejected: defer_if_permit requested"
        )

    def test_a_4xx_does_not_become_what_was_put_off(self) -> None:
        bench = rules("defer_if_reject, defer")
        assert bench.rcpt() == (
            "450 4.3.2 <to@example.org>: Recipient address rejected: Try again later"
        )


class TestBareTables:
    @pytest.mark.parametrize(
        ("stage", "what"),
        [
            ("client", "Client host"),
            ("helo", "Helo command"),
            ("sender", "Sender address"),
            ("relay", "Recipient address"),
        ],
    )
    def test_they_are_for_what_the_stage_is_about(self, stage: str, what: str) -> None:
        bench = rules("permit", **{f"smtpd_{stage}_restrictions": "static:REJECT, reject"})
        reply = bench.rcpt()
        assert reply is not None
        assert f"{what} rejected: Access denied" in reply

    def test_at_data_nothing_is_implied(self) -> None:
        bench = rules("permit", smtpd_data_restrictions="static:REJECT")
        bench.session.where = "DATA"
        assert bench.run(check.check_data(bench.session)) == CONFUSED
        assert bench.log[0] == (
            "warning: specify one of (check_client_access, check_reverse_client_hostname_access, "
            "check_helo_access, check_sender_access, check_recipient_access, check_etrn_access) "
            'before Data command restriction "static:REJECT"'
        )


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "warning"),
        [
            ("k, reject", "restriction `reject' after `permit' is ignored"),
            ("reject, permit", "restriction `permit' after `reject' is ignored"),
            ("DEFER, permit", "restriction `permit' after `defer' is ignored"),
            ("check_helo_access", 'restriction check_helo_access: bad argument '
             '"check_helo_access": need maptype:mapname'),
            ("check_helo_access x", 'restriction check_helo_access: bad argument "x": '
             "need maptype:mapname"),
            ("reject_rbl_client", "restriction reject_rbl_client requires domain name argument"),
            ("check_policy_service",
             "restriction check_policy_service must be followed by transport:server"),
            ("sleep long", "restriction sleep must be followed by number"),
            ("no_such", 'unknown smtpd restriction: "no_such"'),
            ("permit_naked_ip_address", "restriction permit_naked_ip_address is deprecated. Use "
             "permit_mynetworks or permit_sasl_authenticated instead"),
        ],
    )  # fmt: skip
    def test_they_are_warned_of_when_they_are_come_to(self, text: str, warning: str) -> None:
        bench = rules(text, smtpd_restriction_classes="k", k="permit, reject")
        bench.new_log()
        bench.rcpt()
        assert f"warning: {warning}" in bench.log

    def test_old_names_are_warned_of_once(self) -> None:
        bench = rules("check_relay_domains")
        bench.rcpt()
        bench.rcpt()
        assert bench.log == [
            'warning: support for restriction "check_relay_domains" will be removed from Postfix; '
            'use "reject_unauth_destination" instead'
        ]

    def test_old_names_are_not_warned_of_where_there_is_nothing_to_judge(self) -> None:
        bench = rules("reject", smtpd_data_restrictions="check_relay_domains")
        bench.session.rcpt_count = 2
        assert bench.run(check.check_data(bench.session)) is None
        assert bench.log == []

    @pytest.mark.parametrize(
        "text", ["", "permit_mynetworks", "permit, reject", "warn_if_reject reject", "k"]
    )
    def test_lists_that_relay_for_anyone_are_fatal(self, text: str) -> None:
        with pytest.raises(
            Fatal,
            match="in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify "
            "at least one working instance of: reject_unauth_destination, "
            "defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains",
        ):
            rules(
                text,
                smtpd_relay_restrictions="",
                smtpd_restriction_classes="k",
                k="permit_mynetworks",
            )

    def test_an_unknown_tempfail_action_is_fatal(self) -> None:
        with pytest.raises(Fatal, match="bad configuration: unverified_sender_tempfail_action = x"):
            rules("reject", unverified_sender_tempfail_action="x")

    def test_a_bad_answer_pattern_is_fatal_when_it_is_needed(self) -> None:
        bench = rules("reject_rbl_client list.test=127.0.0.[1;")
        with pytest.raises(Fatal, match=r"RBL reply error: need decimal number 0\.\.255 at"):
            bench.run(check.check_rcpt(bench.session, "to@example.org"))

    def test_a_reply_code_that_is_none_becomes_a_450(self) -> None:
        bench = rules("reject", reject_code="200")
        assert bench.rcpt() == "450 4.7.1 Service unavailable"
        assert bench.log[0].startswith("warning: SMTP reply code configuration error: 200 5.7.1 <")


def test_soft_bounce_makes_4xx_of_5xx_in_the_log_too() -> None:
    bench = rules("reject", soft_bounce="yes")
    assert bench.rcpt() == "454 4.7.1 <to@example.org>: Recipient address rejected: Access denied"
    assert ": reject: RCPT from client.test[198.51.100.7]: 454 4.7.1 " in bench.log[0]


def test_permissions_are_logged_where_that_is_wanted() -> None:
    bench = rules("permit_auth_destination", smtpd_log_access_permit_actions="permit_auth_destination")
    bench.session.queue_id = "ABC"
    bench.rcpt()
    assert bench.log == [
        "ABC: permit: RCPT from client.test[198.51.100.7]: action=permit_auth_destination for "
        "Recipient address=to@example.org ; from=<from@sender.test> to=<to@example.org> "
        "proto=ESMTP helo=<client.test>"
    ]


def test_tables_that_fail_make_a_451() -> None:
    bench = rules("permit_mynetworks, reject", mynetworks="fail:x")
    assert bench.rcpt() == "451 4.3.0 <to@example.org>: Temporary lookup failure"
    bench = rules("check_client_access fail:x, permit")
    assert bench.rcpt() == (
        "451 4.3.5 <client.test[198.51.100.7]>: Client host rejected: Server configuration error"
    )


def test_the_old_defaults_of_mynetworks_style_and_relay_domains_are_told() -> None:
    bench = Bench(
        {
            "smtpd_recipient_restrictions": "permit_mynetworks, reject",
            "compatibility_level": "0",
        },
        base={"mydestination": "example.org", "local_recipient_maps": "", "alias_maps": ""},
    )
    bench.client(bench.session, "unknown", "192.0.2.9")
    assert bench.rcpt("x@sub.example.org") is None
    assert (
        "using backwards-compatible default setting mynetworks_style=subnet to permit request from "
        'client "unknown[192.0.2.9]"'
    ) in bench.log
    assert (
        "using backwards-compatible default setting relay_domains=$mydestination to accept mail "
        'for address "x@sub.example.org"'
    ) in bench.log


def test_decisions_tell_what_was_asked_and_what_came_of_it() -> None:
    bench = rules("permit_mynetworks, check_sender_access static:REJECT, permit")
    bench.world.watch_decisions(bench.machine)
    bench.rcpt()
    seen = [d.facts for d in bench.world.decisions if d.kind == "restriction"]
    assert [(f["list"], f["restriction"], f["argument"], f["verdict"]) for f in seen] == [
        ("smtpd_relay_restrictions", "check_client_access", "static:OK", "permit"),
        ("smtpd_recipient_restrictions", "permit_mynetworks", "", "dunno"),
        ("smtpd_recipient_restrictions", "check_sender_access", "static:REJECT", "reject"),
    ]
    assert seen[-1]["reply"] == (
        "554 5.7.1 <from@sender.test>: Sender address rejected: Access denied"
    )
    assert seen[-1]["inputs"]["client_address"] == "198.51.100.7"


def test_decisions_show_what_tables_and_the_name_service_said() -> None:
    bench = Bench(
        {
            "smtpd_recipient_restrictions": "reject_unknown_sender_domain, "
            "check_sender_mx_access hash:/etc/access, reject_rbl_client list.test, reject"
        },
        zone="sender.test. IN MX 10 mx.sender.test.\nmx.sender.test. IN A 203.0.113.2\n",
        files={"/etc/access": "# comment\n203.0.113.2 INFO seen\n"},
    )
    bench.world.watch_decisions(bench.machine)
    bench.rcpt()
    facts = {d.kind: d.facts for d in bench.world.decisions}
    assert facts["dns"]["records"] == ["sender.test. 3600 IN MX 10 mx.sender.test."]
    assert facts["addresses"]["addresses"] == ["203.0.113.2"]
    assert facts["access table"]["table"] == "hash:/etc/access"
    assert (facts["access table"]["key"], facts["access table"]["line"]) == ("203.0.113.2", 2)
    assert facts["dnsxl"]["query"] == "7.100.51.198.list.test"
    assert facts["dnsxl"]["addresses"] == ()
