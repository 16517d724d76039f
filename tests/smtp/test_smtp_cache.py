"""Connections that are kept and used again: smtp(8) with scache(8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from smtp_site import Site

from mta.lib.requests import DEL_REQ_FLAG_CONN_LOAD, DEL_REQ_FLAG_CONN_STORE, DeliverReply
from mta.system import Wait

Make = Callable[..., Site]

KEPT = "smtp_connection_cache_destinations = dest.test"
ALWAYS = DEL_REQ_FLAG_CONN_LOAD | DEL_REQ_FLAG_CONN_STORE


def deliveries(
    site: Site, *flags: int, pause: float = 0.1, nexthop: str = "dest.test"
) -> list[DeliverReply]:
    """One delivery after the other, with a pause between."""
    replies: list[DeliverReply] = []

    def task() -> Wait[None]:
        master = site.postfix.master
        assert master is not None
        for number, flag in enumerate(flags):
            request = site.request(f"u{number}@dest.test", nexthop=nexthop, flags=flag)
            replies.append((yield from master.call("smtp", request)))
            yield site.machine.sleep(pause)

    site.world.start_task(task(), "deliveries")
    site.world.settle()
    assert len(replies) == len(flags)
    return replies


def uses(site: Site) -> list[str]:
    """``conn_use`` of each delivery that was logged."""
    lines = [line.text for line in site.machine.log if "status=" in line.text]
    return [
        line.partition("conn_use=")[2].partition(",")[0] if "conn_use" in line else "1"
        for line in lines
    ]


def test_a_kept_connection_is_probed_and_used_again(make_site: Make) -> None:
    site = make_site(main_cf=KEPT)
    deliveries(site, 0, 0, 0)
    assert uses(site) == ["1", "2", "3"]
    assert site.peers == ["one.test"]
    assert site.said().count("RSET") == 2
    assert site.said().count("EHLO mx.example.org") == 1
    assert "QUIT" not in site.said()


def test_a_kept_connection_is_closed_when_its_time_is_over(make_site: Make) -> None:
    site = make_site(main_cf=KEPT)
    deliveries(site, 0, 0, pause=3)
    assert uses(site) == ["1", "1"]
    assert [session.transcript[-1] for session in site.record.sessions] == ["* closed by client"] * 2


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ((0, 0), ["1", "1"]),
        ((DEL_REQ_FLAG_CONN_STORE, DEL_REQ_FLAG_CONN_LOAD), ["1", "2"]),
        ((DEL_REQ_FLAG_CONN_STORE, DEL_REQ_FLAG_CONN_STORE), ["1", "1"]),
        ((DEL_REQ_FLAG_CONN_LOAD, DEL_REQ_FLAG_CONN_LOAD), ["1", "1"]),
        ((ALWAYS, ALWAYS, DEL_REQ_FLAG_CONN_LOAD, ALWAYS), ["1", "2", "3", "4"]),
    ],
)
def test_the_queue_manager_asks_for_it(
    make_site: Make, flags: tuple[int, ...], wanted: list[str]
) -> None:
    site = make_site()
    deliveries(site, *flags)
    assert uses(site) == wanted


def test_on_demand_caching_can_be_switched_off(make_site: Make) -> None:
    site = make_site(main_cf="smtp_connection_cache_on_demand = no")
    deliveries(site, ALWAYS, ALWAYS)
    assert uses(site) == ["1", "1"]


def test_a_connection_is_used_so_often_and_no_more(make_site: Make) -> None:
    site = make_site(main_cf=f"{KEPT}\nsmtp_connection_reuse_count_limit = 1")
    deliveries(site, 0, 0, 0, 0)
    assert uses(site) == ["1", "2", "1", "2"]
    assert site.said(0)[-1] == "QUIT"


def test_a_connection_is_used_so_long_and_no_longer(make_site: Make) -> None:
    site = make_site(main_cf=f"{KEPT}\nsmtp_connection_reuse_time_limit = 2s")
    deliveries(site, 0, 0, 0, 0, 0, pause=1)
    assert uses(site) == ["1", "2", "3", "4", "1"]


def test_a_server_that_is_gone_is_not_missed(make_site: Make) -> None:
    rules = [{"on": "RSET", "reply": "421 4.3.2 bye", "then": "close"}]
    site = make_site(main_cf=KEPT, peers={"one.test": rules})
    deliveries(site, 0, 0)
    assert uses(site) == ["1", "1"]
    assert not [line for line in site.log() if "421" in line]


def test_the_first_good_server_is_kept_for_the_next_hop(make_site: Make) -> None:
    site = make_site(main_cf=KEPT, peers={"one.test": None, "two.test": []})
    deliveries(site, 0, 0)
    assert uses(site) == ["1", "2"]
    assert [line for line in site.log() if line.startswith("connect to")] == [
        "connect to one.test[203.0.113.1]:25: Connection refused"
    ]


def test_a_server_in_trouble_is_not_kept(make_site: Make) -> None:
    rules = [{"on": "DATA", "do": "close", "times": 1}]
    site = make_site(main_cf=KEPT, peers={"one.test": rules})
    first, second = deliveries(site, 0, 0, nexthop="one.test")
    assert (first.deferred, second.deferred) == (True, False)
    assert uses(site) == ["1", "1"]


def test_next_hops_share_the_connections_to_an_address(make_site: Make) -> None:
    site = make_site()
    deliveries(site, ALWAYS)
    site.world.run_for(0.1)
    deliveries(site, ALWAYS, nexthop="[one.test]")
    assert uses(site)[0] == "1"


def test_statistics_are_logged_when_nobody_came_for_a_while(make_site: Make) -> None:
    site = make_site(main_cf=KEPT)
    deliveries(site, 0, 0)
    site.world.run_for(100)
    assert site.log("scache") == []
    site.world.run_for(6)
    assert [line.partition(": start interval")[0] for line in site.log("scache")] == [
        "statistics",
        "statistics: domain lookup hits=1 miss=1 success=50%",
        "statistics: address lookup hits=0 miss=1 success=0%",
        "statistics: max simultaneous domains=1 addresses=1 connection=1",
    ]


def test_without_a_cache_service_mail_still_goes(make_site: Make) -> None:
    site = make_site(main_cf=f"{KEPT}\nconnection_cache_service_name = nosuch")
    deliveries(site, 0, 0)
    assert uses(site) == ["1", "1"]
    assert site.log().count("warning: disabling connection caching") == 1
