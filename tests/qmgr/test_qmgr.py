"""qmgr(8): what is delivered when, to whom, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from tests.qmgr.conftest import Site

Make = Callable[..., Site]


def test_a_delivered_message_is_removed(make_site: Make) -> None:
    site = make_site()
    queue_id = site.message("b@dest.test", "c@dest.test")
    assert site.world.settle()
    assert [d[1:] for d in site.deliveries] == [
        ("smtp", "dest.test", ["b@dest.test", "c@dest.test"])
    ]
    assert site.log() == [
        f"{queue_id}: from=<a@example.org>, size=15, nrcpt=2 (queue active)",
        f"{queue_id}: removed",
    ]
    assert not site.queue("active") and not site.queue("deferred")


def test_recipients_are_grouped_by_destination(make_site: Make) -> None:
    site = make_site()
    site.message("x@b.test", "y@a.test", "z@b.test", "w@A.test")
    site.world.settle()
    assert sorted((d[2].lower(), sorted(d[3])) for d in site.deliveries) == [
        ("a.test", ["w@A.test", "y@a.test"]),
        ("b.test", ["x@b.test", "z@b.test"]),
    ]


def test_a_recipient_limit_splits_deliveries(make_site: Make) -> None:
    site = make_site("smtp_destination_recipient_limit = 2")
    site.message(*(f"u{n}@dest.test" for n in range(5)))
    site.world.settle()
    assert sorted(len(d[3]) for d in site.deliveries) == [1, 2, 2]


def test_the_initial_concurrency_limits_how_many_run_at_once(make_site: Make) -> None:
    site = make_site("smtp_destination_recipient_limit = 2\ninitial_destination_concurrency = 3")
    site.seconds = 1
    site.message(*(f"u{n}@dest.test" for n in range(20)))
    site.world.settle()
    assert site.most > 3  # the window opens as deliveries succeed
    assert site.deliveries[2][0] < 2 < site.deliveries[3][0] + 1.001


def test_the_process_limit_of_the_transport_holds(make_site: Make) -> None:
    site = make_site("smtp_destination_recipient_limit = 1", limit="2")
    site.seconds = 1
    site.message(*(f"u@d{n}.test" for n in range(6)))
    site.world.settle()
    assert site.most == 2
    assert len(site.deliveries) == 6


def test_a_deferred_message_is_tried_again_with_its_age_as_delay(make_site: Make) -> None:
    site = make_site(
        "minimal_backoff_time = 300s\nmaximal_backoff_time = 1200s\nqueue_run_delay = 100s"
    )
    site.verdict = lambda request: "defer"
    site.message("b@dest.test")
    site.world.run_for(6000)
    times = [round(d[0]) for d in site.deliveries]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == [300, 300, 600, 1200, 1200, 1200, 1200]


def test_a_message_that_is_too_old_goes_back(make_site: Make) -> None:
    site = make_site("maximal_queue_lifetime = 1h\nqueue_run_delay = 300s")
    site.verdict = lambda request: "defer"
    queue_id = site.message("b@dest.test")
    site.world.run_for(3 * 3600)
    assert f"{queue_id}: from=<a@example.org>, status=expired, returned to sender" in site.log()
    assert site.log()[-1] == f"{queue_id}: removed"
    assert site.notices == ["defer bounce"]


def test_five_days_is_the_lifetime(make_site: Make) -> None:
    site = make_site()
    site.verdict = lambda request: "defer"
    site.message("b@dest.test")
    site.world.run_for(6 * 86400)
    last = site.deliveries[-1][0] / 86400
    assert 5 <= last < 5.1


def test_a_dead_destination_at_concurrency_one_waits_and_retry_defers(make_site: Make) -> None:
    site = make_site("initial_destination_concurrency = 1")
    site.verdict = lambda request: "dead" if request.nexthop == "dead.test" else "sent"
    site.message("b@dead.test")
    site.world.settle()
    site.message("c@dead.test", "d@fine.test")
    site.world.settle()
    assert [d[2] for d in site.deliveries] == ["dead.test", "fine.test"]
    suspended = "4.4.1 delivery temporarily suspended: nobody there"
    assert f"defer append c@dead.test {suspended}" in site.notices
    assert any("relay=none" in line and suspended[6:] in line for line in site.log("error"))


def test_one_failure_does_not_kill_a_destination_at_concurrency_five(make_site: Make) -> None:
    site = make_site()
    site.verdict = lambda request: "dead"
    for _ in range(3):
        site.message("b@dest.test")
        site.world.settle()
    assert len(site.deliveries) == 3


def test_an_agent_that_dies_throttles_its_transport(make_site: Make) -> None:
    site = make_site()
    site.verdict = lambda request: "crash"
    queue_id = site.message("b@dest.test")
    site.world.run_for(10)
    assert site.log()[1:] == [
        "warning: private/smtp socket: malformed response",
        "warning: transport smtp failure -- see a previous warning/fatal/panic logfile record for "
        "the problem description",
    ]
    master = site.log("master")
    assert any("exit status 1" in line for line in master)
    assert master[-1].endswith("/fake: bad command startup -- throttling")
    assert "defer append b@dest.test 4.3.0 unknown mail transport error" in site.notices
    assert site.queue("deferred") == [queue_id]


def test_an_unknown_transport_is_deferred(make_site: Make) -> None:
    site = make_site("transport_maps = inline:{ dest.test=nosuch: }")
    site.message("b@dest.test")
    site.world.settle()
    assert site.log()[1] == (
        "warning: connect to transport private/nosuch: No such file or directory"
    )
    assert "defer append b@dest.test 4.3.0 mail transport unavailable" in site.notices


def test_deferred_transports_wait_for_a_flush(make_site: Make) -> None:
    site = make_site("defer_transports = smtp")
    site.message("b@dest.test")
    site.world.settle()
    assert not site.deliveries
    assert "defer append b@dest.test 4.3.2 deferred transport" in site.notices
    assert site.postfix.master is not None
    site.postfix.master.trigger("qmgr", b"DFAI")
    site.world.settle()
    assert len(site.deliveries) == 1


def test_a_damaged_file_goes_to_the_corrupt_queue(make_site: Make) -> None:
    site = make_site()
    path = "/var/spool/postfix/incoming/ABCDE1"
    site.machine.files.write(path, b"C\x7frubbish", 0o700)
    assert site.postfix.master is not None
    site.postfix.master.trigger("qmgr", b"I")
    site.world.settle()
    assert site.queue("corrupt") == ["ABCDE1"]
    assert site.log()[-1] == (
        'warning: saving corrupt file "ABCDE1" from queue "active" to queue "corrupt"'
    )


def test_what_an_earlier_queue_manager_left_is_taken_up_again(make_site: Make) -> None:
    site = make_site()
    queue_id = site.message("b@dest.test")
    site.machine.files.rename(
        f"/var/spool/postfix/incoming/{queue_id}", f"/var/spool/postfix/active/{queue_id}"
    )
    site.postfix.stop()
    site.postfix.start()
    site.world.settle()
    assert len(site.deliveries) == 1


def test_a_rate_delay_spaces_deliveries(make_site: Make) -> None:
    site = make_site("smtp_destination_rate_delay = 10s\nsmtp_destination_recipient_limit = 1")
    site.message("a@dest.test", "b@dest.test", "c@dest.test")
    site.world.run_for(60)
    # with one recipient a delivery every recipient is a destination of its own
    assert len(site.deliveries) == 3
    site = make_site("smtp_destination_rate_delay = 10s\nsmtp_destination_recipient_limit = 2")
    site.message(*(f"u{n}@dest.test" for n in range(6)))
    site.world.run_for(60)
    assert [round(d[0]) for d in site.deliveries] == [0, 10, 20]


def test_a_small_message_overtakes_a_large_one(make_site: Make) -> None:
    site = make_site(
        "smtp_destination_recipient_limit = 2\nsmtp_destination_concurrency_limit = 2\n"
        "default_minimum_delivery_slots = 1"
    )
    site.seconds = 1
    site.message(*(f"big{n}@dest.test" for n in range(60)))
    site.world.run_for(5.5)
    site.message("small@dest.test")
    site.world.settle()
    order = [d[3][0] for d in site.deliveries]
    assert order.index("small@dest.test") < len(order) - 5


def test_more_recipients_than_fit_in_memory_are_read_in_parts(make_site: Make) -> None:
    site = make_site(
        "qmgr_message_recipient_limit = 20\nqmgr_message_active_limit = 20\n"
        "default_recipient_limit = 10\nsmtp_recipient_limit = 10\n"
        "qmgr_message_recipient_minimum = 10\nsmtp_destination_recipient_limit = 5"
    )
    names = [f"u{n:03d}@dest.test" for n in range(137)]
    queue_id = site.message(*names)
    site.world.settle()
    assert sorted(address for d in site.deliveries for address in d[3]) == names
    assert site.log()[-1] == f"{queue_id}: removed"


def test_a_throttled_service_does_not_keep_the_world_busy(make_site: Make) -> None:
    site = make_site("recipient_delimiter = +")
    site.verdict = lambda request: "crash"
    site.message("b@dest.test")
    site.world.settle()
    began = site.world.now
    assert site.postfix.master is not None
    site.postfix.master.trigger("qmgr", b"DFAI")
    assert site.world.settle(1)
    assert site.world.now - began < 1_000_000
