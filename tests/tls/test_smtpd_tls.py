"""smtpd(8) and TLS: what clients see, what the log says, what access control knows."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from postlab.lab import Lab
from sim.peers.tls import Sabotage, TlsSpec

FROM = "198.51.100.7"
BASE = {
    "mydestination": "example.org",
    "smtpd_tls_cert_file": "$config_directory/mx.pem",
    "smtpd_tls_CAfile": "$config_directory/ca.pem",
    "smtpd_tls_security_level": "may",
    "smtpd_tls_loglevel": "1",
}
TLS = TlsSpec()
CERT = TlsSpec(cert="valid", names=("client.test",))


def lab(main_cf: str = "", **more: Any) -> Lab:
    """A world whose mail system has these settings in place of the usual ones, or besides."""
    settings = dict(BASE)
    for line in main_cf.split("\n"):
        if line:
            name, _, value = line.partition("=")
            settings[name.strip()] = value.strip()
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    return Lab().mta(text, users=["alice"], **more)


def session(world: Lab, tls: TlsSpec | None = TLS, *say: str) -> list[str]:
    """A client greets, starts TLS, greets again, and says more; the whole transcript."""
    client = world.client(FROM, tls=tls).say("EHLO client.test", "starttls", "EHLO client.test")
    return client.say(*say, "QUIT").transcript


def log_of(world: Lab) -> list[str]:
    """The lines of smtpd's log without their tags."""
    return [str(line).partition(": ")[2] for line in world.log if "smtpd" in str(line)]


MAIL = [
    "MAIL FROM:<a@client.test>",
    "RCPT TO:<alice@example.org>",
    "DATA",
    "Subject: x\n\nsecret\n.\n",
]


def test_mail_comes_encrypted_and_says_so() -> None:
    world = lab("smtpd_tls_received_header = yes")
    said = session(world, TLS, *MAIL)
    assert "* tls TLSv1.3" in said
    assert "S: 250-STARTTLS" not in said[said.index("* tls TLSv1.3") :]
    assert log_of(world)[1].startswith(
        "Anonymous TLS connection established from unknown[198.51.100.7]: TLSv1.3 with cipher "
        "TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange ECDHE (P-256) server-signature "
        "RSA-PSS (2048 bits) server-digest SHA256"
    )
    (mail,) = world.run().outcome.delivered
    assert mail.message.split("\n")[3:9] == [
        "Received: from client.test (unknown [198.51.100.7])",
        "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        "\t key-exchange ECDHE (P-256) server-signature RSA-PSS (2048 bits) server-digest SHA256)",
        "\t(No client certificate requested)",
        "\tby mx.example.org (Postfix) with ESMTPS id " + world.messages[0].queue_id,
        mail.message.split("\n")[8],
    ]
    assert str(world.fingerprints[0]) == "ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"


REFUSALS = [
    ("smtpd_tls_security_level = none", "502 5.5.1 Error: command not implemented"),
    ("smtpd_tls_security_level =\nsmtpd_use_tls = no", "502 5.5.1 Error: command not implemented"),
    ("smtpd_discard_ehlo_keywords = starttls", "502 5.5.1 Error: command not implemented"),
    ("smtpd_tls_cert_file =", "454 4.7.0 TLS not available due to local problem"),
    ("smtpd_tls_cert_file = /etc/postfix/gone", "454 4.7.0 TLS not available due to local problem"),
    ("smtpd_tls_protocols = TLSv9", "454 4.7.0 TLS not available due to local problem"),
    ("smtpd_use_tls = yes\nsmtpd_tls_security_level =", "220 2.0.0 Ready to start TLS"),
]


@pytest.mark.parametrize(("main_cf", "reply"), REFUSALS)
def test_starttls_is_taken_where_it_is_configured(main_cf: str, reply: str) -> None:
    world = lab(main_cf)
    client = world.client(FROM).say("EHLO c.test", "STARTTLS", "QUIT")
    assert client.reply("STARTTLS") == reply


