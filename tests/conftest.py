"""What all tests share: how properties are searched for counter-examples."""

from __future__ import annotations

import os

from hypothesis import settings

# No test asserts a duration, so no example has a deadline; in CI every run tries the same examples.
settings.register_profile("reelroute", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("reelroute")
