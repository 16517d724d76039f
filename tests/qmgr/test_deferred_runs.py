"""When the deferred queue is looked at: every queue_run_delay, where there is something to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mta.lib.mail_queue import MailQueue
from sim.disk import Disk

Make = Callable[..., Any]

DEFERRED = "/var/spool/postfix/deferred"


def test_nobody_looks_at_the_deferred_queue_while_nothing_is_due(
    make_site: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    listing = Disk.list

    def listed(disk: Disk, path: str) -> list[str]:
        if path == DEFERRED:
            looks.append(path)
        return listing(disk, path)

    monkeypatch.setattr(Disk, "list", listed)
    site = make_site("queue_run_delay = 10s\nmaximal_backoff_time = 4000s")
    site.verdict = lambda request: "defer"
    site.message("b@dest.test")
    site.world.run_for(86_400)
    assert len(site.deliveries) > 20
    assert len(looks) < 3 * len(site.deliveries)


def test_a_file_that_comes_from_elsewhere_is_found_at_the_next_run(make_site: Make) -> None:
    site = make_site("queue_run_delay = 100s")
    queue, files = MailQueue("/var/spool/postfix"), site.machine.files
    site.verdict = lambda request: "defer"
    queue_id = site.message("b@dest.test")
    site.world.run_for(10)
    queue.rename(files, queue_id, "deferred", "hold")
    site.world.run_for(50_000)
    assert len(site.deliveries) == 1
    queue.rename(files, queue_id, "hold", "deferred")
    site.world.run_for(100)
    assert [round(moment) for moment, *_ in site.deliveries] == [0, 50_100]


def test_a_file_that_is_due_before_the_others_is_not_kept_waiting(make_site: Make) -> None:
    site = make_site("queue_run_delay = 100s\nminimal_backoff_time = 3000s")
    queue, files = MailQueue("/var/spool/postfix"), site.machine.files
    site.verdict = lambda request: "defer"
    site.message("slow@dest.test")
    queue_id = site.message("quick@dest.test")
    site.world.run_for(10)
    queue.rename(files, queue_id, "deferred", "hold")
    files.touch(queue.open(files, "hold", queue_id), site.machine.now())
    queue.rename(files, queue_id, "hold", "deferred")
    site.world.run_for(3200)
    later = [(round(moment), whom) for moment, _, _, whom in site.deliveries[2:]]
    assert later == [(100, ["quick@dest.test"]), (3000, ["slow@dest.test"]),
                     (3100, ["quick@dest.test"])]  # fmt: skip


def test_after_a_reload_only_the_new_queue_manager_looks_at_the_queues(make_site: Make) -> None:
    site = make_site("queue_run_delay = 300s")
    site.verdict = lambda request: "defer"
    queue_id = site.message("b@dest.test")
    site.world.run_for(10)
    before = {line.pid for line in site.machine.log if line.tag.endswith("/qmgr")}
    assert site.postfix.reload()
    site.world.run_for(5000)
    taken_up = [line.pid for line in site.machine.log if line.text.startswith(f"{queue_id}: from=")]
    assert len(taken_up) == len(site.deliveries) > 3
    assert not before & set(taken_up[1:])
