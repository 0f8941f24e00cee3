"""What is submitted a second time on its own: by code and time, never by a word in a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.domain.errors import JobFailed, JobUnknown, ReelrouteError
from tasks.second_chance import died_of_its_url
from tests.rig import NOON, Rig


@pytest.mark.parametrize(
    ("error", "after", "died"),
    [
        (JobFailed("no", code="access_denied"), timedelta(0), True),
        (JobFailed("could not read the input"), timedelta(days=2), True),
        (JobFailed("gone", code="object_missing"), timedelta(days=2), True),
        (JobFailed("could not read the input"), timedelta(0), False),
        (JobFailed("frame 403 is damaged"), timedelta(0), False),
        (JobFailed("the model's licence has expired"), timedelta(0), False),
        (JobFailed("Forbidden: access denied, SignatureDoesNotMatch"), timedelta(0), False),
        (JobFailed("cut", code="video_truncated"), timedelta(days=2), False),
        (JobUnknown("404"), timedelta(days=2), False),
    ],
)
def test_a_word_is_no_reason_to_pay_again(rig: Rig, error: ReelrouteError, after: timedelta, died: bool) -> None:
    """The service's code says that it could not fetch, or the URL's time had passed."""
    run = rig.run()
    job = replace(rig.listed(run)[0], submitted_at=NOON)
    rig.clock.now = NOON + after

    assert died is died_of_its_url(run, job, error)
