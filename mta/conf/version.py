"""The version of Postfix that is re-implemented (mail_version.h)."""

from __future__ import annotations

mail_version = "3.0.15"
mail_release_date = "20190226"
