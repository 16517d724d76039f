"""Plays a scenario from its start to its outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mta.postfix import load_programs
from postlab import configuration, harvest
from postlab.errors import NotStarted, RunError
from postlab.folder import ConfigFolder
from postlab.model import Scenario
from postlab.scenario import load
from postlab.stage import QUEUE_DIRECTORY, SECOND, Stage
from postlab.surroundings import with_config
from reports.outcome import Delivered, Dialogue, Outcome, QueueEntry, Report

#: What the start of the mail system says is not part of an outcome.
_NOT_TOLD = "daemon started"
#: Between the start of the mail system and its first client, in microseconds.
_STARTING = SECOND // 20


@dataclass(slots=True)
class Run:
    """A scenario that was played: the report, and the world as it stands at the end."""

    report: Report
    stage: Stage

    @property
    def outcome(self) -> Outcome:
        """The JSON document's model."""
        return self.report.outcome

    @property
    def trace_hash(self) -> str:
        """The hash over everything that happened; the same seed and scenario, the same hash."""
        return self.report.trace_hash


def run_file(path: str | Path, *, seed: int = 0, config: ConfigFolder | None = None) -> Report:
    """The report of a scenario file.  Raises ScenarioError, Unsupported, RunError."""
    return run_scenario(load(path), seed=seed, name=str(path), config=config).report


def run_scenario(
    scenario: Scenario,
    *,
    seed: int = 0,
    name: str = "",
    keep_trace: bool = False,
    config: ConfigFolder | None = None,
) -> Run:
    """Plays a scenario: clients, submissions, commands, each when nothing moves any more.

    With ``config`` the mail system is that of a folder like ``/etc/postfix``: its ``main.cf``,
    ``master.cf``, tables, host name and addresses, and not what the scenario says of them.

    Raises Unsupported, RunError; NotStarted where the mail system does not start.
    """
    load_programs()
    begin = time.process_time()
    if config is not None:
        scenario = with_config(scenario, config)
    stage = Stage(scenario, seed, keep_trace=keep_trace, config=config)
    if not stage.start():
        raise NotStarted(not_started(stage))
    stage.run_until(stage.started + _STARTING)
    for client in scenario.clients:
        stage.client(client)
    for item in scenario.submit:
        stage.submit(item.user, item.args, item.text)
    for line in scenario.commands:
        stage.command(line)
    if scenario.until is not None:
        # What happens every so many seconds does so a little later: the daemons began after us.
        stage.run_until(stage.started + round(scenario.until * SECOND) - 1)
    report = report_of(stage, name)
    report.cpu = time.process_time() - begin
    return Run(report, stage)


def not_started(stage: Stage) -> str:
    """That the mail system does not start, and what its log says."""
    lines = "".join(f"\n  {line}" for line in stage.mta.log)
    return f"the mail system does not start; its log:{lines}"


def report_of(stage: Stage, name: str = "") -> Report:
    """The report of a stage as it stands; it may go on afterwards."""
    ended = stage.world.now
    lines = [line for line in stage.mta.log if not line.text.startswith(_NOT_TOLD)]
    report = Report(
        name=name,
        title=stage.scenario.title,
        outcome=Outcome(
            clients=list(stage.clients),
            peers=[Dialogue(s.peer, s.transcript) for s in stage.record.sessions],
            delivered=_delivered(stage),
            log=[str(line) for line in lines],
            policy={endpoint: server.requests for endpoint, server in stage.policy.items()},
            milters={endpoint: server.events for endpoint, server in stage.milters.items()},
            commands=list(stage.results),
        ),
        seed=stage.seed,
        trace_hash=stage.world.trace.hash(),
        started=stage.started,
        ended=ended,
        moments=[line.at for line in lines],
        about=stage.scenario.about,
        doubts=stage.doubts(),
        unheeded=stage.unheeded(),
        unused=stage.unused(),
    )
    report.outcome.queue = queue_of(stage)
    if any(entry.sender == harvest.UNKNOWN for entry in report.outcome.queue):
        report.doubts.append("the queue cannot be listed: showq(8) does not run")
    return report


def queue_of(stage: Stage) -> list[QueueEntry]:
    """What is in the queue now, as ``postqueue -p`` shows it."""
    try:
        listing = stage.quiet_command("postqueue -p").output
    except RunError:  # showq(8) does not run
        return harvest.unlisted(stage.mta.files, QUEUE_DIRECTORY)
    return harvest.queue(stage.mta.files, QUEUE_DIRECTORY, listing)


def _delivered(stage: Stage) -> list[Delivered]:
    found = [Delivered(d.where, d.message, d.sender, d.recipients) for d in stage.record.delivered]
    mailboxes = harvest.Mailboxes(
        stage.mta.files, stage.scenario.mta.users, _home_mailbox(stage), stage.brought
    )
    return found + mailboxes.delivered() + _calls(stage)


def _calls(stage: Stage) -> list[Delivered]:
    """Each run of an external command of the scenario."""
    found = []
    for run in stage.mta.programs.runs:
        given = run.invocation
        item = Delivered(
            f"command {given.path}",
            given.stdin.decode("utf-8", "surrogateescape"),
            args=list(given.argv[1:]),
        )
        if "SENDER" in given.env and "RECIPIENT" in given.env:  # local(8) ran it
            item.sender = given.env["SENDER"]
            item.recipients = [given.env["RECIPIENT"]]
        found.append(item)
    return found


def _home_mailbox(stage: Stage) -> str:
    """What ``home_mailbox`` is set to."""
    value = ""
    for line in configuration.logical_lines(stage.scenario.mta.main_cf):
        name, _, text = line.partition("=")
        if name.strip() == "home_mailbox":
            value = text.strip()
    return value
