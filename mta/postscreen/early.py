"""The tests before the client may speak: does it wait, do lists know it (postscreen_early.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mta.lib.crash import Crash
from mta.postscreen.dnsbl import Score
from mta.postscreen.state import DEEP, DNSBL, EARLY, PREGR, TESTS, Action, State
from mta.system import System, Timer, Wait
from mta.util.escape import escape

if TYPE_CHECKING:
    from mta.postscreen.screen import Screen

_SECOND = 1_000_000
_SHOWN = 100
#: How much of what a client says too early is looked at.
_READ_BUF_SIZE = 1024


class _Events:
    """What happens to a session, in its order."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._happened: list[str] = []
        self._signal = system.signal()

    def source(self, name: str) -> Callable[[], None]:
        """What makes the event happen."""

        def happen() -> None:
            self._happened.append(name)
            if not self._signal.is_set:
                self._signal.set()

        return happen

    def next(self) -> Wait[str]:
        while not self._happened:
            yield self._signal.wait()
            self._signal = self._system.signal()
        return self._happened.pop(0)


class _Early:
    """The tests of one session."""

    def __init__(self, screen: Screen, state: State) -> None:
        self.screen = screen
        self.state = state
        self.process = screen.process
        self.conf = screen.process.conf
        self.events = _Events(self.process.system)
        self.heard = self.events.source("dnsbl")
        self.score: Score | None = None  #: the request, until its result is taken
        self.timer: Timer | None = None

    def run(self) -> Wait[None]:
        """From the teaser to the verdict."""
        screen, state = self.screen, self.state
        state.begin("tests before SMTP handshake", self.process.now())
        if state.todo & PREGR and not (yield from screen.replies.send(state, screen.teaser)):
            yield from screen.hangup(state)
            return
        if state.todo & DNSBL:
            yield from screen.ranking.learn_names()
            self.score = screen.ranking.request(state.peer.client_address, self.heard)
        stream = state.peer.stream
        if state.todo & PREGR:
            stream.when_readable(self.events.source("input"))
        self._wait(screen.greet_wait)
        over = yield from self._events()
        if self.timer is not None:
            self.timer.cancel()
        if over:
            yield from self._judge()

    def _wait(self, seconds: int) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.process.system.after(seconds, self.events.source("time"))

    def _events(self) -> Wait[bool]:
        """Whether the time has come for the verdict; else the session has ended."""
        state = self.state
        while True:
            event = yield from self.events.next()
            if event == "time":
                state.peer.stream.when_readable(None)
                return True
            if event == "dnsbl":
                self._retrieve()
                state.done |= DNSBL
            elif not (yield from self._pregreet()):
                return False
            elapsed = state.elapsed_seconds(self.process.now())
            if state.done & EARLY == state.todo & EARLY:
                state.peer.stream.when_readable(None)
                return True
            if event == "input":
                if elapsed >= self.screen.greet_wait:
                    return True
                self._wait(self.screen.greet_wait - elapsed)

    def _pregreet(self) -> Wait[bool]:
        """The client speaks before its turn, or is gone; whether the session goes on."""
        screen, state = self.screen, self.state
        data = state.peer.stream.peek()[: _READ_BUF_SIZE - 1]
        if not data:
            self._let_go()
            yield from screen.hangup(state)
            return False
        self.process.log.info(
            f"PREGREET {len(data)} after {screen.elapsed(state)} from {state.who}: "
            f"{escape(data)[:_SHOWN]}"
        )
        state.failed |= PREGR
        if screen.actions[PREGR] == Action.DROP:
            self._let_go()
            yield from screen.drop(state, "521 5.5.1 Protocol error")
            return False
        if screen.actions[PREGR] == Action.ENFORCE:
            state.enforce("550 5.5.1 Protocol error")
        state.done |= PREGR
        return True

    def _let_go(self) -> None:
        """The result of the lists is not needed any more."""
        if self.score is not None:
            address = self.state.peer.client_address
            self.screen.ranking.retrieve(address, self.score, self.heard)
            self.score = None

    def _retrieve(self) -> None:
        """Takes the result of the lists, as far as it goes."""
        if self.score is None:
            return
        state = self.state
        address = state.peer.client_address
        total, name = self.screen.ranking.retrieve(address, self.score, self.heard)
        self.score = None
        state.dnsbl_score, state.dnsbl_name = total, name
        if self.conf.postscreen_dnsbl_whitelist_threshold < 0:
            self._whitelist(total)

    def _whitelist(self, score: int) -> None:
        """A client with a good name passes the other tests, too."""
        state, conf = self.state, self.conf
        threshold = conf.postscreen_dnsbl_whitelist_threshold
        if state.any_fail or score >= conf.postscreen_dnsbl_threshold or score > threshold:
            return
        until = self._until(conf.postscreen_dnsbl_ttl)
        for test in TESTS:
            if test == DNSBL:
                continue
            if state.todo & test and not state.passed & test:
                state.done |= test
                state.passed |= test
            state.client.expires[test] = max(state.client.expires[test], until)

    def _until(self, ttl: int) -> int:
        return self.process.now() // _SECOND + ttl

    def _judge(self) -> Wait[None]:
        """The results, and what follows from them."""
        screen, state, conf = self.screen, self.state, self.conf
        if state.todo & PREGR and not (state.failed | state.done) & PREGR:
            state.client.expires[PREGR] = self._until(conf.postscreen_greet_ttl)
            state.passed |= PREGR
        if state.failed & PREGR and screen.actions[PREGR] == Action.IGNORE:
            state.failed &= ~PREGR
        if state.todo & DNSBL and (yield from self._judge_dnsbl()):
            return
        if state.no_forward or state.passed & DEEP != state.todo & DEEP:
            yield from screen.smtpd_tests(state)
        else:
            yield from screen.conclude(state)

    def _judge_dnsbl(self) -> Wait[bool]:
        """Whether the session has ended."""
        screen, state, conf = self.screen, self.state, self.conf
        self._retrieve()
        assert state.dnsbl_score is not None
        if state.dnsbl_score < conf.postscreen_dnsbl_threshold:
            state.client.expires[DNSBL] = self._until(conf.postscreen_dnsbl_ttl)
            state.passed |= DNSBL
            return False
        self.process.log.info(f"DNSBL rank {state.dnsbl_score} for {state.who}")
        action = screen.actions[DNSBL]
        blame = (
            f"5.7.1 Service unavailable; client [{state.peer.client_address}] blocked using "
            f"{state.dnsbl_name}"
        )
        if action == Action.IGNORE:
            return False
        if state.dnsbl_name is None:
            raise Crash("a client that no list knows is to be told which list has it")
        state.failed |= DNSBL
        if action == Action.DROP:
            yield from screen.drop(state, f"521 {blame}")
            return True
        state.enforce(f"550 {blame}")
        return False


def early_tests(screen: Screen, state: State) -> Wait[None]:
    """Tests a client before it may speak, and goes on with it."""
    yield from _Early(screen, state).run()
