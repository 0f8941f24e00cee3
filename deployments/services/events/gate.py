"""Who is believed: each sender by what it can prove, and nobody by the shape of a message alone."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from config.event_settings import EventSettings
from deployments.services.events.fetching import Fetch
from deployments.services.events.refused import Refused
from deployments.services.events.sns import SnsSignatures
from deployments.services.events.tokens import EntraTokens, GoogleTokens, bearer
from tasks.uploads.notice import Sender

KEY_HEADER = "x-reelroute-key"


class Gate:
    """Checks requests by the settings; what is not set up is refused."""

    def __init__(self, settings: EventSettings, load: Fetch, clock: Callable[[], datetime]) -> None:
        self._key = settings.key.get_secret_value().encode() if settings.key else b""
        self.sns = SnsSignatures(settings.sns_topics, load, clock)
        self._google = (
            GoogleTokens(settings.pubsub_audience, settings.pubsub_account, load, clock)
            if settings.pubsub_audience and settings.pubsub_account
            else None
        )
        self._entra = (
            EntraTokens(settings.azure_tenant, settings.azure_audience, load, clock)
            if settings.azure_tenant and settings.azure_audience
            else None
        )

    def check(self, sender: Sender, message: Any, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Let a request pass if it comes from whom its shape says.

        Raises:
            Refused: 401 without a proof, 403 with a wrong one.
        """
        if sender is Sender.SNS:
            self.sns.check(message)
        elif sender is Sender.PUBSUB and self._google is not None:
            self._google.check(bearer(headers.get("authorization", "")))
        elif sender in (Sender.EVENT_GRID, Sender.CLOUD_EVENTS):
            self.check_event_grid(headers, query)
        elif sender is Sender.PUBSUB:
            raise Refused(401, "not_set_up", "Pub/Sub pushes need REELROUTE_EVENTS_PUBSUB_AUDIENCE and _ACCOUNT")
        else:
            self.check_key(headers, query)

    def check_event_grid(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Let Event Grid pass, by the key or by a token of the tenant.

        Raises:
            Refused: It has neither.
        """
        if self._entra is not None and headers.get("authorization"):
            self._entra.check(bearer(headers["authorization"]))
        else:
            self.check_key(headers, query)

    def check_watcher(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Let pass who has the key, also as a bearer token: Prometheus knows no other way.

        Raises:
            Refused: It is wrong, missing, or none is set.
        """
        if headers.get("authorization"):
            headers = {KEY_HEADER: bearer(headers["authorization"])}
        self.check_key(headers, query)

    def check_key(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Let pass who has the key.

        Raises:
            Refused: It is wrong, missing, or none is set.
        """
        if not self._key:
            raise Refused(401, "not_set_up", "this sender needs a key, and REELROUTE_EVENTS_KEY is not set")
        given = headers.get(KEY_HEADER) or query.get("code", "")
        if not given:
            raise Refused(401, "key_missing", f"there is no key: send it as {KEY_HEADER}, or as ?code=")
        if not hmac.compare_digest(given.encode(errors="surrogatepass"), self._key):
            raise Refused(403, "key_wrong", "the key is wrong")
