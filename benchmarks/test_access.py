"""How many recipients a CPU second checks: 20 restrictions, three tables, two block lists."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from mta.smtpd import check
from mta.system import Wait

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "access"))
from access_bench import Bench

RULES = """
    permit_mynetworks permit_sasl_authenticated permit_tls_clientcerts
    reject_unauth_pipelining reject_invalid_helo_hostname reject_non_fqdn_helo_hostname
    reject_non_fqdn_sender reject_non_fqdn_recipient reject_unknown_sender_domain
    reject_unlisted_recipient reject_unauth_destination reject_unknown_client_hostname
    check_client_access hash:/etc/postfix/clients
    check_helo_access hash:/etc/postfix/helos
    check_sender_access hash:/etc/postfix/senders
    reject_rbl_client one.test reject_rbl_client two.test=127.0.0.[2..4]
    warn_if_reject reject_unknown_helo_hostname reject_multi_recipient_bounce
    permit_auth_destination
"""
TABLE = "".join(f"host{n}.bad.test REJECT\n" for n in range(1000))
CHECKS = 1000


def test_recipients_checked(benchmark: BenchmarkFixture) -> None:
    bench = Bench(
        {"smtpd_recipient_restrictions": RULES, "local_recipient_maps": "inline:{to=x}"},
        zone="sender.test. IN A 203.0.113.1\nclient.test. IN A 198.51.100.7\n",
        files={f"/etc/postfix/{name}": TABLE for name in ("clients", "helos", "senders")},
    )

    def checks() -> Wait[None]:
        for _ in range(CHECKS):
            assert (yield from check.check_rcpt(bench.session, "to@example.org")) is None

    benchmark.pedantic(lambda: bench.run(checks()), rounds=5, warmup_rounds=1)
    rate = CHECKS / benchmark.stats["median"]
    benchmark.extra_info["checks per CPU second"] = round(rate)
    assert rate > 1000
