"""All restrictions: importing this module registers them."""

from __future__ import annotations

from mta.smtpd import (  # noqa: F401
    check_access,
    check_address,
    check_client,
    check_generic,
    check_helo,
    check_login,
    check_mx_backup,
    check_policy,
    check_rbl,
    check_rcpt_maps,
    check_relay,
    check_server,
    check_verify,
)
