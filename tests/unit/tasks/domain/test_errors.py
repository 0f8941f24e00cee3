"""The tree of errors keeps its promises, class by class."""

from __future__ import annotations

import pickle
import re

import pytest

from tasks.domain import errors
from tasks.domain.errors import Ambiguous, JobFailed, Permanent, RateLimited, ReelrouteError, Retryable


def leaves(kind: type[ReelrouteError] = ReelrouteError) -> list[type[ReelrouteError]]:
    """Every class of the tree that is no branch, of the domain itself."""
    below = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    branches = [leaf for sub in below for leaf in leaves(sub)]
    return branches + ([] if kind in (ReelrouteError, Retryable, Permanent, Ambiguous) else [kind])


@pytest.mark.parametrize("kind", leaves())
def test_every_error_is_one_of_three_kinds(kind: type[ReelrouteError]) -> None:
    """Retryable, permanent or ambiguous, and only one of them."""
    assert sum(issubclass(kind, branch) for branch in (Retryable, Permanent, Ambiguous)) == 1


def test_every_error_has_a_code_of_its_own() -> None:
    """Codes are snake_case, stable keys of reports; a class that names none is its parent's failure to people."""
    codes = [kind.code for kind in leaves() if "code" in vars(kind)]
    assert sorted(codes) == sorted(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert "error" not in codes


@pytest.mark.parametrize("kind", leaves())
def test_every_error_survives_a_process_boundary(kind: type[ReelrouteError]) -> None:
    """Message, hint and code come out of a pickle as they went in."""
    error = kind("what happened", hint="what to do")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.message, copy.hint) == (kind, "what happened", "what happened", "what to do")
    assert copy.code == kind.code


def test_what_an_error_carries_survives_too() -> None:
    """The service's own code, and the wait that was asked for."""
    failed = pickle.loads(pickle.dumps(JobFailed("no", code="video_unreadable")))
    limited = pickle.loads(pickle.dumps(RateLimited("slow", retry_after_s=7.0)))
    assert (failed.code, limited.retry_after_s) == ("video_unreadable", 7.0)


@pytest.mark.parametrize("kind", leaves())
def test_a_hint_of_ones_own_wins(kind: type[ReelrouteError]) -> None:
    """Without one, the class gives its own, or none."""
    assert kind("x").hint == kind.default_hint
    assert kind("x", hint="mine").hint == "mine"
    assert kind.exit_code in (1, 2, 3)


def test_a_failed_job_without_a_code_is_a_failed_job() -> None:
    """The class keeps its code when one error carries another."""
    assert JobFailed("x", code="oom").code == "oom"
    assert JobFailed("x").code == "job_failed" == JobFailed.code
