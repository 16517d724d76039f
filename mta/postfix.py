"""All of Postfix, installed on a machine."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import count

from mta.commands.command import COMMANDS, Command, CommandLog, main_cf_read, run_command
from mta.commands.result import CommandResult
from mta.conf.conf import Conf
from mta.conf.errors import ConfError
from mta.conf.host import Host
from mta.conf.main_cf import MainCf, parse_main_cf
from mta.conf.master_cf import MasterEntry, parse_master_cf
from mta.conf.version import mail_version
from mta.dict.indexed import build_warnings, is_alias_table, named_tables
from mta.lib.log import Log
from mta.master.master import TAG, Master
from mta.master.server import Process
from mta.system import Account, System, Wait

#: Modules with programs and commands; importing one registers what it holds.
MODULES = (
    "mta.cleanup.cleanup",
    "mta.commands.postcat",
    "mta.commands.postconf",
    "mta.commands.postfix",
    "mta.commands.postkick",
    "mta.commands.postlock",
    "mta.commands.postlog",
    "mta.commands.postmap",
    "mta.commands.postmulti",
    "mta.commands.postqueue",
    "mta.commands.postsuper",
    "mta.commands.posttls_finger",
    "mta.commands.sendmail",
    "mta.daemons.anvil",
    "mta.daemons.bounce",
    "mta.daemons.discard",
    "mta.daemons.dnsblog",
    "mta.daemons.error",
    "mta.daemons.flush",
    "mta.daemons.pickup",
    "mta.daemons.pipe",
    "mta.daemons.proxymap",
    "mta.daemons.scache",
    "mta.daemons.showq",
    "mta.daemons.spawn",
    "mta.daemons.tlsmgr",
    "mta.daemons.tlsproxy",
    "mta.daemons.verify",
    "mta.daemons.virtual",
    "mta.local.local",
    "mta.postscreen.postscreen",
    "mta.qmgr.qmgr",
    "mta.smtp.smtp",
    "mta.smtpd.smtpd",
    "mta.trivial_rewrite.trivial_rewrite",
)

#: Directories of the queue, and the mode of each; all belong to the mail owner.
QUEUE_DIRECTORIES = (
    ("active", 0o700),
    ("bounce", 0o700),
    ("corrupt", 0o700),
    ("defer", 0o700),
    ("deferred", 0o700),
    ("flush", 0o700),
    ("hold", 0o700),
    ("incoming", 0o700),
    ("maildrop", 0o730),
    ("private", 0o700),
    ("public", 0o710),
    ("saved", 0o700),
    ("trace", 0o700),
)


def load_programs() -> None:
    """Imports all programs and commands."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise


class Postfix:
    """A mail system.  The configuration lies in ``config_dir`` on the machine's disk."""

    def __init__(self, system: System, config_dir: str = "/etc/postfix") -> None:
        load_programs()
        self.system = system
        self.config_dir = config_dir
        self.host = Host.of(system)
        self.master: Master | None = None
        self.running = False
        self._instances: dict[str, Postfix] = {config_dir: self}
        self._pids: count[int] = count(100)
        self._main_text = b""
        self._main_cf = MainCf()

    # -- the mail system as a whole -----------------------------------------------------------

    def start(self, *, build_tables: bool = False) -> bool:
        """``postfix start``: reads the configuration, makes the queue's directories, starts
        master(8).  False where a fatal error (which was logged) keeps it from starting.

        With ``build_tables`` the log begins with what building the tables has to say.
        """
        read = self._read()
        if read is None:
            return False
        main_cf, entries, conf = read
        self._make_directories(conf)
        self.master = self._make_master(main_cf, entries, conf)
        if build_tables:
            self._build_tables(self.master)
        self.master.log.info(
            f"daemon started -- version {mail_version}, configuration {self.config_dir}"
        )
        self.master.start()
        self.running = True
        return True

    def reload(self) -> bool:
        """``postfix reload``."""
        read = self._read()
        if read is None or self.master is None:
            return False
        self.master.log.info(f"reload -- version {mail_version}, configuration {self.config_dir}")
        self.master.reload(*read)
        return True

    def stop(self) -> None:
        """``postfix stop``."""
        if self.master is not None and self.running:
            self.master.log.info("terminating on signal 15")
            self.master.stop()
        self.running = False

    def _read(self) -> tuple[MainCf, Sequence[MasterEntry], Conf] | None:
        files = self.system.files
        log = Log(self.system, TAG, 1)
        try:
            main_path = f"{self.config_dir}/main.cf"
            main_cf = parse_main_cf(
                files.read(main_path).decode("utf-8", "surrogateescape"), main_path
            )
            conf = Conf(
                main_cf,
                program="master",
                host=self.host,
                config_directory=self.config_dir,
                warn=log.warning,
            )
            conf.check_set()
            master_path = f"{self.config_dir}/master.cf"
            text = files.read(master_path).decode("utf-8", "surrogateescape")
            master_cf = parse_master_cf(text, conf, master_path)
        except ConfError as error:
            log.info(f"fatal: {error.args[0]}")
            return None
        except OSError as error:
            log.info(f"fatal: open {error.filename}: {error.strerror}")
            return None
        for level, line in master_cf.log:
            log.info(line if level == "info" else f"{level}: {line}")
        if master_cf.error is not None:
            log.info(f"fatal: {master_cf.error}")
            return None
        return main_cf, master_cf.entries, conf

    def _build_tables(self, master: Master) -> None:
        """The warnings of postmap(1) and postalias(1) about the texts of the indexed tables that
        the configuration names.  (The texts do for the tables.)
        """
        reader = Process(master, "postmap", "postmap", master.pid, master.conf, master.log.tag)
        for spec in dict.fromkeys(named_tables(reader)):
            warnings = build_warnings(reader, spec)
            if warnings is None:
                continue
            if warnings or master.main_cf.warnings:
                program = "postalias" if is_alias_table(reader, spec) else "postmap"
                tool = master.new_process(program)
                main_cf_read(tool)
                for text in warnings:
                    tool.log.warning(text)

    def _make_directories(self, conf: Conf) -> None:
        owner = self.system.accounts.by_name(conf.mail_owner)
        uid, gid = (owner.uid, owner.gid) if owner else (0, 0)
        files = self.system.files
        for name, mode in QUEUE_DIRECTORIES:
            files.mkdir(f"{conf.queue_directory}/{name}", mode, uid, gid)
        files.mkdir(conf.data_directory, 0o700, uid, gid)

    # -- commands -----------------------------------------------------------------------------

    def command(
        self, argv: Sequence[str], user: str = "root", stdin: bytes = b""
    ) -> Wait[CommandResult]:
        """Runs a command of Postfix's (``postqueue -f``, ``sendmail -t``) as a user."""
        name = argv[0].rpartition("/")[2]
        if name not in COMMANDS:
            return CommandResult(127, f"{name}: command not found\n")
        master = self._master_for_commands()
        if master is None:
            return CommandResult(1, f"{name}: fatal: the configuration cannot be read\n")
        account = self.system.accounts.by_name(user)
        if account is None:
            return CommandResult(1, f"{name}: unknown user {user}\n")
        program = "sendmail" if name in SENDMAIL else name
        process = master.new_process(program, main_cf=self._current(master))
        cmd = Command(process, name, list(argv[1:]), account, stdin)
        process.log = CommandLog(
            self.system,
            name if name in OWN_TAGS else process.log.tag,
            process.pid,
            name,
            cmd.output,
            name in QUIET,
            name in SILENT,
        )
        process.log.conf = process.conf
        process.conf.warn = process.log.warning
        return (yield from run_command(cmd))

    def instance(self, config_dir: str) -> Postfix:
        """The mail system of another configuration directory on the same machine."""
        if config_dir == self.config_dir:
            return self
        if config_dir not in self._instances:
            other = self._instances[config_dir] = Postfix(self.system, config_dir)
            other._instances = self._instances
            other._pids = self._pids
        return self._instances[config_dir]

    def reconfigure(self, process: Process, config_dir: str) -> None:
        """Gives the process of a command the configuration of another directory, and the mail
        system that goes with it.  Raises OSError, ConfError.
        """
        if config_dir == self.config_dir:
            return
        path = f"{config_dir}/main.cf"
        try:
            text = self.system.files.read(path).decode("utf-8", "surrogateescape")
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        conf = Conf(
            parse_main_cf(text, path),
            program=process.program,
            host=self.host,
            config_directory=config_dir,
            process_id=process.pid,
            warn=process.log.warning,
        )
        process.conf = process.log.conf = conf
        if process.log.tag not in OWN_TAGS:
            process.log.tag = f"{conf.syslog_name}/{process.program}"
        other = self.instance(config_dir)
        process.master = other.master or other._make_master(conf.main, (), conf)

    def _make_master(
        self, main_cf: MainCf, entries: Sequence[MasterEntry], conf: Conf
    ) -> Master:
        master = Master(self.system, main_cf, entries, conf, self._pids)
        master.control = self
        return master

    def _master_for_commands(self) -> Master | None:
        """The running master, or one that never runs, so that commands can read the
        configuration while the mail system is down.
        """
        if self.master is None:
            read = self._read()
            if read is not None:
                self.master = self._make_master(*read)
        return self.master

    def _current(self, master: Master) -> MainCf:
        """``main.cf`` as it is now, which a running mail system may not have read yet."""
        path = f"{self.config_dir}/main.cf"
        try:
            data = self.system.files.read(path)
        except OSError:
            return master.main_cf
        if data != self._main_text:
            self._main_text = data
            self._main_cf = parse_main_cf(data.decode("utf-8", "surrogateescape"), path)
        return self._main_cf

    def process(self, program: str) -> Process:
        """A process outside all services, for tests and tools."""
        master = self._master_for_commands()
        assert master is not None
        return master.new_process(program)

    def user(self, name: str) -> Account | None:
        """An account of the machine."""
        return self.system.accounts.by_name(name)


#: Other names of sendmail(1).
SENDMAIL = frozenset({"mailq", "newaliases"})
#: Commands whose log lines carry their bare name.
OWN_TAGS = frozenset({"postfix", "postmulti"})
#: Commands that tell a terminal, but no file or pipe, of what they log.
SILENT = frozenset({"postfix", "postlog", "postmulti"})
#: Commands that do not write to the mail log.
QUIET = frozenset({"postconf", "postcat", "postkick", "postlock", "posttls-finger"})