BAD_CONFIGURATIONS = [
    ("smtpd_tls_cert_file =", ["warning: No server certs available. TLS won't be enabled"]),
    ("smtpd_tls_cert_file =\nsmtpd_tls_ask_ccert = yes",
     ["warning: Need a server cert to request client certs",
      "warning: No server certs available. TLS won't be enabled"]),
    ("smtpd_tls_req_ccert = yes", ["warning: Can't require client certs unless TLS is required"]),
    ("smtpd_tls_protocols = !SSLv9",
     ['warning: Invalid TLS protocol list "!SSLv9": disabling TLS support']),
    ("smtpd_tls_fingerprint_digest = crc",
     ['warning: Digest algorithm "crc" not found', "warning: disabling TLS support"]),
    ("tlsmgr_service_name = nobody",
     ["warning: connect to private/nobody: No such file or directory",
      "warning: connect to private/nobody: No such file or directory",
      "warning: problem talking to server private/nobody: No such file or directory",
      "warning: no entropy for TLS key generation: disabling TLS support"]),
    ("smtpd_tls_CAfile = /etc/postfix/none",
     ['cannot load Certification Authority data, CAfile="/etc/postfix/none": disabling TLS support']),
    ("smtpd_tls_cert_file = /etc/postfix/none",
     ['warning: cannot get RSA certificate from file "/etc/postfix/none": disabling TLS support']),
    ("smtpd_tls_key_file = /etc/postfix/main.cf",
     ['warning: cannot get RSA private key from file "/etc/postfix/main.cf": disabling TLS support']),
    ("smtpd_tls_dh1024_param_file = /etc/postfix/none",
     ["warning: cannot load 1024-bit DH parameters from file /etc/postfix/none: No such file or "
      "directory -- using compiled-in defaults"]),
    ("smtpd_tls_eecdh_grade = best", ['warning: Invalid TLS eecdh grade "best": EECDH disabled']),
    ("tls_eecdh_strong_curve = round", ['warning: unknown curve "round": disabling EECDH support']),
    ("tls_session_ticket_cipher = rot13",
     ["warning: tls_session_ticket_cipher: invalid value: rot13; session tickets disabled"]),
    ("tls_ssl_options = FASTER", ['warning: unknown tls_ssl_options value "FASTER" in "FASTER"']),
    ("smtpd_tls_loglevel = loud",
     ['warning: unknown smtpd_tls_loglevel value "loud" in "loud"']),
]  # fmt: skip


@pytest.mark.parametrize(("main_cf", "lines"), BAD_CONFIGURATIONS)
def test_bad_configurations_are_told(main_cf: str, lines: list[str]) -> None:
    world = lab(main_cf)
    world.client(FROM).say("EHLO c.test", "QUIT")
    before = [line for line in log_of(world) if "TLS library problem" not in line]
    assert before[: len(lines)] == lines
    assert before[len(lines)].startswith("connect from")


CIPHERS = [
    ("smtpd_tls_ciphers = best", 'invalid TLS cipher grade: "best"'),
    ("smtpd_tls_exclude_ciphers = +RC4", "invalid unary '!+-@' in TLS cipher exclusion: \"+RC4\""),
    ("tls_medium_cipherlist = nothing", 'invalid TLS cipher list: "nothing"'),
]


@pytest.mark.parametrize(("main_cf", "why"), CIPHERS)
def test_ciphers_that_make_no_sense_end_the_session(main_cf: str, why: str) -> None:
    world = lab(main_cf)
    assert session(world)[-2:] == ["* tls failed", "* closed by server"]
    found = [line for line in log_of(world) if "library problem" not in line]
    assert found[1:3] == [
        f"warning: unknown[198.51.100.7]: {why}: aborting TLS session",
        "lost connection after STARTTLS from unknown[198.51.100.7]",
    ]


