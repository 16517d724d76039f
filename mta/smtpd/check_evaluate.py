"""Evaluation of a list of restrictions (generic_checks)."""

from __future__ import annotations

from typing import Any

from mta.dict.errors import DictConfigError, TableError
from mta.smtpd.check_registry import (
    REPLY,
    SMTPD_CHECK_REJECT,
    VERDICTS,
    Jump,
    RestrictionList,
    Scope,
    Step,
)
from mta.smtpd.check_reject import reject_dict_retry, reject_server_error
from mta.smtpd.check_rules import Rules
from mta.smtpd.state import Session
from mta.system import Wait

#: Deeper than any list that ends.
_MAX_DEPTH = 150


def stage_checks(
    rules: Rules,
    session: Session,
    stage: str,
    reply_name: str,
    reply_class: str,
    def_acl: str | None,
) -> Wait[int]:
    """Evaluates the list of a stage; SMTPD_CHECK_*, also where it breaks off."""
    restrictions = rules.lists[stage]
    if not restrictions.words:
        return 0
    scope = Scope(rules, session, restrictions.parameter, reply_name, reply_class, def_acl)
    try:
        return (yield from generic_checks(scope, restrictions))
    except Jump as jump:
        return int(jump.args[0])


def generic_checks(scope: Scope, restrictions: RestrictionList) -> Wait[int]:
    """Asks one restriction after the other until one permits or rejects.  Raises Jump."""
    session = scope.session
    system = session.process.system
    saved = session.recursion
    depth = session.recursion = saved + 1
    if depth > _MAX_DEPTH:
        scope.rules.contains_itself(restrictions.parameter)
    outer = scope.parameter
    scope.parameter = restrictions.parameter
    status = 0
    for step in restrictions.steps(scope.def_acl, scope.rules):
        if session.discard:
            break
        if step.warns:
            if not session.warn_if_reject:
                session.warn_if_reject = depth
            continue
        try:
            if system.decisions is not None:
                status = yield from _explained(scope, step)
            elif step.blocks:
                status = yield from step.run(scope, step)
            else:
                status = step.run(scope, step)
        except DictConfigError:
            reject_server_error(session)
        except TableError:
            reject_dict_retry(session, scope.reply_name)
        if session.warn_if_reject >= depth:
            session.warn_if_reject = 0
        if status or (session.defer_if_permit.active and session.defer_if_reject.active):
            break
    scope.parameter = outer
    session.recursion = saved
    if session.warn_if_reject >= saved:
        session.warn_if_reject = 0
    return status


def _explained(scope: Scope, step: Step) -> Wait[int]:
    """The same, as a decision for whoever listens."""
    session = scope.session
    parameter = scope.parameter
    before = _state(session)
    session.scratch[REPLY] = ""
    verdict = "broken off"
    session.process.decide("restriction begins", depth=session.recursion)
    try:
        status: int = (yield from step.run(scope, step)) if step.blocks else step.run(scope, step)
        verdict = VERDICTS[status]
        return status
    except TableError as error:
        verdict = f"table error: {error.args[0]}"
        raise
    except Jump as jump:
        verdict = VERDICTS[int(jump.args[0])]
        raise
    finally:
        reply = session.scratch[REPLY]
        after = _state(session)
        session.process.decide(
            "restriction",
            list=parameter,
            restriction=step.word,
            argument=_shown(step.argument),
            inputs=inputs_of(session, scope.reply_name),
            verdict=verdict,
            reply=reply if verdict == VERDICTS[SMTPD_CHECK_REJECT] or before["test"] else "",
            depth=session.recursion,
            changes={name: value for name, value in after.items() if before[name] != value},
            test=before["test"],
        )


def _shown(argument: Any) -> str:
    if argument is None:
        return ""
    return argument.parameter if isinstance(argument, RestrictionList) else str(argument)


def inputs_of(session: Session, subject: str) -> dict[str, Any]:
    """What is known of the mail at hand; ``subject`` is what is judged."""
    return {
        "stage": session.where,
        "client_name": session.name,
        "reverse_client_name": session.reverse_name,
        "client_address": session.addr,
        "helo_name": session.helo_name,
        "sender": session.sender,
        "recipient": session.recipient,
        "sasl_username": session.sasl_username,
        "subject": subject,
    }


def _state(session: Session) -> dict[str, Any]:
    """What restrictions leave behind beside their verdict."""
    permit, reject = session.defer_if_permit, session.defer_if_reject
    return {
        "test": bool(session.warn_if_reject),
        "defer_if_permit": permit.reason if permit.active else "",
        "defer_if_reject": reject.reason if reject.active else "",
        "discard": session.discard,
        "filter": session.saved_filter,
        "redirect": session.saved_redirect,
        "bcc": session.saved_bcc,
        "flags": session.saved_flags,
        "prepend": len(session.prepend),
    }
