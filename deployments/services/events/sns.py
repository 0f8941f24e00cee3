"""Messages of SNS: signed by Amazon, of a topic that we know, and new.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from deployments.services.events.fetching import Fetch, Kept
from deployments.services.events.refused import Refused

# SNS tries for an hour; clocks differ.
OLDEST = timedelta(hours=2)
_CLOCKS_DIFFER = timedelta(minutes=15)
_HOST = re.compile(r"sns\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")
# At the same host is an API whose answers others can shape: only the certificates' own path will do.
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]+\.pem")
_SIGNED = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SIGNED_HANDSHAKE = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_DIGESTS: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 (SNS's own)


class SnsSignatures:
    """Checks who signed a message, and answers handshakes.

    Args:
        topics: ARNs of the topics that are believed.
        load: Fetches certificates, and confirms subscriptions.
    """

    def __init__(self, topics: Collection[str], load: Fetch, clock: Callable[[], datetime]) -> None:
        self._topics = frozenset(topics)
        self._load = load
        self._clock = clock
        self._certificates = Kept(load, x509.load_pem_x509_certificate, clock)

    def check(self, message: dict[str, Any]) -> None:
        """Let the message pass if Amazon signed it, lately, for one of our topics.

        Raises:
            Refused: 403; or 503 if the certificate is out of reach.
        """
        topic = message.get("TopicArn")
        if not isinstance(topic, str) or topic not in self._topics:
            raise Refused(403, "topic_unknown", "this topic is not in REELROUTE_EVENTS_SNS_TOPICS")
        self._check_age(message.get("Timestamp"))
        version = message.get("SignatureVersion")
        digest = _DIGESTS.get(version) if isinstance(version, str) else None
        if digest is None:
            raise Refused(403, "signature_wrong", "the signature is of an unknown version")
        certificate = self._certificate(message.get("SigningCertURL"), topic)
        key = certificate.public_key()
        try:
            signature = base64.b64decode(message.get("Signature", ""), validate=True)
            if not isinstance(key, rsa.RSAPublicKey):
                raise TypeError
            key.verify(signature, signed_text(message), padding.PKCS1v15(), digest)
        except (InvalidSignature, TypeError, ValueError):
            raise Refused(403, "signature_wrong", "the signature does not fit the message") from None

    def confirm(self, message: dict[str, Any]) -> None:
        """Answer a checked handshake, so that the topic's messages begin to come.

        Raises:
            Refused: The address to answer at is not Amazon's, or out of reach.
        """
        url = message.get("SubscribeURL")
        if not isinstance(url, str) or _amazon(url, str(message["TopicArn"])) is None:
            raise Refused(403, "address_wrong", "the address to confirm the subscription at is not Amazon's")
        self._load(url)

    def _check_age(self, text: object) -> None:
        try:
            at = datetime.fromisoformat(text) if isinstance(text, str) else None
        except (ValueError, OverflowError):
            at = None
        if at is None or at.tzinfo is None:
            raise Refused(403, "signature_wrong", "the message has no time")
        age = self._clock() - at
        if age > OLDEST or age < -_CLOCKS_DIFFER:
            raise Refused(403, "too_old", "the message was signed too long ago, or in the future")

    def _certificate(self, url: object, topic: str) -> x509.Certificate:
        parts = _amazon(url, topic) if isinstance(url, str) else None
        if parts is None or parts.query or not _CERTIFICATE.fullmatch(parts.path):
            raise Refused(403, "address_wrong", "the certificate's address is not Amazon's")
        certificate = self._certificates.get(str(url))
        if not certificate.not_valid_before_utc <= self._clock() <= certificate.not_valid_after_utc:
            raise Refused(403, "signature_wrong", "the certificate is out of date")
        return certificate


def signed_text(message: dict[str, Any]) -> bytes:
    """What SNS signs of a message.

    Raises:
        ValueError: A part is no text.
    """
    names = _SIGNED if message.get("Type") == "Notification" else _SIGNED_HANDSHAKE
    lines: list[str] = []
    for name in names:
        if message.get(name) is None and name == "Subject":
            continue
        if not isinstance(message.get(name), str):
            raise ValueError(name)
        lines += [name, message[name]]
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")


def _amazon(url: str, topic: str) -> SplitResult | None:
    """The parts of an address of SNS in the topic's region, None for any other."""
    # urlsplit would drop line breaks, and then check another address than the one fetched.
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        return None
    try:
        parts = urlsplit(url)
        host = _HOST.fullmatch(parts.netloc)
    except ValueError:
        return None
    return parts if parts.scheme == "https" and host and host[1] == topic.split(":")[3] else None
