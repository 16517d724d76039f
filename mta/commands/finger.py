"""The probe of posttls-finger(1): connections, dialogues, certificates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from mta.commands.finger_hosts import (
    HOST_FLAG_DNS,
    HOST_FLAG_NATIVE,
    Hosts,
    connect_inet,
    connect_unix,
    parse_destination,
    say,
)
from mta.commands.posttls_finger import Options, usage
from mta.dns_lookup import VERBOSE
from mta.lib.smtp_stream import SmtpEof, SmtpError, SmtpStream
from mta.tls.client import TlsClientEngine, TlsClientProps, TlsClientStart, tls_client_init
from mta.tls.dane import Dane, dane_support, load_trustfile
from mta.tls.fprint import tls_cert_fprint, tls_pkey_fprint
from mta.tls.levels import (
    TLS_LEV_DANE,
    TLS_LEV_DANE_ONLY,
    TLS_LEV_FPRINT,
    TLS_LEV_INVALID,
    TLS_LEV_NONE,
    TLS_LEV_SECURE,
    TLS_LEV_VERIFY,
    TLS_LOG_CACHE,
    TLS_LOG_CERTMATCH,
    TLS_LOG_PEERCERT,
    TLS_LOG_SUMMARY,
    TLS_LOG_UNTRUSTED,
    TLS_LOG_VERBOSE,
    dane_based,
    must_match,
    tls_level,
    tls_log_mask,
)
from mta.tls.scache import MemoryCache
from mta.tls.verify import name_oneline
from mta.util.name_mask import NameMaskError, name_mask
from mta.util.scalars import split
from mta.wire.text import to_bytes, to_text

if TYPE_CHECKING:
    from mta.commands.command import Command
    from mta.dns_lookup import DnsRR
    from mta.system import Stream, Wait
    from mta.tls.session import TlsSession

_LOOKUPS = {"dns": HOST_FLAG_DNS, "native": HOST_FLAG_NATIVE}
_BUFFER = 4096  #: of the standard output, which the log does not go through
_VERIFY_DEPTH = 9  #: the default of smtp_tls_scert_verifydepth
_UNPRINTABLE = re.compile(r"[^ -~\t\n\v\f\r]")
_CODE = re.compile(r"[0-9]*")
_WORD = re.compile(r"[^ \t=]+")


class _Over(Exception):
    """A connection has come to its end, and that has been told."""


class Finger:
    """One run of the command."""

    def __init__(self, cmd: Command, options: Options) -> None:
        """Checks the options; what makes no sense is fatal (raises Fatal, Exit)."""
        self._cmd = cmd
        self._options = options
        self._process = process = cmd.process
        log = self._log = process.log
        if options.preference.lower() not in ("ipv4", "ipv6", "any"):
            log.fatal(f"bad '-a' option value: {options.preference}")
        try:
            lookup = name_mask("-h option", _LOOKUPS, options.lookup)
        except NameMaskError as error:
            log.fatal(error.args[0])
        if options.verbose:
            process.cache[VERBOSE] = True
            if options.verbose > 1:
                log.warning("more verbose logging is not implemented: -v -v")
        self._tell_mask(options.lookup)
        self._hosts = Hosts(process, lookup, options.preference.lower())
        self._cache = MemoryCache(process, options.delay >= 0)
        self._mask = tls_log_mask(log, "-L option", options.log)
        self._tell_mask(options.log)
        self._level = TLS_LEV_DANE
        self._engine: TlsClientEngine | None = None
        self._start_tls_engine()
        self._tell_mask(process.conf.inet_protocols)
        self._tell_interfaces()
        self._dane: Dane | None = None  #: fingerprints and trust anchors of the command line
        self._match: list[str] | None = None
        self._read_anchors()
        self._dest, *match = cmd.args or usage(cmd)
        self._read_match(match)
        self._addresses: list[DnsRR] = []
        self._port = 0
        self._nexthop = self._hostname = self._namaddrport = self._addrport = self._helo = ""
        self._dns_dane: Dane | None = None
        self._pass = 1
        self._held = ""  #: of the chain of certificates: not written yet
        self._stream: SmtpStream | None = None
        self._session: TlsSession | None = None

    def _start_tls_engine(self) -> None:
        options, log = self._options, self._log
        if options.level:
            self._level = tls_level(options.level)
            if self._level == TLS_LEV_INVALID:
                log.fatal(f'Invalid TLS level "{options.level}"')
            if self._level == TLS_LEV_NONE:
                if options.wrapper:
                    log.fatal("SSL wrapper mode requires that TLS not be disabled")
                return
        self._tell_mask(options.log)
        props = TlsClientProps(
            log_param="-L option",
            log_level=options.log,
            verifydepth=_VERIFY_DEPTH,
            cert_file=_absolute(options.cert_file),
            key_file=_absolute(options.key_file),
            dcert_file="",
            dkey_file="",
            eccert_file="",
            eckey_file="",
            CAfile=_absolute(options.ca_file),
            CApath=_absolute(options.ca_path),
            mdalg=options.digest,
        )
        self._engine = tls_client_init(self._process, props, self._cache)
        if dane_based(self._level) and not dane_support(self._process).available:
            log.warning('DANE TLS support is not available, resorting to "secure"')
            self._level = TLS_LEV_SECURE

    def _tell_mask(self, names: str) -> None:
        for name in split(names):
            say(self._process, f"name_mask: {name}")

    def _tell_interfaces(self) -> None:
        own = [interface.address for interface in self._process.conf.own_interfaces]
        for kind, count in (
            ("IPv4", sum(":" not in address for address in own)),
            ("IPv6", sum(":" in address for address in own)),
        ):
            if count:
                say(self._process, f"inet_addr_local: configured {count} {kind} addresses")

    def _read_anchors(self) -> None:
        if not self._options.anchors or self._level not in (TLS_LEV_SECURE, TLS_LEV_VERIFY):
            return
        self._dane = Dane()
        for path in self._options.anchors:
            if not load_trustfile(self._process, self._dane, _absolute(path), root=True):
                self._log.fatal(f"Failed to load trust anchor file: {path}")

    def _read_match(self, words: list[str]) -> None:
        level = self._level
        if level == TLS_LEV_SECURE:
            self._match = words or ["nexthop", "dot-nexthop"]
        elif level == TLS_LEV_VERIFY:
            self._match = words or ["hostname"]
        elif level == TLS_LEV_FPRINT:
            self._dane = Dane()
            for word in words:
                self._dane.add_ee_digests(self._options.digest, word, "")
        elif dane_based(level):
            self._match = ["nexthop", "hostname"]

    # -- all connections --------------------------------------------------------------------------

    def run(self) -> Wait[None]:
        """Connects, and again where that is wanted."""
        try:
            yield from self._connections()
        finally:
            self._cmd.write(self._held)

    def _connections(self) -> Wait[None]:
        options, log = self._options, self._log
        delay = options.delay
        left = options.reconnects
        while True:
            try:
                yield from self._connect()
                yield from self._talk()
            except _Over:
                return
            finally:
                yield from self._disconnect()
            if delay <= 0:
                return
            if self._cache.enabled and not self._cache.entries:
                log.info("Server declined session caching. Done reconnecting.")
                return
            if self._cache.hits and self._mask & TLS_LOG_CACHE:
                log.info("Found a previously used server.  Done reconnecting.")
                return
            if left <= 0:
                log.info("Maximum reconnect count reached.")
                return
            left -= 1
            log.info(f"Reconnecting after {delay} seconds")
            self._pass += 1
            yield self._process.system.sleep(delay)

    def _connect(self) -> Wait[None]:
        """A connection to the first server that takes one.  Raises _Over."""
        dest = self._dest
        if self._options.lmtp and dest.startswith("unix:"):
            yield from self._connect_local(dest.removeprefix("unix:"))
        else:
            yield from self._connect_remote(
                dest.removeprefix("inet:") if self._options.lmtp else dest
            )
        if self._pass == 1 and not self._options.quiet:
            self._log.info(f"Connected to {self._namaddrport}")

    def _connect_local(self, path: str) -> Wait[None]:
        hostname: str = self._process.conf.myhostname
        self._nexthop = self._hostname = hostname
        found = yield from connect_unix(self._process, path, self._options.connect_timeout)
        if isinstance(found, str):
            self._log.info(f"Failed to establish session to {self._dest}: {found}")
            raise _Over
        self._begin(found, f"{hostname}[{path}]", path)

    def _connect_remote(self, dest: str) -> Wait[None]:
        lmtp, process = self._options.lmtp, self._process
        if not self._addresses:
            domain, self._port = parse_destination(process, dest, "24" if lmtp else "smtp")
            self._nexthop = self._nexthop or domain
            mx = not lmtp and not dest.startswith("[")
            self._addresses = yield from self._hosts.of(domain, mx)
            if not self._addresses:
                self._log.info(f"Destination address lookup failed: {self._hosts.reason}")
                raise _Over
        for rr in self._addresses:
            level = yield from self._host_level(rr)
            if level == TLS_LEV_INVALID:
                found: Stream | str = f"TLSA lookup error for {rr.qname}:{self._port}"
            else:
                found = yield from connect_inet(
                    process, rr, self._port, self._options.connect_timeout
                )
            if isinstance(found, str):
                self._log.info(f"Failed to establish session to {dest} via {rr.qname}: {found}")
                continue
            self._level, self._hostname, self._addresses = level, rr.qname, [rr]
            self._begin(found, f"{rr.qname}[{rr.data}]:{self._port}", f"[{rr.data}]:{self._port}")
            return
        raise _Over

    def _begin(self, stream: Stream, namaddrport: str, addrport: str) -> None:
        self._stream = SmtpStream(stream, now=self._process.now)
        self._namaddrport, self._addrport = namaddrport, addrport

    def _host_level(self, rr: DnsRR) -> Wait[int]:
        """The level for a server: with DANE it depends on the records (dane_host_level)."""
        level, mx = self._level, self._hosts.mx
        if not dane_based(level):
            return level
        if mx is not None and not mx.dnssec_valid:
            return TLS_LEV_SECURE
        support = dane_support(self._process)
        support.verbose = bool(self._mask & (TLS_LOG_CERTMATCH | TLS_LOG_VERBOSE))
        dane = yield from support.resolve(self._port, rr, self._options.force_tlsa)
        self._dns_dane = dane
        if dane is None:
            return TLS_LEV_INVALID
        if dane.missing or dane.unusable or level == TLS_LEV_DANE_ONLY:
            kind = "usable " if dane.unusable else ""
            say(self._process, f'no {kind}TLSA records found, resorting to "secure"')
            return TLS_LEV_SECURE
        names = (mx.rname, mx.qname) if mx is not None else ()
        self._match = [dane.base_domain, *dict.fromkeys(names)]
        return level

    def _disconnect(self) -> Wait[None]:
        stream, session = self._stream, self._session
        self._stream = self._session = None
        self._dns_dane = None
        if stream is None:
            return
        if session is not None:
            yield from session.stop(stream.stream, self._options.timeout, False)
        stream.close()

    # -- one dialogue ---------------------------------------------------------------------------

    def _talk(self) -> Wait[None]:
        """The dialogue.  Raises _Over."""
        wrapper = self._options.wrapper
        offered = wrapper
        if not wrapper:
            yield from self._greeting()
            offered = self._read_extensions((yield from self._ehlo()))
        if offered and self._engine is not None:
            yield from self._starttls(self._engine)
        self._setup(self._options.timeout)
        try:
            yield from self._command("QUIT", True)
            yield from self._response(True)
        except SmtpError as error:
            self._log.warning(f"{_problem(error)} while sending QUIT command")

    def _setup(self, timeout: int) -> None:
        assert self._stream is not None
        say(self._process, f"smtp_stream_setup: maxtime={timeout} enable_deadline=1")
        self._stream.setup(timeout, True)

    def _greeting(self) -> Wait[None]:
        self._setup(self._options.connect_timeout)
        try:
            code, text = yield from self._response(True)
        except SmtpError as error:
            self._log.info(f"{_problem(error)} while reading server greeting")
            raise _Over from None
        if code // 100 != 2:
            self._log.info(f"SMTP service not available: {code} {text}")
            raise _Over

    def _ehlo(self) -> Wait[str | None]:
        """The reply to EHLO or LHLO; None where there is no good one, which has been told."""
        verb = "LHLO" if self._options.lmtp else "EHLO"
        verbose = self._pass == 1
        try:
            yield from self._command(f"{verb} {self._process.conf.myhostname}", verbose)
            code, text = yield from self._response(verbose)
        except SmtpError as error:
            self._log.info(f"{_problem(error)} while sending {verb}")
            return None
        if code // 100 != 2:
            self._log.info(f"{verb} rejected: {code} {text}")
            return None
        return text

    def _read_extensions(self, text: str | None) -> bool:
        """Whether STARTTLS is offered; takes the server's name.  Raises _Over."""
        if text is None:
            raise _Over
        for number, line in enumerate(filter(None, text.split("\n"))):
            word = _WORD.search(line)
            if word is None:
                continue
            if number == 0:
                self._helo = word[0]
            if word[0].upper() == "STARTTLS":
                return True
        return False

    def _starttls(self, engine: TlsClientEngine) -> Wait[None]:
        """STARTTLS, the handshake, and the certificate.  Raises _Over."""
        options, stream = self._options, self._stream
        assert stream is not None
        if not options.wrapper:
            yield from self._ask_for_tls(stream)
        session = yield from engine.start(stream.stream, self._want())
        self._helo = ""
        if session is None:
            stream.purge()
            raise _Over
        self._session = session
        stream.purge()
        if options.wrapper:
            yield from self._greeting()
        if self._pass > 1:
            return
        yield from self._ehlo()
        if not session.is_present:
            self._log.info("Server is anonymous")
        elif options.print_chain:
            self._print_chain(session)
        self._mask &= ~(TLS_LOG_CERTMATCH | TLS_LOG_PEERCERT | TLS_LOG_VERBOSE | TLS_LOG_UNTRUSTED)
        self._mask |= TLS_LOG_CACHE | TLS_LOG_SUMMARY
        engine.log_mask = self._mask

    def _ask_for_tls(self, stream: SmtpStream) -> Wait[None]:
        verbose = self._pass == 1
        self._setup(self._options.timeout)
        try:
            yield from self._command("STARTTLS", verbose)
            code, text = yield from self._response(verbose)
        except SmtpError as error:
            self._log.fatal(f"{_problem(error)} while sending STARTTLS")
        if code // 100 != 2:
            self._log.info(f"STARTTLS rejected: {code} {text}")
            raise _Over
        stream.purge(write=False)

    def _want(self) -> TlsClientStart:
        options = self._options
        return TlsClientStart(
            timeout=options.timeout,
            level=self._level,
            nexthop=self._nexthop,
            host=self._hostname,
            namaddr=self._namaddrport,
            serverid=self._addrport,
            helo=self._helo,
            protocols=options.protocols,
            cipher_grade=options.grade,
            cipher_exclusions="aNULL" if must_match(self._level) else "eNULL",
            match=self._match,
            mdalg=options.digest,
            dane=self._dns_dane if self._dns_dane is not None else self._dane,
            deadline=True,
        )

    def _print_chain(self, session: TlsSession) -> None:
        chain = session.tls.connection.get_peer_cert_chain(as_cryptography=True)
        if not chain:
            return
        digest, texts = self._options.digest, [self._held]
        put = texts.append
        legacy = bool(self._process.conf.tls_legacy_public_key_fingerprints)
        put("\n---\nCertificate chain\n")
        for number, certificate in enumerate(chain):
            put(f"{number:2d} subject: {name_oneline(certificate.subject)}\n")
            put(f"    issuer: {name_oneline(certificate.issuer)}\n")
            put(f"   cert digest={tls_cert_fprint(certificate, digest)}\n")
            put(f"   pkey digest={tls_pkey_fprint(certificate, digest, legacy)}\n")
            put(certificate.public_bytes(Encoding.PEM).decode("ascii"))
        text = "".join(texts)
        whole = len(text) - len(text) % _BUFFER
        self._cmd.write(text[:whole])
        self._held = text[whole:]

    # -- commands and replies -------------------------------------------------------------------

    def _command(self, line: str, verbose: bool) -> Wait[None]:
        """Sends a command.  Raises SmtpError."""
        assert self._stream is not None
        if verbose and not self._options.quiet:
            self._log.info(f"> {line}")
        self._stream.put_line(to_bytes(line))
        yield from self._stream.flush()

    def _response(self, verbose: bool) -> Wait[tuple[int, str]]:
        """The code and the text of a reply, its lines with LF between them.  Raises SmtpError."""
        assert self._stream is not None
        limit: int = self._process.conf.line_length_limit
        texts: list[str] = []
        while True:
            data = yield from self._stream.get(limit, skip=True)
            line = _UNPRINTABLE.sub("?", to_text(data.partition(b"\0")[0]))
            if verbose and not self._options.quiet:
                self._log.info(f"< {line}")
            digits: Any = _CODE.match(line)
            code = int(digits[0]) if len(digits[0]) == 3 else 0
            rest = line[digits.end() :]
            more = rest.startswith("-")
            texts.append(rest[more:].lstrip(" \t\n\v\f\r"))
            if not more:
                return code, "\n".join(texts)


def _problem(error: SmtpError) -> str:
    return "lost connection" if isinstance(error, SmtpEof) else "timeout"


def _absolute(path: str) -> str:
    """A path as seen from where the command runs: the root directory."""
    return path if not path or path.startswith("/") else f"/{path}"
