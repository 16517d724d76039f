"""One postscreen(8) process: what it has read from the configuration, and its sessions
(postscreen.c, postscreen_misc.c, postscreen_send.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.conf.kinds import check_time, convert_time
from mta.dict.errors import TableError
from mta.dict.flags import DICT_FLAG_FOLD_FIX, DICT_FLAG_LOCK
from mta.dict.registry import dict_open
from mta.lib.dict_cache import DictCache
from mta.lib.maps import Maps
from mta.lib.namadr_list import AddrMatchList
from mta.lib.passed_stream import PassedStream
from mta.lib.server_acl import SERVER_ACL_ACT_PERMIT, SERVER_ACL_ACT_REJECT, ServerAcl
from mta.lib.string_list import StringList
from mta.postscreen.dnsbl import Ranking
from mta.postscreen.early import early_tests
from mta.postscreen.endpt import endpt_lookup
from mta.postscreen.reply import Replies
from mta.postscreen.smtpd import smtpd_tests
from mta.postscreen.stamps import (
    enabled,
    new_tests,
    parse_stamps,
    print_stamps,
    tests_to_do,
    todo_tests,
)
from mta.postscreen.state import (
    ACTIONS,
    BARLF,
    DNSBL,
    EARLY,
    NSMTP,
    PIPEL,
    PREGR,
    Action,
    Client,
    State,
)
from mta.system import Gone, Stream, TimedOut, Wait
from mta.tls.levels import server_level
from mta.wire.ehlo_mask import (
    EHLO_MASK_8BITMIME,
    EHLO_MASK_DSN,
    EHLO_MASK_ENHANCEDSTATUSCODES,
    EHLO_MASK_ETRN,
    EHLO_MASK_SIZE,
    EHLO_MASK_SMTPUTF8,
    EHLO_MASK_STARTTLS,
    EHLO_MASK_VRFY,
    ehlo_mask,
)

if TYPE_CHECKING:
    from mta.master.server import Process

_SECOND = 1_000_000
#: A process that takes passed connections says so within (seconds).
_NOTIFY_TIMEOUT = 100
#: Parts of ``postscreen_pre_queue_limit`` where stress ends and begins.
_LOW_WATER = 0.7
_HIGH_WATER = 0.9

#: The actions, in the order in which they are checked.
_ACTIONS = (
    (0, "postscreen_blacklist_action"),
    (DNSBL, "postscreen_dnsbl_action"),
    (PREGR, "postscreen_greet_action"),
    (PIPEL, "postscreen_pipelining_action"),
    (NSMTP, "postscreen_non_smtp_command_action"),
    (BARLF, "postscreen_bare_newline_action"),
)


class Screen:
    """The configuration, the cache, and how many are waiting."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.conf = conf = process.conf
        self.on = enabled(conf)
        self.clients: dict[str, Client] = {}
        self.check_queue = self.post_queue = 0
        self.stress = False
        self._open_tables()
        self.replies = Replies(process)
        self.ranking = Ranking(process)
        self._read_greetings()
        self._read_tls()
        self.actions = self._read_actions()
        self._whitelist = AddrMatchList(
            process, "postscreen_whitelist_interfaces", conf.postscreen_whitelist_interfaces
        )
        if self.cache is not None:
            self.cache.clean_every(conf.postscreen_cache_cleanup_interval)
        self.deep_ttl = (
            (BARLF, conf.postscreen_bare_newline_ttl),
            (NSMTP, conf.postscreen_non_smtp_command_ttl),
            (PIPEL, conf.postscreen_pipelining_ttl),
        )
        self.min_ttl = min(
            conf.postscreen_greet_ttl, conf.postscreen_dnsbl_ttl, *(ttl for _, ttl in self.deep_ttl)
        )
        self._read_times()
        limit = conf.postscreen_pre_queue_limit
        self._low, self._high = int(_LOW_WATER * limit), int(_HIGH_WATER * limit)

    def _open_tables(self) -> None:
        process, conf = self.process, self.conf
        name = conf.postscreen_access_list
        self._acl = ServerAcl(process, "postscreen_access_list", name) if name else None
        words = conf.postscreen_forbidden_commands
        self.forbidden = (
            StringList(process, "postscreen_forbidden_commands", words) if words else None
        )
        cache = conf.postscreen_cache_map
        self.cache = DictCache[str](process, cache, self._may_stay) if cache else None
        discard = conf.postscreen_discard_ehlo_keyword_address_maps
        self._discard_maps = (
            Maps(
                process,
                "postscreen_discard_ehlo_keyword_address_maps",
                discard,
                flags=DICT_FLAG_LOCK,
            )
            if discard
            else None
        )
        self.ehlo_mask = ehlo_mask(conf.postscreen_discard_ehlo_keywords)
        spec = conf.postscreen_command_filter
        flags = DICT_FLAG_LOCK | DICT_FLAG_FOLD_FIX
        self.command_filter = dict_open(process, spec, flags=flags) if spec else None

    def _read_greetings(self) -> None:
        conf = self.conf
        name = conf.myhostname
        self.teaser = f"220-{conf.postscreen_greet_banner}"
        self.greeting = f"220 {conf.smtpd_banner}"
        self.timeout_reply = f"421 4.4.2 {name} Error: timeout exceeded"
        self.busy_reply = f"421 {name} Service unavailable - try again later"

    def _read_tls(self) -> None:
        conf = self.conf
        self.enforce_tls = conf.postscreen_enforce_tls
        self.use_tls = conf.postscreen_use_tls or self.enforce_tls
        if conf.postscreen_tls_security_level:
            self.use_tls, self.enforce_tls = server_level(
                self.process, "postscreen_tls_security_level"
            )

    def _read_actions(self) -> dict[int, Action]:
        actions = {}
        for test, name in _ACTIONS:
            value: str = getattr(self.conf, name)
            action = ACTIONS.get(value.lower())
            if action is None:
                self.process.log.fatal(f"bad {name} value: {value}")
            actions[test] = action
        return actions

    def _read_times(self) -> None:
        """Time limits for good days, and for bad ones (``stress``)."""
        conf = self.conf
        conf.update("stress", "yes")
        self._stress_command_time, self._stress_greet_wait = self._times()
        conf.update("stress", "")
        self.normal_command_time_limit, self._normal_greet_wait = self._times()

    def _times(self) -> tuple[int, int]:
        conf, name = self.conf, "postscreen_command_time_limit"
        limit = convert_time(name, conf.expand(conf.postscreen_command_time_limit), "s")
        return check_time(name, limit, 1, 0), conf.postscreen_greet_wait

    @property
    def greet_wait(self) -> int:
        """How long a client has to wait before it may speak (seconds)."""
        return self._stress_greet_wait if self.stress else self._normal_greet_wait

    @property
    def command_time_limit(self) -> int:
        """How long a client may take for a command (seconds)."""
        return self._stress_command_time if self.stress else self.normal_command_time_limit

    def elapsed(self, state: State) -> str:
        """How long the test of a session takes by now."""
        return state.elapsed(self.process.now(), self.conf.delay_logging_resolution_limit)

    def _may_stay(self, _: str, entry: str) -> bool:
        """Whether an entry of the cache is still good for something."""
        now = self.process.now() // _SECOND - self.conf.postscreen_cache_retention_time
        return not tests_to_do(parse_stamps(entry), self.on, now)

    # -- EHLO ---------------------------------------------------------------------------------

    def discard_mask(self, address: str) -> Wait[int | None]:
        """What is not offered to an address, where that is not what is offered to nobody."""
        maps = self._discard_maps
        if maps is None:
            return None
        try:
            words = yield from maps.find(address)
        except TableError:
            self.process.log.fatal(f"{maps.title} lookup error for {address}")
        if words is None or ehlo_mask(words) == self.ehlo_mask:
            return None
        return ehlo_mask(words)

    def ehlo_reply(self, mask: int) -> str:
        """The reply to EHLO without what the mask takes away."""
        conf = self.conf
        limit = conf.message_size_limit
        offers = (
            (EHLO_MASK_SIZE, f"SIZE {limit}" if limit else "SIZE", True),
            (EHLO_MASK_VRFY, "VRFY", not conf.disable_vrfy_command),
            (EHLO_MASK_ETRN, "ETRN", True),
            (EHLO_MASK_STARTTLS, "STARTTLS", self.use_tls),
            (EHLO_MASK_ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES", True),
            (EHLO_MASK_8BITMIME, "8BITMIME", True),
            (EHLO_MASK_DSN, "DSN", True),
            (EHLO_MASK_SMTPUTF8, "SMTPUTF8", conf.smtputf8_enable),
        )
        lines = [conf.myhostname]
        lines += [word for bit, word, on in offers if on and not mask & bit]
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    # -- sessions -----------------------------------------------------------------------------

    def serve(self, stream: Stream) -> Wait[None]:
        """Serves one client."""
        peer = yield from endpt_lookup(self.process, stream)
        if peer is None:
            stream.write(b"421 4.3.2 No system resources\r\n")
            return
        self.process.log.info(
            f"CONNECT from [{peer.client_address}]:{peer.client_port} "
            f"to [{peer.server_address}]:{peer.server_port}"
        )
        state = self._new_state(peer)
        if not (yield from self._turned_away(state)):
            yield from self._begin(state)

    def _new_state(self, peer: PassedStream) -> State:
        self.check_queue += 1
        if not self.stress and self.check_queue >= self._high:
            self.stress = True
            self.process.log.info(f"entering STRESS mode with {self.check_queue} connections")
        client = self.clients.setdefault(peer.client_address, Client())
        client.concurrency += 1
        return State(peer, client)

    def _turned_away(self, state: State) -> Wait[bool]:
        """Clients that there are too many of, and those that are known to be good or bad."""
        conf, log = self.conf, self.process.log
        limit = conf.postscreen_client_connection_count_limit
        if 0 < limit < state.client.concurrency:
            log.info(f"NOQUEUE: reject: CONNECT from {state.who}: too many connections")
            yield from self.drop(state, "421 4.7.0 Error: too many connections")
            return True
        if 0 < conf.postscreen_post_queue_limit <= self.post_queue:
            log.info(f"NOQUEUE: reject: CONNECT from {state.who}: all server ports busy")
            yield from self.drop(state, "421 4.3.2 All server ports are busy")
            return True
        if self._acl is None:
            return False
        verdict = yield from self._acl.match(state.peer.client_address)
        if verdict == SERVER_ACL_ACT_PERMIT:
            log.info(f"WHITELISTED {state.who}")
            yield from self.conclude(state)
            return True
        if verdict == SERVER_ACL_ACT_REJECT:
            log.info(f"BLACKLISTED {state.who}")
            action = self.actions[0]
            state.blacklisted = action != Action.IGNORE
            if action == Action.DROP:
                yield from self.drop(state, "521 5.3.2 Service currently unavailable")
                return True
            if action == Action.ENFORCE:
                state.enforce("550 5.3.2 Service currently unavailable")
        return False

    def _begin(self, state: State) -> Wait[None]:
        """Finds what is to be tested, and begins with it."""
        conf, log = self.conf, self.process.log
        now = self.process.now() // _SECOND
        entry = None
        if not state.any_fail and state.client.concurrency == 1 and self.cache is not None:
            entry = self.cache.entries.get(state.peer.client_address)
        if entry is not None:
            state.client.expires.update(parse_stamps(entry))
            todo_tests(state, self.on, now)
            if not state.todo:
                log.info(f"PASS OLD {state.who}")
                yield from self.conclude(state)
                return
        elif state.client.concurrency > 1:
            todo_tests(state, self.on, now)
        else:
            new_tests(state, self.on)
        if not (yield from self._makes_white(state)):
            state.veto = state.no_forward = True
            log.info(f"WHITELIST VETO {state.who}")
        if 0 < conf.postscreen_pre_queue_limit <= self.check_queue - self.post_queue:
            log.info(f"reject: connect from {state.who}: all screening ports busy")
            yield from self.drop(state, "421 4.3.2 All screening ports are busy")
        elif state.todo & EARLY:
            yield from early_tests(self, state)
        elif state.todo or state.no_forward:
            yield from self.smtpd_tests(state)
        else:
            yield from self.conclude(state)

    def _makes_white(self, state: State) -> Wait[bool]:
        try:
            return (yield from self._whitelist.match(state.peer.server_address))
        except TableError:
            return False

    def smtpd_tests(self, state: State) -> Wait[None]:
        """Talks with the client, in place of smtpd(8)."""
        yield from smtpd_tests(self, state)

    def drop(self, state: State, reply: str) -> Wait[None]:
        """Ends a session with a reply."""
        state.no_forward = True
        state.final_reply = reply
        yield from self.conclude(state)

    def hangup(self, state: State) -> Wait[None]:
        """The client is gone."""
        state.hung_up = state.no_forward = True
        self.process.log.info(
            f"HANGUP after {self.elapsed(state)} from {state.who} in {state.test_name}"
        )
        yield from self.conclude(state)

    def conclude(self, state: State) -> Wait[None]:
        """Notes what the tests came to; the client goes on to smtpd(8), or has to go."""
        log = self.process.log
        if state.any_fail:
            state.passed = 0
        if state.passed and state.passed == state.todo:
            old = True
            if state.new:
                old = state.client.pass_new_count > 0
                state.client.pass_new_count += 1
            log.info(f"PASS {'OLD' if old else 'NEW'} {state.who}")
        if state.passed and self.cache is not None:
            self.cache.entries[state.peer.client_address] = print_stamps(
                state.client.expires, self.on
            )
        if not state.no_forward:
            yield from self._pass_on(state)
            return
        if not state.hung_up:
            yield from self.replies.send(state, state.final_reply)
        log.info(f"DISCONNECT {state.who}")
        self._free(state)

    def _free(self, state: State) -> None:
        state.client.concurrency -= 1
        if not state.client.concurrency:
            del self.clients[state.peer.client_address]
        self.check_queue -= 1
        if self.stress and self.check_queue <= self._low:
            self.stress = False
            self.process.log.info(f"leaving STRESS mode with {self.check_queue} connections")

    def _pass_on(self, state: State) -> Wait[None]:
        """Gives the connection to a real server."""
        process = self.process
        service = self.conf.smtpd_service_name
        self.post_queue += 1
        late = process.system.after(
            _NOTIFY_TIMEOUT,
            lambda: process.log.warning(f"timeout sending connection to service private/{service}"),
        )
        try:
            connection = yield from process.connect(service)
        except Gone as gone:
            self.post_queue -= 1
            late.cancel()
            process.log.warning(f"cannot connect to service private/{service}: {gone.args[0]}")
            yield from self._no_server(state)
            return
        self.post_queue -= 1
        late.cancel()
        self._free(state)
        try:
            yield from connection.call(state.peer)
        except (Gone, TimedOut):
            pass

    def _no_server(self, state: State) -> Wait[None]:
        if state.todo & PREGR:
            state.closing = True
            state.final_reply = "421 4.3.2 No system resources"
            yield from self.smtpd_tests(state)
        else:
            yield from self.replies.send(state, "421 4.3.2 All server ports are busy")
            self._free(state)
