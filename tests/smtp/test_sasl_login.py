"""smtp(8) and lmtp(8) log in: when, with which password, and what becomes of mail where that fails."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from smtp_site import Site

from mta.system import Gone, Wait

Make = Callable[..., Site]

ONE = "one.test[203.0.113.1]"
BASE = """\
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:$config_directory/passwords
smtp_sasl_security_options = noanonymous
"""
PASSWORDS = "one.test user:secret\n"
FAILED = f"SASL authentication failed; cannot authenticate to server {ONE}: "


def code(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLAIN = "AUTH PLAIN " + code("\0user\0secret")


def login_site(
    make_site: Make,
    main_cf: str = "",
    *offers: str,
    passwords: str = PASSWORDS,
    replies: list[dict[str, Any]] | None = None,
    **more: Any,
) -> Site:
    """A site with passwords, and a server that offers AUTH."""
    base = [line for line in BASE.splitlines() if line.split()[0] not in main_cf.split()]
    return make_site(
        main_cf="\n".join((*base, main_cf)),
        zone="dest.test. IN MX 10 one.test.\none.test. IN A 203.0.113.1\n",
        files={"passwords": passwords},
        extensions=offers or ("AUTH PLAIN LOGIN",),
        peers={"one.test": replies or []},
        **more,
    )


def auth_lines(site: Site, session: int = 0) -> list[str]:
    """What the client said between EHLO and MAIL or QUIT."""
    said = site.said(session)
    ends = (i for i, line in enumerate(said) if line.startswith(("MAIL", "QUIT")))
    return said[1 : next(ends, None)]


# -- success --------------------------------------------------------------------------------------

CHALLENGES = [
    {"on": "AUTH LOGIN", "reply": "334 " + code("Username:")},
    {"on": code("user"), "reply": "334 " + code("Password:")},
    {"on": code("secret"), "reply": "235 2.7.0 ok"},
    {"on": code("user ")[:6], "reply": "235 2.7.0 ok"},
    {"on": "AUTH CRAM-MD5", "reply": "334 " + code("<1@one.test>")},
]
DIALOGUES = [
    ("PLAIN sends all at once", ("AUTH PLAIN LOGIN",), "", [PLAIN]),
    ("the old form with an equals sign", ("AUTH=PLAIN",), "", [PLAIN]),
    ("several lists make one", ("AUTH LOGIN", "AUTH=PLAIN"), "", [PLAIN]),
    ("LOGIN waits to be asked", ("AUTH LOGIN",), "",
     ["AUTH LOGIN", code("user"), code("secret")]),
    ("CRAM-MD5 hashes", ("AUTH LOGIN CRAM-MD5",), "",
     ["AUTH CRAM-MD5", code("user 38b5335bf298605c532e8a36629863f5")]),
    ("a filter leaves some", ("AUTH CRAM-MD5 PLAIN LOGIN",),
     "smtp_sasl_mechanism_filter = plain, login", [PLAIN]),
    ("a filter excludes some", ("AUTH CRAM-MD5 PLAIN",),
     "smtp_sasl_mechanism_filter = !cram-md5, static:all", [PLAIN]),
    ("the identity to act for", ("AUTH PLAIN",), "send_cyrus_sasl_authzid = yes",
     ["AUTH PLAIN " + code("user\0user\0secret")]),
    ("nobody in particular", ("AUTH ANONYMOUS",), "smtp_sasl_security_options =",
     ["AUTH ANONYMOUS " + code("anonymous@mx.example.org")]),
    ("no offer", ("PIPELINING",), "", []),
    ("an offer that is ignored", ("AUTH PLAIN",), "smtp_discard_ehlo_keywords = auth, silent-discard",
     []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("offers", "main_cf", "said"), [row[1:] for row in DIALOGUES], ids=[row[0] for row in DIALOGUES]
)
def test_the_client_logs_in(
    make_site: Make, offers: tuple[str, ...], main_cf: str, said: list[str]
) -> None:
    site = login_site(make_site, main_cf, *offers, replies=CHALLENGES)
    assert site.send("b@dest.test") == (False, None)
    assert auth_lines(site) == said
    assert len(site.log()) == 1


LOOKUPS = [
    ("the server", "", PASSWORDS, {}, "user\0secret"),
    ("the server before the next hop", "", "dest.test hop:h\none.test host:o\n", {}, "host\0o"),
    ("the next hop", "", "dest.test hop:h\n", {}, "hop\0h"),
    ("the next hop as it is written", "", "[one.test]:25 hop:h\n", {"nexthop": "[one.test]:25"},
     "hop\0h"),
    ("another server", "", "two.test user:secret\n", {}, None),
    ("a name alone", "", "one.test user\n", {}, "user\0"),
    ("a password with colons", "", "one.test user:a:b\n", {}, "user\0a:b"),
    ("the sender, when asked to", "smtp_sender_dependent_authentication = yes",
     PASSWORDS + "a@client.test a:1\n", {}, "a\x001"),
    ("the sender's domain", "smtp_sender_dependent_authentication = yes",
     PASSWORDS + "@client.test d:2\n", {}, "d\x002"),
    ("the sender, when not asked to", "", PASSWORDS + "a@client.test a:1\n", {}, "user\0secret"),
    ("the empty sender", "smtp_sender_dependent_authentication = yes",
     PASSWORDS + "a@client.test a:1\n", {"sender": ""}, "user\0secret"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("main_cf", "passwords", "request_", "login"),
    [row[1:] for row in LOOKUPS],
    ids=[row[0] for row in LOOKUPS],
)
def test_the_password_is_that_of(
    make_site: Make, main_cf: str, passwords: str, request_: dict[str, Any], login: str | None
) -> None:
    site = login_site(make_site, main_cf, passwords=passwords)
    assert site.send("b@dest.test", **request_) == (False, None)
    assert auth_lines(site) == ([] if login is None else ["AUTH PLAIN " + code("\0" + login)])


def test_who_has_logged_in_may_tell_that_the_sender_has_not(make_site: Make) -> None:
    site = login_site(make_site, "smtp_send_dummy_mail_auth = yes")
    site.send("b@dest.test")
    assert site.said()[2] == "MAIL FROM:<a@client.test> AUTH=<>"
    site = login_site(make_site, "smtp_send_dummy_mail_auth = yes", passwords="x y:z\n")
    site.send("b@dest.test")
    assert site.said()[1] == "MAIL FROM:<a@client.test>"


# -- failure --------------------------------------------------------------------------------------

NO = "535 5.7.8 no"
TROUBLE = [
    ("a rejected password defers", "", (), [{"on": "AUTH", "reply": NO}], [],
     "4.7.8", f"SASL authentication failed; server {ONE} said: {NO}"),
    ("a rejected password bounces, when asked to", "smtp_sasl_auth_soft_bounce = no", (),
     [{"on": "AUTH", "reply": NO}], [], "5.7.8",
     f"SASL authentication failed; server {ONE} said: {NO}"),
    ("a temporary failure", "", (), [{"on": "AUTH", "reply": "454 4.7.0 later"}], [],
     "4.7.0", f"SASL authentication failed; server {ONE} said: 454 4.7.0 later"),
    ("lines of a reply are not joined", "", (), [{"on": "AUTH", "reply": "535-5.7.8 a\n535 5.7.8 b"}],
     [], "4.7.8", f"SASL authentication failed; server {ONE} said: 535-5.7.8 a?535 5.7.8 b"),
    ("a server that hangs up", "", (), [{"on": "AUTH", "do": "close"}], [], "4.4.2",
     f"lost connection with {ONE} while performing the EHLO handshake"),
    ("no mechanism that we know", "", ("AUTH GSSAPI",), [],
     ["warning: SASL authentication failure: No worthy mechs found"],
     "4.7.0", FAILED + "no mechanism available"),
    ("no mechanism that policy allows", "smtp_sasl_security_options = noplaintext, noanonymous", (),
     [], ["warning: SASL authentication failure: No worthy mechs found"],
     "4.7.0", FAILED + "no mechanism available"),
    ("no mechanism that the filter leaves", "smtp_sasl_mechanism_filter = cram-md5", (), [],
     [f"warning: {ONE}:25 offered no supported AUTH mechanisms: 'PLAIN LOGIN'"], "4.7.0",
     f"SASL authentication failed: server {ONE} offered no compatible authentication mechanisms "
     "for this type of connection security"),
    ("no mechanism at all", "", ("AUTH",), [],
     [f"warning: {ONE}:25 offered null AUTH mechanism list"], "4.7.0",
     f"SASL authentication failed: server {ONE} offered no compatible authentication mechanisms "
     "for this type of connection security"),
    ("a challenge that is no base 64", "", ("AUTH LOGIN",),
     [{"on": "AUTH", "reply": "334 what is it"}], [], "4.7.0", FAILED + "bad protocol / cancel"),
    ("a challenge that is cut off", "", ("AUTH LOGIN",), [{"on": "AUTH", "reply": "334 YQ"}], [],
     "4.7.0", FAILED + "another step is needed in authentication"),
    ("a challenge in two lines", "", ("AUTH LOGIN",),
     [{"on": "AUTH", "reply": "334-YWJj\n334 YWJj"}], [], "4.7.0", FAILED + "bad protocol / cancel"),
    ("a challenge too many", "", (), [{"on": "AUTH", "reply": "334 "}],
     ["warning: SASL authentication problem: attempting client step after doneflag"],
     "4.7.0", FAILED + "generic failure"),
    ("a challenge that is too long", "", ("AUTH CRAM-MD5",),
     [{"on": "AUTH", "reply": "334 " + code("x" * 1030)}],
     ["warning: SASL authentication failure: CRAM-MD5 input longer than 1024 bytes"],
     "4.7.0", FAILED + "bad protocol / cancel"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("main_cf", "offers", "replies", "warnings", "status", "reason"),
    [row[1:] for row in TROUBLE],
    ids=[row[0] for row in TROUBLE],
)
def test_a_login_fails(
    make_site: Make,
    main_cf: str,
    offers: tuple[str, ...],
    replies: list[dict[str, Any]],
    warnings: list[str],
    status: str,
    reason: str,
) -> None:
    site = login_site(make_site, main_cf, *offers, replies=replies)
    deferred, _ = site.send("b@dest.test")
    assert deferred == (status[0] == "4")
    assert "MAIL FROM:<a@client.test>" not in site.said()
    fate = "deferred" if deferred else "bounced"
    assert site.log() == [
        *warnings,
        f"QID: to=<b@dest.test>, relay={ONE}:25, dsn={status}, status={fate} ({reason})",
    ]


def test_the_report_tells_who_refused(make_site: Make) -> None:
    site = login_site(make_site, replies=[{"on": "AUTH", "reply": NO}])
    site.send("b@dest.test")
    dsn = site.reports[0][1].dsn
    assert (dsn.status, dsn.mtype, dsn.mname) == ("4.7.8", "dns", "one.test")
    assert (dsn.dtype, dsn.dtext) == ("smtp", NO)
    site = login_site(make_site, "", "AUTH GSSAPI")
    site.send("b@dest.test")
    dsn = site.reports[0][1].dsn
    assert (dsn.mtype, dsn.dtype, dsn.dtext) == ("", "x-sasl", "no mechanism available")


def test_another_server_is_tried_after_a_failure(make_site: Make) -> None:
    site = make_site(
        main_cf=BASE,
        files={"passwords": PASSWORDS},
        extensions=["AUTH PLAIN"],
        peers={"one.test": [{"on": "AUTH", "reply": NO}], "two.test": []},
    )
    assert site.send("b@dest.test") == (False, None)
    assert site.log()[0] == f"QID: SASL authentication failed; server {ONE} said: {NO}"
    assert site.said(0) == ["EHLO mx.example.org", PLAIN, "QUIT"]
    assert auth_lines(site, 1) == []  # there is no password for it


FATAL = [
    ("smtp_sasl_password_maps =",
     ["fatal: specify a password table via the `smtp_sasl_password_maps' configuration parameter"]),
    ("smtp_sasl_type = dovecot",
     ["warning: unsupported SASL client implementation: dovecot",
      "fatal: SASL library initialization"]),
    ("smtp_sasl_auth_cache_name = proxy:btree:/x, proxy:btree:/y",
     ['fatal: SASL authentication cache name "proxy:btree:/x, proxy:btree:/y" contains multiple '
      "values"]),
    ("smtp_sasl_auth_cache_name = btree:/x",
     ['fatal: SASL authentication cache name "btree:/x" must start with "proxy:']),
    ("smtp_sasl_security_options = noanonymous, noplain",
     ['warning: unknown SASL security options value "noplain" in "noanonymous, noplain"',
      "warning: bad per-session SASL security properties",
      "fatal: SASL per-connection initialization failed"]),
    ("smtp_sasl_mechanism_filter = fail:x",
     ["fatal: smtp_sasl_mechanism_filter: fail:x: table lookup problem"]),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "log"), FATAL)
def test_a_setting_that_makes_no_sense_is_fatal(
    make_site: Make, setting: str, log: list[str]
) -> None:
    site = login_site(make_site, setting)

    def delivery() -> Wait[None]:
        assert site.postfix.master is not None
        with pytest.raises(Gone):
            yield from site.postfix.master.call("smtp", site.request("b@dest.test"))

    site.world.start_task(delivery(), "delivery")
    site.world.run_for(1)
    assert site.log() == log


def test_a_table_that_fails_is_trouble_with_local_data(make_site: Make) -> None:
    site = login_site(make_site, "smtp_sasl_password_maps = fail:x")
    assert site.send("b@dest.test")[0]
    assert site.log() == [
        'warning: fail:x lookup error for "one.test"',
        "warning: QID: smtp_sasl_password_maps lookup error",
        f"QID: to=<b@dest.test>, relay={ONE}:25, dsn=4.3.0, status=deferred "
        f"(local data error while talking to {ONE})",
    ]


def test_lmtp_has_parameters_of_its_own(make_site: Make) -> None:
    site = make_site(
        main_cf="lmtp_sasl_auth_enable = yes\nlmtp_sasl_password_maps = inline:{one.test=l:m}\n"
        "lmtp_sasl_security_options = noanonymous\nlmtp_tcp_port = 25",
        extensions=["AUTH PLAIN"],
        peers={"one.test": []},
    )
    assert site.send("b@dest.test", nexthop="inet:[one.test]", service="lmtp") == (False, None)
    assert site.said()[:2] == ["LHLO mx.example.org", "AUTH PLAIN " + code("\0l\0m")]


@pytest.mark.parametrize(("mechanism", "said"), [("DIGEST-MD5", 2), ("SCRAM-SHA-256", 1)])
def test_nonces_are_the_same_in_every_run(make_site: Make, mechanism: str, said: int) -> None:
    challenge = "334 " + code('nonce="x",algorithm=md5-sess')
    replies = [{"on": "AUTH DIGEST", "reply": challenge}, {"on": "AUTH", "reply": NO}]
    runs = []
    for _ in range(2):
        site = login_site(make_site, "", f"AUTH {mechanism}", replies=replies)
        site.send("b@dest.test")
        runs.append(auth_lines(site))
    assert runs[0] == runs[1] and len(runs[0]) == said
