"""Parameters that a site has made up, and settings that nothing uses.

A name is known as a parameter of the site when something refers to it (as ``$name``, in
``smtpd_restriction_classes``, or as the parameters of an old-style table) and something sets it.
"""

from __future__ import annotations

from mta.conf.postconf.entries import Entry, options_of
from mta.conf.postconf.htable import htable_order
from mta.conf.postconf.session import Kind, Node, Session
from mta.util.mac_expand import MacError, mac_expand, scan_names
from mta.util.scalars import extract_parens, split_at_commas, split_quoted

_COMMON = "domain expansion_limit result_format"
_SQL = f"additional_conditions {_COMMON} query select_field table where_field"

#: Suffixes of the parameters of old-style tables (``type:name`` with settings in ``main.cf``).
DBMS_SUFFIXES: dict[str, str] = {
    "ldap": (
        f"bind bind_dn bind_pw cache cache_expiry cache_size chase_referrals debuglevel "
        f"dereference {_COMMON} leaf_result_attribute query_filter recursion_limit "
        "result_attribute scope search_base server_host server_port size_limit "
        "special_result_attribute terminal_result_attribute timeout version"
    ),
    "mysql": f"{_SQL} dbname hosts password user",
    "pgsql": f"{_SQL} dbname hosts password select_function user",
    "sqlite": f"{_SQL} dbpath",
    "memcache": (
        "backup data_size_limit domain flags key_format line_size_limit max_try memcache "
        "retry_pause timeout ttl"
    ),
}


class _Registrar:
    """Finds the names that are in use."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.classes: set[str] = set()

    def run(self) -> None:
        """Looks through all entries, defaults and settings."""
        session = self.session
        spaces: dict[str, dict[str, str]] = {}
        for entry in session.entries:
            options = options_of(entry.words)
            if options:
                # Entries of one name and type share their settings.
                spaces.setdefault(entry.space, {}).update(options)
            entry.params = spaces.get(entry.space)
        for entry in session.entries:
            if entry.params is not None:
                self.scan_space(entry.params, entry)
        for name in htable_order(session.table, 1000):
            node = session.table[name]
            if Kind.RAW not in node.kind and name not in session.settings:
                self.scan_value(node.default(), None)
        self.scan_space(session.settings, None)

    def scan_space(self, settings: dict[str, str], scope: Entry | None) -> None:
        """The settings of ``main.cf`` or of an entry."""
        session = self.session
        source = "main.cf" if scope is None else "master.cf"
        classes = settings.get("smtpd_restriction_classes")
        if classes is not None:
            for name in split_at_commas(self.evaluate(classes, settings, scope)):
                if scope is None:
                    self.classes.add(name)
                self.flag(name, Kind.USER, scope)
        for name in htable_order(settings):
            value = settings[name]
            if scope is not None and name in self.classes:
                scope.valid.add(name)
            node = session.table.get(name)
            if node is not None:
                if Kind.READONLY in node.kind:
                    session.terminal.warning(
                        f"{session.directory}/{source}: read-only parameter assignment: "
                        f"{name}={value}"
                    )
                    del settings[name]
                    continue
                if Kind.LEGACY in node.kind:
                    node.kind = node.kind & ~Kind.ALL | Kind.USER
                if Kind.RAW in node.kind:
                    continue
            self.scan_value(value, scope)
            if node is not None and node.kind & (Kind.BUILTIN | Kind.SERVICE):
                self.scan_tables(session.expand(value, scope), scope)

    def evaluate(self, text: str, settings: dict[str, str], scope: Entry | None) -> str:
        """A value, expanded with the settings of its own file or entry alone."""
        try:
            return mac_expand(text, settings.get, recursive=True).text
        except MacError as error:
            for warning in error.warnings:
                self.session.terminal.warning(warning)
            name = "mail_dict" if scope is None else scope.space
            self.session.terminal.fatal(f"dictionary {name}: macro processing error")

    def scan_value(self, text: str, scope: Entry | None) -> None:
        """The ``$name`` in a value."""
        if "$" not in text:
            return
        names, warnings = scan_names(text)
        for name in names:
            self.flag(name, Kind.USER, scope)
        for warning in warnings:
            self.session.terminal.warning(warning)

    def flag(self, name: str, kind: Kind, scope: Entry | None) -> None:
        """A name that is referred to; it becomes known where it is set."""
        session = self.session
        found = False
        user = "main.cf" if scope is None else f"master.cf:{scope.space}"
        if scope is not None and scope.params is not None and name in scope.params:
            found = True
            self.validate(scope, name, user)
        elif name in session.settings:
            found = True
            if name not in session.table:
                session.table[name] = Node(kind, lambda: "")
                self.tell(name, user, "main.cf")
        if scope is None:
            for entry in session.entries:
                if entry.params is not None and name in entry.params:
                    found = True
                    self.validate(entry, name, user)
        if not found and Kind.DBMS not in kind and name not in session.table:
            source = "main.cf" if scope is None else "master.cf"
            session.terminal.warning(f"{session.directory}/{source}: undefined parameter: {name}")

    def validate(self, entry: Entry, name: str, user: str) -> None:
        """A name that an entry sets is referred to."""
        if name not in entry.valid:
            entry.valid.add(name)
            self.tell(name, user, f"master.cf:{entry.space}")

    def tell(self, name: str, user: str, place: str) -> None:
        """Says, with ``-v``, what makes a setting known."""
        if "v" in self.session.options:
            self.session.terminal.message(f"${name} in {user} validates {name}=value in {place}")

    def scan_tables(self, text: str, scope: Entry | None) -> None:
        """The old-style tables in a value."""
        for word in split_quoted(text):
            type, colon, name = word.partition(":")
            while colon and type == "proxy":
                type, colon, name = name.partition(":")
            if not colon or not name or name[0] in "/.":
                continue
            if name.startswith("{"):
                inner, error = extract_parens(name, strip=False)
                if error:
                    where = "main.cf" if scope is None else f"master.cf:{scope.space}"
                    self.session.terminal.warning(f"{where}: {error}")
                self.scan_tables(inner, scope)
                continue
            for suffix in DBMS_SUFFIXES.get(type, "").split():
                self.flag(f"{name}_{suffix}", Kind.DBMS | Kind.USER, scope)


def register_user(session: Session) -> None:
    """Adds the parameters that the site has made up."""
    _Registrar(session).run()


def flag_unused(session: Session) -> None:
    """Warns of settings that nothing uses."""
    spaces: list[tuple[str, dict[str, str], Entry | None]] = [("main.cf", session.settings, None)]
    for entry in session.entries:
        if entry.params is not None:
            spaces.append(("master.cf", entry.params, entry))
    for source, settings, scope in spaces:
        for name in htable_order(settings):
            if name in session.table or (scope is not None and name in scope.valid):
                continue
            session.terminal.flush()
            session.terminal.warning(
                f"{session.directory}/{source}: unused parameter: {name}={settings[name]}"
            )
