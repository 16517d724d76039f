"""The parameters that nothing here reads, each with why.

A parameter is either read, or it stands here; a test compares.  What a real mail system would heed
and this one does not is said aloud: see :func:`doubts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from mta.conf.conf import PARAMETERS
from mta.conf.main_cf import MainCf
from mta.conf.master_cf import MasterEntry


class Kind(Enum):
    """What not being read means."""

    NOT_YET = "has no effect yet"
    #: The program that heeds it does not exist yet; whoever runs that program is told.
    NO_PROGRAM = "is of a program that does not exist yet"
    #: The outcome is the same with any value, or its use is loud in another way.
    MEANINGLESS = "has nothing to act on in a simulated machine"


class Unused(NamedTuple):
    """Why a parameter is not read."""

    kind: Kind
    why: str  #: of NO_PROGRAM the program


_TABLE: tuple[tuple[Kind, str, str], ...] = (
    (Kind.NOT_YET, "no process is killed for taking so long", "daemon_timeout"),
    (Kind.NOT_YET, "queue files are always removed", "dont_remove"),
    (Kind.NOT_YET, "the faults are those of the world", "fault_injection_code"),
    (Kind.NOT_YET, "postfix(1) starts one instance", "multi_instance_wrapper"),
    (Kind.NOT_YET, "any directory is allowed", "alternate_config_directories"),
    (
        Kind.NOT_YET,
        "a disabled instance is kept from starting, and all else is left to it",
        "postmulti_control_commands postmulti_stop_commands",
    ),
    (Kind.NO_PROGRAM, "oqmgr", "qmgr_fudge_factor"),
    (
        Kind.NO_PROGRAM,
        "qmqpd",
        "qmqpd_authorized_clients qmqpd_client_port_logging qmqpd_error_delay qmqpd_timeout",
    ),
    (
        Kind.MEANINGLESS,
        "processes do not hang, and talk to each other in no time",
        """
        application_event_drain_time connection_cache_protocol_timeout ipc_timeout ipc_ttl
        postscreen_watchdog_timeout qmgr_daemon_timeout qmgr_ipc_timeout
        tlsproxy_watchdog_timeout trigger_timeout
        """,
    ),
    (Kind.MEANINGLESS, "a process can always be made", "fork_attempts fork_delay"),
    (
        Kind.MEANINGLESS,
        "tables have neither buffers nor a largest size",
        "berkeley_db_create_buffer_size berkeley_db_read_buffer_size lmdb_map_size",
    ),
    (Kind.MEANINGLESS, "a connection's windows are as large as they need be", "tcp_windowsize"),
    (
        Kind.MEANINGLESS,
        "OpenSSL has chance of its own",
        "tls_daemon_random_bytes tls_random_bytes tls_random_prng_update_period "
        "tls_random_reseed_period",
    ),
    (
        Kind.MEANINGLESS,
        "programs are found by their names, and nothing is installed",
        """
        html_directory mailq_path manpage_directory meta_directory
        newaliases_path process_id_directory readme_directory sample_directory sendmail_path
        shlib_directory
        """,
    ),
    (Kind.MEANINGLESS, "nobody is logged in to be told of new mail", "biff"),
    (Kind.MEANINGLESS, "there is no process to debug", "debugger_command"),
    (Kind.MEANINGLESS, "debug_peer_list is a warning in the log", "debug_peer_level"),
    (Kind.MEANINGLESS, "nothing in Postfix 3.0 reads it", "error_service_name"),
    (
        Kind.MEANINGLESS,
        "it is there for others to refer to",
        "mail_release_date process_id process_name",
    ),
)

#: The parameters that nothing reads.
UNUSED: dict[str, Unused] = {
    name: Unused(kind, why) for kind, why, names in _TABLE for name in names.split()
}


def doubts(main: MainCf, entries: Iterable[MasterEntry] = ()) -> list[str]:
    """A sentence for each setting that real Postfix would heed, in the order of the files."""
    entries = tuple(entries)
    programs = {entry.program for entry in entries}
    found = [
        f"{main.path}, line {entry.line}: {sentence}"
        for entry in main.entries
        for sentence in _sentences(entry.name, entry.value, programs)
    ]
    for service in entries:
        found += [
            f"master.cf: line {service.line}: {sentence}"
            for name, value in service.overrides.items()
            for sentence in _sentences(name, value, programs)
        ]
    return found


def _sentences(name: str, value: str, programs: set[str]) -> Iterator[str]:
    """What is to be said of a setting; nothing where it says what would be so without it."""
    unused = UNUSED.get(name)
    if unused is None or value == PARAMETERS[name].default:
        return
    if unused.kind is Kind.NO_PROGRAM and unused.why not in programs:
        return
    if unused.kind is not Kind.MEANINGLESS:
        yield f"{name} {unused.kind.value}: {unused.why}"
