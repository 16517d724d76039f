"""Recipients of local(8) who are neither users nor aliases."""

from __future__ import annotations

from mta.lib.canon_addr import canon_addr_external
from mta.lib.mail_addr_names import MAIL_ADDR_MAIL_DAEMON, MAIL_ADDR_POSTMASTER
from mta.local import mailbox, resolve
from mta.local.expand import local_expand
from mta.local.state import State, UserAttr
from mta.system import Wait
from mta.util.casefold import lowercase

_REQUIRED = (lowercase(MAIL_ADDR_MAIL_DAEMON), lowercase(MAIL_ADDR_POSTMASTER))


def deliver_unknown(state: State, user: UserAttr) -> Wait[bool]:
    """``fallback_transport``, ``luser_relay``, or a bounce.  The mail system's own addresses must
    not bounce: without an alias or an account their mail is dropped.
    """
    state = state.deeper()
    if state.been_here(f"deliver_unknown {state.local}"):
        return True
    done = yield from mailbox.deliver_transport(state, "fallback_transport")
    if done is not None:
        return done
    relay = state.process.conf.luser_relay
    if relay:
        return (yield from _luser(state, user, relay))
    if lowercase(state.user) in _REQUIRED:
        state.process.log.warning(f"required alias not found: {state.user}")
        return (yield from state.sent("2.0.0", "discarded"))
    return (yield from _bounce(state))


def _bounce(state: State) -> Wait[bool]:
    return (yield from state.bounce("5.1.1", f'unknown user: "{state.user}"'))


def _luser(state: State, user: UserAttr, relay: str) -> Wait[bool]:
    state.unmatched = None
    target = local_expand(state, user, relay).text
    canonical = yield from canon_addr_external(state.process, target)
    if lowercase(canonical) == lowercase(state.rcpt.address):
        return (yield from _bounce(state))
    return (yield from resolve.deliver_resolve_addr(state, user, target))
