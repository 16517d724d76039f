"""TLS policies of the SMTP client."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

from mta.dict.flags import ADDRESS_FLAGS
from mta.lib.maps import Maps
from mta.smtp.tls_policy import TlsPolicies
from mta.tls.levels import TLS_LEV_ENCRYPT, TLS_LEV_MAY, TLS_LEV_NONE, TLS_LEV_VERIFY
from tests.vectors.shell import Io, program
from tests.vectors.site import site_of

_NOTHING = "-"
_LEVELS = {
    "none": TLS_LEV_NONE,
    "may": TLS_LEV_MAY,
    "must_nopeermatch": TLS_LEV_ENCRYPT,
    "must": TLS_LEV_VERIFY,
}
_WORDS = {level: word for word, level in _LEVELS.items()}
_DEST, _HOST = "dest.example", "host.example"


@program("tls_policy")
def run_tls_policy(io: Io) -> None:
    """What two entries of ``smtp_tls_per_site`` and the level of main.cf make together; each line
    has the entries for the server and for the next hop, and the level.
    """
    site = site_of(io)
    process = site.process(io)
    io.line(f"{'host':20} {'dest':20} {'global':20} result")
    for line in io.lines():
        host, dest, level = line.split()
        entries = " ".join(
            f"{{{name}={word}}}" for name, word in ((_HOST, host), (_DEST, dest))
            if word != _NOTHING
        )  # fmt: skip
        sites = Maps(process, "smtp_tls_per_site", f"inline:{{{entries}}}", ADDRESS_FLAGS)
        client: Any = SimpleNamespace(
            conf=site.conf("smtp"), process=process, log=process.log, name=str
        )
        policies = TlsPolicies(
            client, _LEVELS.get(level, TLS_LEV_NONE), per_site=sites if entries else None
        )
        state: Any = SimpleNamespace(dest=_DEST, host=_HOST, port=25, tls_policies=OrderedDict())
        policy = site.run(policies.query(state))
        io.line(f"{host:20} {dest:20} {level:20} {_WORDS[policy.level]}")
