"""milter(3) - mail filter applications, as smtpd(8) and cleanup(8) speak to them (MILTER_README).

A :class:`~mta.lib.milters.milters.Milters` is the list of filters that a parameter names
(``smtpd_milters``, ``non_smtpd_milters``).  It tells each of them, one after the other, what
happens, and gives the first answer that is not "go on".  At the end of the DATA command smtpd(8)
hands its filters over to cleanup(8), which shows them the content and edits the queue file.

DIAGNOSTICS

    warning: connect to Milter service inet:127.0.0.1:9: Connection refused
    warning: milter inet:127.0.0.1:9: can't read SMFIC_MAIL reply packet header: Success
    warning: milter inet:127.0.0.1:9: unexpected filter response SMFIR_SKIP after event SMFIC_OPTNEG

CONFIGURATION PARAMETERS

    header_size_limit, milter_command_timeout, milter_connect_macros, milter_connect_timeout,
    milter_content_timeout, milter_data_macros, milter_default_action, milter_end_of_data_macros,
    milter_end_of_header_macros, milter_helo_macros, milter_mail_macros, milter_protocol,
    milter_rcpt_macros, milter_unknown_command_macros, soft_bounce
"""

from mta.lib.milters.edits import Editor, Reply
from mta.lib.milters.milters import HandOver, Milters, milters_create

__all__ = ["Editor", "HandOver", "Milters", "Reply", "milters_create"]
