"""Authentication of clients by Cyrus SASL.

``smtpd_sasl_path`` is the name of its configuration file, without ``.conf``, in one of the
directories of ``cyrus_sasl_config_path`` or, where that is empty, of the library.  Of its settings
these count: ``mech_list``, ``pwcheck_method``, ``auxprop_plugin`` and ``saslauthd_path``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mta.lib.xsasl import (
    SERVER_TYPES,
    XSASL_AUTH_DONE,
    XSASL_AUTH_FAIL,
    XSASL_AUTH_MORE,
    ServerArguments,
)
from mta.lib.xsasl_cyrus_client import OPTIONS
from mta.sasl.server import ServerLogin, ServerMechanism, begin_server, server_types
from mta.sasl.status import (
    SASL_BADAUTH,
    SASL_FAIL,
    SASL_NOMECH,
    SASL_NOUSER,
    SASL_OK,
    SaslError,
    decode64,
    encode64,
    sasl_errstring,
)
from mta.system import MICROSECONDS, ConnectError, Gone, TimedOut, Unix, Wait
from mta.util.name_mask import Unknown, name_mask
from mta.wire.text import to_bytes, to_text

if TYPE_CHECKING:
    from mta.master.server import Process

_DIRECTORIES = "/etc/sasl2:/etc/sasl:/usr/lib/x86_64-linux-gnu/sasl2:/usr/lib/sasl2"
_SETTING = re.compile(r"[A-Za-z0-9_-]*:[ \t\n\v\f\r]*[^ \t\n\v\f\r]")
_SASLAUTHD = "/var/run/saslauthd/mux"
_TIMEOUT = 3600
_LIST_ERROR = "Internal Error -4 in ../../lib/server.c near line 1765"
_WRONG_FILE = "error when parsing configuration file"


class CyrusServerImpl:
    """The library in a process."""

    def __init__(self, process: Process, path: str) -> None:
        self.process = process
        self.dice = process.system.dice("sasl server")
        self.settings = _settings(process, path)
        types = server_types()
        listed = self.settings.get("mech_list")
        if listed is not None:
            names = dict.fromkeys(listed.upper().split())
            types = {name: types[name] for name in names if name in types}
        self.types = types

    def create(self, arguments: ServerArguments) -> CyrusServer:
        """For one client.  Logs a fatal error, and raises Fatal, where the options are wrong."""
        log = self.process.log
        wanted = 0
        if arguments.security_options:
            wanted = name_mask(
                "SASL security options",
                OPTIONS,
                arguments.security_options,
                unknown=Unknown.RETURN,
                warn=log.warning,
            )
            if not wanted:
                log.warning("bad per-session SASL security properties")
                log.fatal("SASL per-connection initialization failed")
        return CyrusServer(self, arguments, wanted)

    def random(self, size: int) -> bytes:
        """Random bytes."""
        return bytes(self.dice.randrange(256) for _ in range(size))

    def fail(self, text: str) -> None:
        """Logs a failure."""
        self.process.log.warning(f"SASL authentication failure: {text}")

    # -- passwords ------------------------------------------------------------------------------

    def verify(self, service: bytes, name: bytes, password: bytes) -> Wait[int]:
        """The result of the first verifier that is content, else of the last one."""
        methods = self.settings.get("pwcheck_method", "auxprop")
        result = SASL_NOMECH
        for method in methods.lower().split():
            if method == "auxprop":
                plugin = self.settings.get("auxprop_plugin", "sasldb")
                result = SASL_NOUSER if "sasldb" in plugin.split() else SASL_NOMECH
            elif method == "saslauthd":
                result = yield from self._saslauthd(service, name, password)
            elif method == "alwaystrue":
                self._problem(f"AlwaysTrue Password Verifier Verified: {to_text(name)}")
                result = SASL_OK
            elif method == "authdaemond":
                self.process.log.warning("not implemented: pwcheck_method: authdaemond")
                result = SASL_FAIL
            if result == SASL_OK:
                break
        if result == SASL_NOMECH:
            self._problem(f"unknown password verifier(s) {methods}")
        return result

    def _problem(self, text: str) -> None:
        self.process.log.warning(f"SASL authentication problem: {text}")

    def _saslauthd(self, service: bytes, name: bytes, password: bytes) -> Wait[int]:
        """Asks saslauthd(8)."""
        path = self.settings.get("saslauthd_path", _SASLAUTHD)
        network = self.process.system.network
        user, at, realm = name.rpartition(b"@")
        fields = (user if at else realm, password, service, realm if at else b"")
        try:
            stream = yield network.connect(Unix(path), _TIMEOUT)
        except (ConnectError, TimedOut) as error:
            what = error.args[0] if isinstance(error, ConnectError) else "Connection timed out"
            self.fail(f"cannot connect to saslauthd server: {what}")
            return SASL_FAIL
        answer = b""
        try:
            stream.write(b"".join(len(text).to_bytes(2, "big") + text for text in fields))
            yield stream.flush(_TIMEOUT)
            while len(answer) < 2 or len(answer) < 2 + int.from_bytes(answer[:2], "big"):
                data = yield stream.read(1026, _TIMEOUT)
                if not data:
                    break
                answer += data
        except (Gone, TimedOut):
            pass
        stream.close()
        if len(answer) < 2:
            self.fail("size read failed")
            return SASL_FAIL
        return SASL_OK if answer[2:4] == b"OK" else SASL_BADAUTH


class CyrusServer:
    """The authentication of one client."""

    def __init__(self, impl: CyrusServerImpl, arguments: ServerArguments, wanted: int) -> None:
        self.impl = impl
        self.wanted = wanted
        self.username: str | None = None
        process = impl.process
        service = to_bytes(arguments.service)
        self.login = ServerLogin(
            service=service,
            host=to_bytes(process.conf.myhostname),
            realm=to_bytes(arguments.user_realm),
            verify=lambda name, password: impl.verify(service, name, password),
            random=impl.random,
            now=process.now() // MICROSECONDS,
            complain=impl.fail,
            note=process.log.info,
        )
        self._mechanism: ServerMechanism | None = None

    def mechanism_list(self) -> Wait[str]:
        """The mechanisms that the security options leave."""
        impl = self.impl
        title = "xsasl_cyrus_server_get_mechanism_list"
        if not impl.types:
            for _ in range(3):
                impl.fail(_LIST_ERROR)
            impl.process.log.warning(f"{title}: {sasl_errstring(SASL_NOMECH)}")
            return ""
        found = [name for name, kind in impl.types.items() if not self.wanted & ~kind.properties]
        if not found:
            impl.process.log.warning(f"{title}: no applicable SASL mechanisms")
        return " ".join(found)
        yield None

    def first(self, method: str, initial: str | None) -> Wait[tuple[str, str]]:
        """Begins."""
        try:
            said = None if initial is None else decode64(to_bytes(initial))
            self._mechanism = begin_server(
                self.impl.types, method, self.wanted, self.login, said is not None
            )
        except SaslError as error:
            return self._failed(error)
        return (yield from self._step(said))

    def next(self, response: str) -> Wait[tuple[str, str]]:
        """Goes on."""
        try:
            said = decode64(to_bytes(response))
        except SaslError as error:
            return self._failed(error)
        return (yield from self._step(said))

    def _step(self, said: bytes | None) -> Wait[tuple[str, str]]:
        assert self._mechanism is not None
        try:
            challenge = yield from self._mechanism.step(said)
        except SaslError as error:
            return self._failed(error)
        if challenge is not None:
            return XSASL_AUTH_MORE, to_text(encode64(challenge))
        assert self.login.username is not None
        self.username = to_text(self.login.username)
        return XSASL_AUTH_DONE, ""

    def _failed(self, error: SaslError) -> tuple[str, str]:
        """The reason, in which there is no telling whether the user exists."""
        if error.detail:
            self.impl.fail(error.detail)
        result = SASL_BADAUTH if error.result == SASL_NOUSER else error.result
        return XSASL_AUTH_FAIL, sasl_errstring(result)


def _settings(process: Process, name: str) -> Mapping[str, str]:
    """The library's configuration: ``key: value``, a line each.  A line that makes no sense is
    fatal.
    """
    directories = process.conf.cyrus_sasl_config_path or _DIRECTORIES
    for directory in directories.split(":"):
        try:
            text = to_text(process.system.files.read(f"{directory}/{name}.conf"))
        except OSError:
            continue
        found: dict[str, str] = {}
        for line in text.split("\n"):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if not _SETTING.match(line):
                process.log.warning(f"SASL per-process initialization failed: {_WRONG_FILE}")
                process.log.fatal("SASL per-process initialization failed")
            key, _, value = line.partition(":")
            found.setdefault(key.lower(), value.strip())
        return found
    return {}


SERVER_TYPES["cyrus"] = CyrusServerImpl