NEGOTIATION = [
    ("", {}, "TLSv1.3", "TLS_AES_256_GCM_SHA384 (256/256"),
    ("smtpd_tls_protocols = !TLSv1.3", {}, "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384 (256/256"),
    ("", {"max": "TLSv1.2"}, "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384 (256/256"),
    ("smtpd_tls_exclude_ciphers = kECDHE, AES256", {"max": "TLSv1.2"}, "TLSv1.2", "DHE-RSA-"),
    ("smtpd_tls_exclude_ciphers = AES256", {"max": "TLSv1.2"}, "TLSv1.2", "ECDHE-RSA-"),
    ("smtpd_tls_ciphers = high", {"max": "TLSv1.2"}, "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("", {"min": "TLSv1", "max": "TLSv1"}, "TLSv1", "ECDHE-RSA-AES256-SHA (256/256"),
    ("", {"max": "TLSv1.2", "ciphers": "ADH-AES256-GCM-SHA384:@SECLEVEL=0"},
     "TLSv1.2", "ADH-AES256-GCM-SHA384 (256/256"),
    ("tls_preempt_cipherlist = yes\ntls_medium_cipherlist = AES128:AES256", {"max": "TLSv1.2"},
     "TLSv1.2", "ECDHE-RSA-AES128-"),
]  # fmt: skip


@pytest.mark.parametrize(("main_cf", "client", "protocol", "cipher"), NEGOTIATION)
def test_protocol_and_cipher_are_agreed_upon(
    main_cf: str, client: dict[str, Any], protocol: str, cipher: str
) -> None:
    world = lab(main_cf)
    assert f"* tls {protocol}" in session(world, TlsSpec(**client))
    summary = (
        f"TLS connection established from unknown[198.51.100.7]: {protocol} with cipher {cipher}"
    )
    assert any(summary in line for line in log_of(world)), log_of(world)


FAILURES = [
    ("smtpd_tls_protocols = TLSv1.3", {"max": "TLSv1.2"}, "unsupported protocol"),
    ("smtpd_tls_protocols = TLSv1.2", {"min": "TLSv1.3"}, "unsupported protocol"),
    (
        "smtpd_tls_ask_ccert = yes",
        {"max": "TLSv1.2", "ciphers": "ADH:@SECLEVEL=0"},
        "no shared cipher",
    ),
    ("", {"trusts": b"other"}, "alert unknown ca"),
]


@pytest.mark.parametrize(("main_cf", "client", "why"), FAILURES)
def test_handshakes_fail_with_what_the_library_says(
    main_cf: str, client: dict[str, Any], why: str
) -> None:
    world = lab(main_cf)
    if client.get("trusts"):
        client["trusts"] = world.stage.tls.authority.other_root
    assert "* tls failed" in session(world, TlsSpec(**client))
    error, problem, lost = log_of(world)[1:4]
    assert error == "SSL_accept error from unknown[198.51.100.7]: -1"
    assert problem.startswith("warning: TLS library problem: error:0A000") and why in problem
    assert lost == "lost connection after STARTTLS from unknown[198.51.100.7]"


SPOILT = [
    (Sabotage("close", 50), "-1", "unexpected eof while reading"),
    (Sabotage("reset", 50), "Connection reset by peer", ""),
    (Sabotage("stall", 50), "Connection timed out", ""),
    (Sabotage("corrupt", 0), "-1", "SSL routines::"),
    (Sabotage("alert", 0), "-1", "SSL routines::"),
    (Sabotage("flood", 100), "-1", "SSL routines::"),
]


@pytest.mark.parametrize(("plan", "result", "problem"), SPOILT, ids=lambda x: getattr(x, "deed", x))
def test_clients_that_spoil_the_handshake(plan: Sabotage, result: str, problem: str) -> None:
    world = lab("smtpd_starttls_timeout = 4s")
    session(world, TlsSpec(sabotage=plan))
    found = log_of(world)[1:]
    assert found[0] == f"SSL_accept error from unknown[198.51.100.7]: {result}"
    if problem:
        assert problem in found[1]
    assert "lost connection after STARTTLS from unknown[198.51.100.7]" in found


def test_a_session_that_is_corrupted_is_lost() -> None:
    world = lab()
    session(world, TlsSpec(sabotage=Sabotage("corrupt", 60, "session")), *MAIL)
    assert [line for line in log_of(world) if "library" in line or "lost" in line] == [
        "warning: TLS library problem: error:0A000119:SSL routines::decryption failed or bad "
        "record mac:../ssl/ssl_lib.c:0:",
        "lost connection after EHLO from unknown[198.51.100.7]",
    ]
    assert world.run().outcome.delivered == []


def test_a_client_that_hangs_up_without_a_word_has_gone() -> None:
    world = lab()
    session(world, TlsSpec(sabotage=Sabotage("close", 40, "session")), *MAIL)
    assert log_of(world)[2:4] == [
        "warning: TLS library problem: error:0A000126:SSL routines::unexpected eof while reading:"
        "../ssl/record/rec_layer_s3.c:318:",
        "lost connection after EHLO from unknown[198.51.100.7]",
    ]


def test_plain_text_after_starttls_is_thrown_away() -> None:
    world = lab()
    client = world.client(FROM).say("EHLO c.test")
    client.raw("STARTTLS\r\nMAIL FROM:<injected@c.test>\r\n").wait(1)
    assert not any("injected" in line for line in log_of(world))
    assert [line for line in client.transcript if line.startswith("S: 2")][-1] == (
        "S: 220 2.0.0 Ready to start TLS"
    )


# --- levels ---------------------------------------------------------------------------------------


def test_where_tls_is_required_nothing_goes_before_it() -> None:
    world = lab("smtpd_tls_security_level = encrypt")
    client = world.client(FROM).say("EHLO c.test", "MAIL FROM:<a@c.test>", "NOOP", "QUIT")
    assert client.reply("MAIL") == "530 5.7.0 Must issue a STARTTLS command first"
    assert client.reply("NOOP") == "250 2.0.0 Ok"
    assert any(line.startswith("S: 250 2.1.5") for line in session(world, TLS, *MAIL))


@pytest.mark.parametrize("level", ["verify", "secure", "fingerprint"])
def test_levels_of_clients_mean_encrypt(level: str) -> None:
    world = lab(f"smtpd_tls_security_level = {level}")
    client = world.client(FROM).say("EHLO c.test", "MAIL FROM:<a@c.test>", "QUIT")
    assert client.reply("MAIL").startswith("530 ")
    assert log_of(world)[0] == (
        f'warning: smtpd_tls_security_level: unsupported TLS level "{level}", using "encrypt"'
    )


def test_wrapper_mode_begins_with_the_handshake() -> None:
    wrapped = "465 inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
    world = lab("smtpd_tls_security_level =", master_cf=wrapped)
    client = world.client(FROM, 465, tls=TlsSpec(wrapper=True)).say(
        "EHLO c.test", "STARTTLS", "QUIT"
    )
    assert client.transcript[1] == "* tls TLSv1.3"
    assert client.reply("STARTTLS") == "554 5.5.1 Error: TLS already active"
    plain = world.client("198.51.100.8", 465).say("EHLO c.test")
    assert plain.transcript == ["* connected", "* no reply", "* closed by client"]


def test_auth_waits_for_tls() -> None:
    world = lab("smtpd_tls_auth_only = yes\nsmtpd_sasl_auth_enable = no")
    assert "530" not in "".join(session(world, None, *MAIL))


# --- sessions that are resumed --------------------------------------------------------------------

RESUME = TlsSpec(resume=True)
RESUME_12 = TlsSpec(resume=True, max="TLSv1.2")
CACHE = "smtpd_tls_session_cache_database = btree:${data_directory}/smtpd_scache\n"
NO_TICKETS = "tls_ssl_options = NO_TICKET\n"

RESUMPTION = [
    ("", RESUME, 60, True),
    ("", RESUME_12, 60, True),
    ("", RESUME, 3500, True),  # by the key before
    ("", RESUME_12, 3500, True),
    ("", RESUME, 3700, False),
    ("", RESUME_12, 3700, False),
    ("smtpd_tls_session_cache_timeout = 0", RESUME, 60, False),
    ("smtpd_tls_session_cache_timeout = 300", RESUME, 310, False),
    (NO_TICKETS, RESUME, 60, True),  # OpenSSL itself remembers one
    (NO_TICKETS, RESUME_12, 60, True),
    (NO_TICKETS, RESUME, 200, False),  # the process has gone
    (NO_TICKETS + "smtpd_tls_always_issue_session_ids = no", RESUME_12, 60, False),
    (CACHE + NO_TICKETS, RESUME, 60, True),
    (CACHE + NO_TICKETS, RESUME_12, 60, True),
    (CACHE, RESUME, 60, True),
    (CACHE, RESUME_12, 60, True),
]


@pytest.mark.parametrize(("main_cf", "tls", "seconds", "resumed"), RESUMPTION)
def test_sessions_are_resumed_while_tlsmgr_keeps_them(
    main_cf: str, tls: TlsSpec, seconds: int, resumed: bool
) -> None:
    world = lab(main_cf)
    session(world, tls)
    world.advance(seconds)
    if seconds > 1800:
        session(world, TLS)  # makes the key rotate
    session(world, tls)
    assert world.stage.tls.resumed(tls) is resumed


@pytest.mark.parametrize(
    ("service", "resumed"),
    [("smtp inet n - n - - smtpd", True), ("tlsmgr unix - - n 1000? 1 tlsmgr", False)],
)
def test_how_long_sessions_last_is_up_to_tlsmgr_alone(service: str, resumed: bool) -> None:
    option = "  -o smtpd_tls_session_cache_timeout=0\n"
    world = lab(master_cf=f"{service}\n{option}")
    session(world, RESUME)
    session(world, RESUME)
    assert world.stage.tls.resumed(RESUME) is resumed


def test_a_resumed_session_remembers_who_the_client_is() -> None:
    for kind, trust in (("valid", "Trusted"), ("self-signed", "Untrusted")):
        world = lab("smtpd_tls_ask_ccert = yes\nsmtpd_tls_loglevel = 1, cache, untrusted")
        tls = TlsSpec(cert=kind, names=("client.test",), resume=True)  # type: ignore[arg-type]
        session(world, tls)
        session(world, tls)
        lines = log_of(world)
        reused = lines.index("unknown[198.51.100.7]: Reusing old session (RFC 5077 session ticket)")
        assert any(line.startswith(f"{trust} TLS connection") for line in lines[reused:])


def test_new_sessions_are_limited_and_resumed_ones_are_not() -> None:
    world = lab(
        "smtpd_client_new_tls_session_rate_limit = 1\nsmtpd_client_event_limit_exceptions =\n"
    )
    assert "* tls TLSv1.3" in session(world, RESUME)
    assert "* tls TLSv1.3" in session(world, RESUME)
    assert world.stage.tls.resumed(RESUME)
    assert (
        "S: 421 4.7.0 mx.example.org Error: too many new TLS sessions from unknown[198.51.100.7]"
        in (session(world, TLS))
    )
    client = world.client(FROM, tls=TLS).say("EHLO client.test", "STARTTLS", "QUIT")
    assert client.reply("STARTTLS") == (
        "454 4.7.0 Error: too many new TLS sessions from unknown[198.51.100.7]"
    )


# --- the same again -------------------------------------------------------------------------------

PRINT_HASH = """
from tests.tls.test_smtpd_tls import *
world = lab("smtpd_tls_loglevel = 2\\n" + CACHE)
for tls in (RESUME, RESUME, RESUME_12, CERT):
    session(world, tls, *MAIL)
print(world.run().trace_hash)
"""


def test_other_processes_have_the_same_trace() -> None:
    hashes = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PRINT_HASH],
            check=True, capture_output=True, text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert len(hashes[0]) > 20
    assert len(set(hashes)) == 1


def test_without_a_tlsmgr_that_starts_nobody_is_served() -> None:
    world = lab("smtpd_tls_session_cache_timeout = 101d\n")
    client = world.client(FROM).say("EHLO client.test", "QUIT")
    assert client.transcript == ["* connected", "* no reply", "* closed by client"]
    assert any("tlsmgr" in str(line) and "max 8640000" in str(line) for line in world.log)
