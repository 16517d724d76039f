"""postconf(1) - shows and changes the configuration.

DESCRIPTION

Without options it shows what ``main.cf`` sets or, where it sets nothing, the default of every
parameter.  ``-d`` shows defaults only, ``-n`` settings only, ``-x`` expands ``$name``; ``-C`` picks
classes of parameters, ``-h`` leaves out the names, ``-f`` folds long lines, ``-o`` overrides
``main.cf``.  ``-M``, ``-F`` and ``-P`` show entries, fields and ``-o`` settings of ``master.cf``.
``-e`` (or ``name=value``), ``-X`` and ``-#`` set, remove and comment out, with ``-M``, ``-F``,
``-P`` in ``master.cf``.  ``-m``, ``-l``, ``-a``, ``-A`` list table types, mailbox locks and SASL
implementations; ``-b`` and ``-t`` show the templates of bounce(8).

DIAGNOSTICS

Warnings of settings that nothing uses, and of ``$name`` that nothing defines.  Fatal errors end it
with status 1.
"""

from __future__ import annotations

from mta.conf.host import Host
from mta.conf.postconf.command import PostconfResult, postconf
from mta.conf.postconf.session import ConfFiles, Kind, Session
from mta.conf.postconf.terminal import Terminal

__all__ = ["ConfFiles", "PostconfResult", "dump_defaults", "postconf"]


class _Texts:
    """Files that are no more than texts."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def read(self, path: str) -> str:
        """The text of a file."""
        try:
            return self.texts[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    def write(self, path: str, text: str) -> None:
        """Replaces a text."""
        self.texts[path] = text


def dump_defaults(
    host: Host, master_cf: str, *, program: str = "postconf", process_id: int = 0
) -> dict[str, str]:
    """All parameters and their defaults, in the order of their names, as ``postconf -d`` has them.

    ``master_cf`` is the text of the file, for the parameters of its services.
    """
    session = Session(
        _Texts({"/etc/postfix/master.cf": master_cf}), host, Terminal(program), process_id
    )
    session.options.add("d")
    session.register_builtin()
    session.read_master(required=True)
    session.register_services()
    return {
        name: node.default() for name, node in sorted(session.table.items()) if node.kind & Kind.ALL
    }
