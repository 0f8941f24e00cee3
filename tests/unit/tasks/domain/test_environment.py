"""Children get what they need, by a list of names, and nothing that nobody thought of."""

from __future__ import annotations

import pytest

from tasks.domain.environment import PROXIES, child_environment

OURS = {
    "PATH": "/bin",
    "HOME": "/home/u",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/project",
    "SSL_CERT_FILE": "/ca.pem",
    "AWS_SECRET_ACCESS_KEY": "s",
    "LABELBOX_API_KEY": "s",
    "REELROUTE_LEDGER_URL": "postgresql://u:s@h/d",
    "PREFECT_API_AUTH_STRING": "s",
    "https_proxy": "http://u:s@proxy",
    "path": "another",
}


def test_what_every_program_needs_is_handed_on() -> None:
    """Where programs, certificates and modules are, and how text is written."""
    assert {"PATH", "HOME", "LC_ALL", "PYTHONPATH", "SSL_CERT_FILE"} == set(child_environment(OURS))


@pytest.mark.parametrize(
    ("given", "more"),
    [
        (child_environment(OURS, ["LABELBOX_API_KEY", "NOT_SET"]), {"LABELBOX_API_KEY"}),
        (child_environment(OURS, like=("PREFECT_",)), {"PREFECT_API_AUTH_STRING"}),
        (child_environment(OURS, PROXIES), {"https_proxy"}),
    ],
)
def test_what_one_child_needs_is_named(given: dict[str, str], more: set[str]) -> None:
    """By name or beginning, with the value as it is."""
    assert more == set(given) - set(child_environment(OURS))
    assert given.items() <= OURS.items()
