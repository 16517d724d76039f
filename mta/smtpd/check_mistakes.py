"""Steps for what is wrong in a list of restrictions; they complain when the list is evaluated."""

from __future__ import annotations

from mta.smtpd.check_registry import SMTPD_CHECK_DUNNO, RestrictionList, Scope, Step
from mta.smtpd.check_reject import reject_server_error
from mta.system import Wait

_SHORTHAND = (
    "check_client_access, check_reverse_client_hostname_access, check_helo_access, "
    "check_sender_access, check_recipient_access, check_etrn_access"
)


def never(scope: Scope, step: Step) -> int:
    """Stands for ``warn_if_reject``, which is no restriction of its own."""
    raise AssertionError(step.word)


def bare_table(scope: Scope, step: Step) -> int:
    """``type:name`` where no restriction is implied."""
    scope.session.process.log.warning(
        f'specify one of ({_SHORTHAND}) before {scope.reply_class} restriction "{step.word}"'
    )
    reject_server_error(scope.session)


def bad_table(scope: Scope, step: Step) -> int:
    """``check_x_access`` without ``type:name``."""
    scope.session.process.log.warning(
        f'restriction {step.name}: bad argument "{step.argument}": need maptype:mapname'
    )
    reject_server_error(scope.session)


def no_domain(scope: Scope, step: Step) -> int:
    """``reject_rbl_client`` and friends at the end of the list."""
    scope.session.process.log.warning(f"restriction {step.word} requires domain name argument")
    return SMTPD_CHECK_DUNNO


def no_server(scope: Scope, step: Step) -> int:
    """``check_policy_service`` without a server."""
    scope.session.process.log.warning(
        f"restriction {step.name} must be followed by transport:server"
    )
    reject_server_error(scope.session)


def no_number(scope: Scope, step: Step) -> int:
    """``sleep`` without seconds."""
    scope.session.process.log.warning(f"restriction {step.name} must be followed by number")
    reject_server_error(scope.session)


def unknown(scope: Scope, step: Step) -> int:
    """A name that is neither a restriction nor a class."""
    scope.session.process.log.warning(f'unknown smtpd restriction: "{step.word}"')
    reject_server_error(scope.session)


def restriction_class(scope: Scope, step: Step) -> Wait[int]:
    """A class of ``smtpd_restriction_classes``: its list in place of its name."""
    from mta.smtpd.check_evaluate import generic_checks

    rules: RestrictionList = step.argument
    return (yield from generic_checks(scope, rules))
