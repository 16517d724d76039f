"""A process that speaks to milters."""

from __future__ import annotations

import pytest

from tests.milter.milter_site import MilterSite


@pytest.fixture
def site() -> type[MilterSite]:
    """Builds a site from further main.cf text."""
    return MilterSite
