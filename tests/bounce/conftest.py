"""The mail system of the tests of cleanup(8) serves here, too."""

from __future__ import annotations

import pytest

from tests.cleanup.cleanup_site import CleanupSite


@pytest.fixture
def site() -> type[CleanupSite]:
    """Builds a running mail system from further main.cf text and files in /etc/postfix."""
    return CleanupSite
