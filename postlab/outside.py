"""What a configuration needs that lies outside of its folder, and what stands for it in the world.

A folder like ``/etc/postfix`` names files and services of its machine: tables elsewhere,
certificates and keys, a login service.  In the world such tables are empty, certificates are good
ones of an authority of the world, and the login service lets everybody in who asks.  All of this is
told, as what was assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mta.util.parens import split_words
from postlab.folder import ALIASES, ConfigFolder
from sim.peers.host import parse_endpoint

if TYPE_CHECKING:
    from postlab.check.context import Context

_TLS_FILES = {
    "key": (
        "smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_eccert_file",
        "smtpd_tls_eckey_file", "smtpd_tls_dcert_file", "smtpd_tls_dkey_file",
        "smtp_tls_cert_file", "smtp_tls_key_file", "smtp_tls_eccert_file", "smtp_tls_eckey_file",
        "smtp_tls_dcert_file", "smtp_tls_dkey_file", "lmtp_tls_cert_file", "lmtp_tls_key_file",
    ),
    "authority": ("smtpd_tls_CAfile", "smtp_tls_CAfile", "lmtp_tls_CAfile"),
}  # fmt: skip

#: The main.cf line that lets a login service of the world stand for Cyrus SASL.
_NO_CYRUS = "\nsmtpd_sasl_type = dovecot\n"


@dataclass
class Outside:
    """What has to be put into the world."""

    tables: list[str] = field(default_factory=list)  #: absolute paths of empty texts
    keys: list[str] = field(default_factory=list)  #: paths of a key with its certificate
    authorities: list[str] = field(default_factory=list)  #: paths of the world's root certificate
    logins: list[str] = field(default_factory=list)  #: endpoints of login services
    main_cf: str = ""  #: what comes after the folder's main.cf
    assumed: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: ConfigFolder) -> Outside:
        """What a folder needs."""
        from postlab.check.context import Context
        from postlab.check.findings import Findings

        context = Context(folder, Findings(folder.shown))
        outside = cls()
        outside._tables(context)
        outside._tls(context)
        outside._logins(context)
        return outside

    def _tables(self, context: Context) -> None:
        from postlab.check.context import Setting
        from postlab.check.specs import table_uses
        from postlab.check.table_rules import is_made_by_postfix, is_outside

        default = context.value("alias_maps")
        if "alias_maps" not in context.main.values:
            context.settings.append(Setting("alias_maps", default, default, 0))
        for use in table_uses(context):
            if not is_made_by_postfix(use) and is_outside(context, use):
                self.tables.append(use.name)
        for path in self.tables:
            if path != ALIASES:
                self.assumed.append(f"{path} is outside of the folder: an empty table")
            else:
                self.assumed.append(f"{path} is outside of the folder: no aliases")

    def _tls(self, context: Context) -> None:
        disk = context.machine.machine.files
        for kind, parameters in _TLS_FILES.items():
            target = self.keys if kind == "key" else self.authorities
            for path in self._values(context, parameters):
                if path.startswith("/") and path not in target and not disk.exists(path):
                    target.append(path)
        if self.keys:
            self.assumed.append(f"a good certificate, and its key: {', '.join(self.keys)}")

    def _values(self, context: Context, parameters: tuple[str, ...]) -> Iterator[str]:
        for name in parameters:
            yield context.value(name)
            yield from (s.expanded for s in context.settings if s.name == name and s.entry)

    def _logins(self, context: Context) -> None:
        if not self._has_logins(context):
            return
        kinds = dict.fromkeys(self._values(context, ("smtpd_sasl_type",)))
        if "cyrus" in kinds:
            self.main_cf = _NO_CYRUS
        for path in dict.fromkeys(self._values(context, ("smtpd_sasl_path",))):
            endpoint = path if path.startswith(("inet:", "unix:")) else f"unix:{path}"
            if _is_endpoint(endpoint):
                self.logins.append(endpoint)
        stands = " in place of Cyrus SASL" if "cyrus" in kinds else ""
        self.assumed.append(f"a login service{stands} lets everybody in who logs in")

    def _has_logins(self, context: Context) -> bool:
        parameter = ("smtpd_sasl_auth_enable",)
        return any(split_words(text) == ["yes"] for text in self._values(context, parameter))


def _is_endpoint(text: str) -> bool:
    try:
        parse_endpoint(text)
    except ValueError:
        return False
    return True
