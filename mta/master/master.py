"""master(8) - the process that starts all others.

DESCRIPTION
    Reads master.cf, listens on behalf of the services, and starts a process for a request when no
    idle one is left, within each service's process limit.  Idle processes are used again (the
    last one first) until they have been idle for ``max_idle`` or have served ``max_use`` clients.
    A process that dies before it has served anybody throttles its service for
    ``service_throttle_time``; who asks for it meanwhile waits.
    ``reload`` reads the configuration again; running processes end after their current client.

    A request is served inside the caller's own task, in the name of the process that master gives
    it: what is not visible from outside (sockets between daemons) costs nothing.

CONFIGURATION PARAMETERS
    default_process_limit, max_idle, max_use, service_throttle_time, inet_interfaces,
    master_service_disable, queue_directory, daemon_directory, syslog_name
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from mta.conf.conf import Conf
from mta.conf.errors import ConfError
from mta.conf.main_cf import MainCf
from mta.conf.master_cf import MasterEntry
from mta.lib.log import Log
from mta.lib.requests import Trigger
from mta.lib.start_lists import open_start_lists
from mta.master.limits import check_limit
from mta.master.misunderstood import complain_of_wakeup, understands_wakeup
from mta.master.server import PROGRAMS, Process, Program
from mta.system import Fatal, Gone, Panic, Signal, Stream, System, Wait

#: How master(8) calls itself in the log, whatever ``syslog_name`` says.
TAG = "postfix/master"


class Worker:
    """A running process and how often it has served."""

    __slots__ = ("idle_since", "process", "program", "stress", "users", "uses")

    def __init__(self, process: Process, program: Program, stress: str) -> None:
        self.process = process
        self.stress = stress
        self.program = program
        self.users = 0
        self.uses = 0
        self.idle_since = 0


class Connection:
    """A process that waits for the one request of whoever holds this."""

    __slots__ = ("master", "service", "worker")

    def __init__(self, master: Master, service: Service, worker: Worker) -> None:
        self.master = master
        self.service = service
        self.worker = worker

    def call(self, request: Any) -> Wait[Any]:
        """The request and its reply; the process is free again.  Raises Gone: it died."""
        try:
            program = self.worker.program
            self.worker.uses += program.events
            if program.process.args:
                program.check_arguments()
            reply = yield from program.serve(request)
        except (Fatal, Panic) as error:
            self.master.died(self.service, self.worker, error)
            raise Gone("Connection reset by peer") from error
        self.master.release(self.service, self.worker)
        return reply

    def close(self) -> None:
        """Lets the process go without a request."""
        self.master.release(self.service, self.worker)


class Service:
    """A line of master.cf at work."""

    def __init__(self, entry: MasterEntry, limit: int, path: str) -> None:
        self.entry = entry
        self.limit = limit
        self.path = path  #: of the executable
        self.total = 0
        self.idle: list[Worker] = []
        self.shared: Worker | None = None  #: the process of a ``multi`` program
        self.waiting: deque[Signal] = deque()
        self.throttled = False
        self.busy_warned = 0
        self.wakeup_started = False
        self.started = False  #: whether a process was ever started


class Master:
    """The mail system's services on one machine."""

    def __init__(
        self,
        system: System,
        main_cf: MainCf,
        entries: Sequence[MasterEntry],
        conf: Conf,
        pids: Iterator[int] | None = None,
    ) -> None:
        """``conf`` is master's own view; ``main_cf`` the raw settings for those of the others;
        ``pids`` where the numbers of processes come from.
        """
        self.system = system
        self.main_cf = main_cf
        self.conf = conf
        self.pids = pids or count(100)
        self.pid = next(self.pids)
        self.log = Log(system, TAG, self.pid)
        self.generation = 0
        self.services: dict[str, Service] = {}
        self._closers: list[Callable[[], None]] = []
        self._timers: dict[str, Any] = {}
        self.running = False
        self.control: object = None  #: what starts and stops the whole, for postfix(1)
        self._began = 0  #: when master was started, microseconds
        self._views: dict[tuple[str, str], Conf] = {}  #: of processes whose start gave no warning
        self._persistent: dict[str, dict[str, Any]] = {}
        #: How many messages cleanup(8) may take up without a pause (mail_flow(3)).
        self.flow_tokens = 0
        self.configure(entries)

    # -- configuration ------------------------------------------------------------------------

    def configure(self, entries: Sequence[MasterEntry]) -> None:
        """Takes the entries of master.cf: internal services by name, inet ones by ``name/inet``."""
        self.services = {}
        self._views = {}
        for entry in entries:
            path = f"{self.conf.daemon_directory}/{entry.program}"
            self.services[self.key(entry)] = Service(entry, entry.max_proc, path)

    @staticmethod
    def key(entry: MasterEntry) -> str:
        """The name by which a service is asked for."""
        return f"{entry.name}/inet" if entry.type == "inet" else entry.name

    def start(self) -> None:
        """Listens for all services and starts the wake-up timers."""
        self.running = True
        self._began = self.system.now()
        for service in self.services.values():
            self._listen(service)
        for service in self.services.values():
            self._start_wakeups(service)

    def stop(self) -> None:
        """Stops listening and retires idle processes (``postfix stop``)."""
        self.running = False
        for close in self._closers:
            close()
        self._closers.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for service in self.services.values():
            self._retire_idle(service)

    def reload(self, main_cf: MainCf, entries: Sequence[MasterEntry], conf: Conf) -> None:
        """Takes a new configuration (``postfix reload``)."""
        self.stop()
        self.main_cf = main_cf
        self.conf = conf
        self.generation += 1
        self.configure(entries)
        self.start()

    def persistent(self, name: str | None) -> dict[str, Any]:
        """A store that outlives the process that writes it, as a table on disk does; for None one
        that is the process's own.
        """
        return {} if name is None else self._persistent.setdefault(name, {})

    # -- processes ----------------------------------------------------------------------------

    def new_process(
        self,
        program: str,
        service: str = "",
        overrides: Mapping[str, str] | None = None,
        main_cf: MainCf | None = None,
    ) -> Process:
        """A process that does not belong to a service's pool: a command such as sendmail(1).
        Commands read ``main.cf`` as it is now, not as master(8) has read it.
        """
        pid = next(self.pids)
        main = self.main_cf if main_cf is None else main_cf
        conf = self.conf.for_process(program, main, overrides or {}, process_id=pid)
        process = Process(
            self, program, service or program, pid, conf, f"{conf.syslog_name}/{program}"
        )
        conf.warn = process.log.warning
        return process

    def view(self, name: str) -> Conf:
        """The parameters as the processes of a service see them."""
        entry = self.services[name].entry
        return self.conf.for_process(entry.program, self.main_cf, entry.overrides)

    def connect(self, name: str) -> Wait[Connection]:
        """A free process of a service, kept for one request.  Raises Gone: no such service."""
        service = self.services.get(name)
        if service is None or not self.running:
            raise Gone("No such file or directory" if service is None else "Connection refused")
        worker = service.shared
        if worker is None or not self._usable(service, worker):
            worker = yield from self._acquire(service)
        worker.users += 1
        return Connection(self, service, worker)

    def call(self, name: str, request: Any) -> Wait[Any]:
        """Has a service answer a request.  Raises Gone: no such service, or its process died."""
        connection = yield from self.connect(name)
        return (yield from connection.call(request))

    def trigger(self, name: str, data: bytes) -> None:
        """Wakes a service; the request is a Trigger.  A throttled service is not waited for."""
        service = self.services.get(name)
        if service is None or not self.running:
            return
        if service.throttled:
            self.system.after(self.conf.service_throttle_time, lambda: self.trigger(name, data))
            return
        self.system.spawn(self._triggered(name, Trigger(data)), f"trigger {name}")

    def _triggered(self, name: str, request: Any) -> Wait[None]:
        try:
            connection = yield from self.connect(name)
            if understands_wakeup(connection.service.entry.program):
                yield from connection.call(request)
            else:
                complain_of_wakeup(connection.worker.process, request.data)
                connection.close()
        except Gone:
            pass

    def _usable(self, service: Service, worker: Worker) -> bool:
        """Whether an idle process may serve once more; one that may not retires."""
        conf = worker.process.conf
        if worker.users or worker.program.stays:
            return True
        if worker.uses < conf.max_use or worker.program.kind == "multi":
            if self.system.now() - worker.idle_since < conf.max_idle * 1_000_000:
                return True
        self._retire(service, worker)
        return False

    def _acquire(self, service: Service) -> Wait[Worker]:
        while True:
            if service.throttled:
                yield self._line_up(service)
                continue
            shared = service.shared
            if shared is not None and self._usable(service, shared):
                return shared
            while service.idle:
                worker = service.idle.pop()
                if self._usable(service, worker):
                    return worker
            if service.limit and service.total >= service.limit:
                self._warn_busy(service)
                yield self._line_up(service)
                continue
            started = self._start(service)
            if started is not None:
                return started

    def _line_up(self, service: Service) -> Any:
        signal = self.system.signal()
        service.waiting.append(signal)
        return signal.wait(idle=service.throttled)

    def _start(self, service: Service) -> Worker | None:
        """A new process for the service; None where it dies at once (and throttles)."""
        entry = service.entry
        cls = PROGRAMS.get(entry.program)
        pid = next(self.pids)
        if cls is None:
            self._missing(service, pid)
            return None
        log = Log(self.system, f"{self.conf.syslog_name}/{entry.program}", pid)
        try:
            stress = "yes" if entry.stressable and self._stressed(entry) else ""
            process = self._new_process(entry, pid, log, stress)
            check_limit(process, entry)
            worker = Worker(process, cls(process), stress)
            open_start_lists(process)
        except ConfError as error:
            log.info(f"fatal: {error.args[0]}")
            self._exited(service, pid, 1, 0)
            return None
        except Fatal:
            self._exited(service, pid, 1, 0)
            return None
        service.total += 1
        service.started = True
        if cls.kind == "multi":
            service.shared = worker
        if entry.wakeup and entry.wakeup_conditional and not service.wakeup_started:
            service.wakeup_started = True
            self._timers[self.key(entry)] = self.system.after(
                entry.wakeup, lambda: self._wakeup(service)
            )
        return worker

    def _new_process(self, entry: MasterEntry, pid: int, log: Log, stress: str) -> Process:
        """Raises ConfError."""
        if entry.error is not None:
            raise ConfError(entry.error)
        key = (self.key(entry), stress)
        known = self._views.get(key)
        if known is not None:
            conf = known.clone(pid, log.warning)
        else:
            overrides = {"stress": stress} if entry.stressable else {}
            conf = self.conf.for_process(
                entry.program,
                self.main_cf,
                {**overrides, **entry.overrides},
                process_id=pid,
                warn=log.warning,
            )
        log.tag = f"{conf.syslog_name}/{entry.program}"
        process = Process(self, entry.program, entry.name, pid, conf, log.tag)
        process.args = list(entry.rest)
        if known is None:
            warnings: list[str] = []
            conf.warn = warnings.append
            try:
                conf.check_set()
            finally:
                for text in warnings:
                    log.warning(text)
                conf.warn = log.warning
            if not warnings:
                self._views[key] = conf.clone(pid, log.warning)
        return process

    def _stressed(self, entry: MasterEntry) -> bool:
        service = self.services[self.key(entry)]
        return service.total + 1 >= service.limit > 0

    def _missing(self, service: Service, pid: int) -> None:
        """There is no such program: the child of master(8), whose log has been closed, cannot
        execute it.
        """
        Log(self.system, "master", 0).info(
            f"fatal: master_spawn: exec {service.path}: No such file or directory"
        )
        self._exited(service, pid, 1, 0)

    def release(self, service: Service, worker: Worker) -> None:
        """A process has served and is free."""
        worker.users -= 1
        worker.uses += 1
        worker.idle_since = self.system.now()
        if worker.program.kind == "single":
            service.idle.append(worker)
            if service.waiting:
                service.waiting.popleft().set()

    def died(self, service: Service, worker: Worker, error: Exception) -> None:
        """A process has ended itself over a request."""
        if worker is service.shared:
            service.shared = None
        service.total -= 1
        worker.process.ended()
        status = 1 if isinstance(error, Fatal) else -getattr(error, "signal", 6)
        self._exited(service, worker.process.pid, status, worker.uses)

    def _exited(self, service: Service, pid: int, status: int, uses: int) -> None:
        how = f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
        self.log.warning(f"process {service.path} pid {pid} {how}")
        if uses == 0 and not service.throttled:
            self.log.warning(f"{service.path}: bad command startup -- throttling")
            service.throttled = True
            self.system.after(self.conf.service_throttle_time, lambda: self._unthrottle(service))
        else:
            self._wake_all(service)

    def _unthrottle(self, service: Service) -> None:
        service.throttled = False
        self._wake_all(service)

    @staticmethod
    def _wake_all(service: Service) -> None:
        waiting, service.waiting = service.waiting, deque()
        for signal in waiting:
            signal.set()

    def _retire(self, service: Service, worker: Worker) -> None:
        if worker is service.shared:
            service.shared = None
        service.total -= 1
        conf, key = worker.process.conf, (self.key(service.entry), worker.stress)
        if key in self._views and not conf.was_updated:
            self._views[key] = conf  # with all that this process has evaluated
        worker.program.retire()

    def _retire_idle(self, service: Service) -> None:
        for worker in service.idle:
            self._retire(service, worker)
        service.idle.clear()
        if service.shared is not None and not service.shared.users:
            self._retire(service, service.shared)

    def _warn_busy(self, service: Service) -> None:
        """Only services that know ``$stress`` are spoken of: those with an inet listener."""
        now = self.system.now() // 1_000_000
        if not service.entry.stressable or service.busy_warned >= now - 1000:
            return
        service.busy_warned = now
        entry = service.entry
        self.log.warning(
            f'service "{entry.name}" ({entry.name}) has reached its process limit '
            f'"{service.limit}": new clients may experience noticeable delays'
        )
        self.log.warning(
            "to avoid this condition, increase the process count in master.cf or reduce the "
            "service time per client"
        )
        self.log.warning(
            "see http://www.postfix.org/STRESS_README.html for examples of stress-adapting "
            "configuration settings"
        )

    # -- listening ----------------------------------------------------------------------------

    def _listen(self, service: Service) -> None:
        from mta.master.listen import endpoints

        cls = PROGRAMS.get(service.entry.program)
        if cls is not None and not cls.streams:
            return
        for endpoint in endpoints(self, service.entry):
            try:
                close = self.system.network.listen(
                    endpoint, lambda stream: self._connection(service, stream)
                )
            except OSError as error:
                where = ":".join(str(part) for part in endpoint)
                self.log.fatal(f"bind {where}: {error.strerror}")
            self._closers.append(close)

    def _connection(self, service: Service, stream: Stream) -> Wait[None]:
        try:
            yield from self.call(self.key(service.entry), stream)
        except Gone:
            pass
        finally:
            stream.close()

    # -- wake-ups -----------------------------------------------------------------------------

    def _start_wakeups(self, service: Service) -> None:
        """The first wake-up is at once; a conditional one (``1000?``) waits for the first use."""
        entry = service.entry
        if entry.wakeup and not entry.wakeup_conditional and entry.program in PROGRAMS:
            self._wakeup(service)

    def _wakeup(self, service: Service) -> None:
        if not self.running:
            return
        if not service.throttled:
            path = PROGRAMS[service.entry.program].input_directory(self.conf)
            if path and service.started and self._is_empty(path):
                self.system.files.watch(path, lambda _: self._sleep(service))
                return
            self.trigger(self.key(service.entry), b"W")
        self._sleep(service)

    def _sleep(self, service: Service) -> None:
        """Sets the alarm for the next wake-up; they are ``wakeup`` apart from the start on."""
        key, period = self.key(service.entry), service.entry.wakeup * 1_000_000
        if key in self._timers:
            self._timers[key].cancel()
        left = period - (self.system.now() - self._began) % period
        self._timers[key] = self.system.after(left / 1_000_000, lambda: self._wakeup(service))

    def _is_empty(self, path: str) -> bool:
        """Whether no file is in a directory or below it."""
        files = self.system.files
        for name in files.list(path):
            below = f"{path}/{name}"
            if len(name) > 1 or not files.stat(below).is_dir or not self._is_empty(below):
                return False
        return True
