"""What could grant access is cut, everything else stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.job import Failure
from tasks.ledger.redaction import bare_service, clean_failure, clean_output, is_fetchable, without_grants

TOKEN = st.text("abcdefABCDEF0123456789%+/=_-", min_size=8, max_size=40)


class TestText:
    """Messages and hints."""

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("GET https://b.example/x.mp4?X-Amz-Signature=abc: 403", "GET https://b.example/x.mp4?… 403"),
            ("'http://h/x?sig=a%2Fb&se=1' and 'http://h/y?token=c'", "'http://h/x?… and 'http://h/y?…"),
            ("Max retries exceeded with url: /x.mp4?X-Goog-Signature=abc", "Max retries exceeded with url: /x.mp4?…"),
            ("HTTPS://user:pa:ss@host/x", "HTTPS://host/x"),
            ("http://p@ss@host:9001/x", "http://host:9001/x"),
            ("what? no: a = b", "what? no: a = b"),
            ("s3://bucket/what?.mp4 is gone", "s3://bucket/what?.mp4 is gone"),
            ("mail me@example.com, see https://host/a@b", "mail me@example.com, see https://host/a@b"),
            ("", ""),
        ],
    )
    def test_queries_and_users_go(self, text: str, kept: str) -> None:
        """With or without the rest of the URL, as HTTP libraries quote it."""
        assert kept == without_grants(text)

    @given(
        TOKEN, st.sampled_from(["https://h/x?sig={}", "url: /x?a=1&k={} failed", "https://u:{}@h/x", "(http://h?t={})"])
    )
    def test_no_token_survives(self, token: str, shape: str) -> None:
        """Whatever characters it has; user info has none that would end it."""
        token = token.replace("/", "") if "@" in shape else token
        assert token not in without_grants(shape.format(token))

    def test_a_failure_keeps_its_stage_and_code(self) -> None:
        """Only what people read can hold a URL."""
        assert Failure("sign", "c", "at http://h/x?…", "x?…") == clean_failure(
            Failure("sign", "c", "at http://h/x?a=b", "x?a=b")
        )
        assert clean_failure(None) is None


class TestUris:
    """Outputs and videos."""

    def test_only_addresses_to_fetch_are_cut(self) -> None:
        """A question mark in a storage key belongs to the key."""
        assert "https://host/a?…" == clean_output("https://host/a?b=c")
        assert "s3://bucket/a?b=c.mp4" == clean_output("s3://bucket/a?b=c.mp4")

    @pytest.mark.parametrize(
        ("uri", "fetchable"),
        [("https://h/x", True), ("HTTP:x", True), ("s3://https/x", False), ("file:///http:/x", False), ("", False)],
    )
    def test_fetchable_means_http(self, uri: str, fetchable: bool) -> None:
        """However it is written."""
        assert fetchable == is_fetchable(uri)


class TestService:
    """The address of a service."""

    @pytest.mark.parametrize(
        ("url", "kept"),
        [
            ("https://api.example/", "https://api.example/"),
            ("https://key@api.example:8443/a/b?api_key=c#d", "https://api.example:8443/a/b"),
            ("http://[::1]:9001/x?y", "http://[::1]:9001/x"),
            ("https://api.example/a@b", "https://api.example/a@b"),
            ("api.example?key=1", "api.example"),
            ("?key=1", ""),
        ],
    )
    def test_only_the_place_is_kept(self, url: str, kept: str) -> None:
        """No user, no query, no fragment."""
        assert kept == bare_service(url)
