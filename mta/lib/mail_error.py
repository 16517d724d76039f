"""Classes of trouble that the postmaster hears of (mail_error(3), ``notify_classes``)."""

from __future__ import annotations

MAIL_ERROR_POLICY = 1 << 0
MAIL_ERROR_PROTOCOL = 1 << 1
MAIL_ERROR_BOUNCE = 1 << 2
MAIL_ERROR_SOFTWARE = 1 << 3
MAIL_ERROR_RESOURCE = 1 << 4
MAIL_ERROR_2BOUNCE = 1 << 5
MAIL_ERROR_DELAY = 1 << 6
MAIL_ERROR_DATA = 1 << 7

#: Their names in ``notify_classes``.
MAIL_ERROR_MASKS = {
    "bounce": MAIL_ERROR_BOUNCE,
    "2bounce": MAIL_ERROR_2BOUNCE,
    "data": MAIL_ERROR_DATA,
    "delay": MAIL_ERROR_DELAY,
    "policy": MAIL_ERROR_POLICY,
    "protocol": MAIL_ERROR_PROTOCOL,
    "resource": MAIL_ERROR_RESOURCE,
    "software": MAIL_ERROR_SOFTWARE,
}
