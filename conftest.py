"""Configuration that all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# The same examples in every run: a suite that passed passes again.  HYPOTHESIS_PROFILE=explore
# looks for new ones.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
