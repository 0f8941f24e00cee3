"""Messages as the clouds send them, and keys and tokens to prove them with."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote_plus

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from deployments.services.events.sns import signed_text

KEY = "a-key-that-is-MARKED-5ec7e7"
TOPIC = "arn:aws:sns:eu-west-1:000000000000:uploads"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0f3a.pem"
AUDIENCE = "https://events.example.org/events"
ACCOUNT = "pusher@project.iam.gserviceaccount.com"
TENANT = "00000000-0000-0000-0000-0000000000aa"
APPLICATION = "api://reelroute-events"


def s3_record(key: str, *, bucket: str = "yard", version: str = "e1", size: int = 9, sequencer: str = "0A") -> Any:
    """One record, its key encoded as S3 does."""
    found = {"key": quote_plus(key, safe="/"), "size": size, "eTag": version, "sequencer": sequencer}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": found},
    }


def s3(*keys: str, **facts: Any) -> dict[str, Any]:
    """A message of S3 itself."""
    return {"Records": [s3_record(key, **facts) for key in keys]}


S3_TEST = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-03-01T12:00:00Z", "Bucket": "yard"}


def eventbridge(key: str, *, bucket: str = "yard", version: str = "e1", size: int = 9, sequencer: str = "0A") -> Any:
    """An event of EventBridge; its key is not encoded."""
    return {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": size, "etag": version, "sequencer": sequencer},
            "reason": "PutObject",
        },
    }


def gcs_object(key: str, *, bucket: str = "yard", generation: str = "17", size: int = 9) -> dict[str, Any]:
    """The resource of an object, sizes as texts."""
    return {"kind": "storage#object", "name": key, "bucket": bucket, "generation": generation, "size": str(size)}


def gcs_message(key: str, *, event: str = "OBJECT_FINALIZE", **facts: Any) -> dict[str, Any]:
    """A message of Cloud Storage in Pub/Sub."""
    found = gcs_object(key, **facts)
    return {
        "attributes": {
            "eventType": event,
            "bucketId": found["bucket"],
            "objectId": key,
            "objectGeneration": found["generation"],
            "payloadFormat": "JSON_API_V1",
        },
        "data": base64.b64encode(json.dumps(found).encode()).decode(),
        "messageId": "1",
    }


def push(message: dict[str, Any]) -> dict[str, Any]:
    """As Pub/Sub pushes it."""
    return {"message": message, "subscription": "projects/p/subscriptions/s"}


def event_grid(key: str, *, container: str = "yard", account: str = "yards", **data: Any) -> dict[str, Any]:
    """An event in Event Grid's own schema."""
    return {
        "topic": f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{account}",
        "subject": f"/blobServices/default/containers/{container}/blobs/{key}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-03-01T12:00:00.1234567Z",
        "id": "1",
        "data": {
            "api": "PutBlob",
            "eTag": "0x8D1",
            "contentLength": 9,
            "url": f"https://{account}.blob.core.windows.net/{container}/x",
            "sequencer": "00000000000004420000000000028963",
            **data,
        },
        "dataVersion": "",
        "metadataVersion": "1",
    }


def cloud_event(key: str, **facts: Any) -> dict[str, Any]:
    """The same as a CloudEvent."""
    event = event_grid(key, **facts)
    names = {"topic": "source", "eventType": "type", "eventTime": "time"}
    kept = {names.get(name, name): value for name, value in event.items() if not name.endswith("Version")}
    return {**kept, "specversion": "1.0"}


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """The key of the tests' Amazon, Google and Entra."""
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate(*, days: int = 365) -> bytes:
    """Its certificate, as PEM."""
    key = rsa_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def sns(
    message: object, *, at: datetime, version: str = "2", kind: str = "Notification", key: Any = None, **more: Any
) -> dict[str, Any]:
    """An envelope, signed."""
    text = message if isinstance(message, str) else json.dumps(message)
    envelope = {
        "Type": kind,
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Subject": "Amazon S3 Notification",
        "Message": text,
        "Timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **more,
    }
    digest = hashes.SHA256() if version == "2" else hashes.SHA1()
    signature = (key or rsa_key()).sign(signed_text(envelope), padding.PKCS1v15(), digest)
    return {**envelope, "Signature": base64.b64encode(signature).decode()}


def google_token(*, key: Any = None, **claims: Any) -> str:
    """A token as Pub/Sub pushes with."""
    now = datetime.now(UTC)
    known = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + timedelta(hours=1),
    }
    return jwt.encode(known | claims, key or rsa_key(), "RS256", headers={"kid": "k1"})


def entra_token(*, key: Any = None, **claims: Any) -> str:
    """A token as Event Grid comes with."""
    now = datetime.now(UTC)
    known = {
        "iss": f"https://sts.windows.net/{TENANT}/",
        "aud": APPLICATION,
        "appid": "4962773b-9cdb-44cf-a8bf-237846a00ab7",
        "exp": now + timedelta(hours=1),
    }
    return jwt.encode(known | claims, key or rsa_key(), "RS256", headers={"kid": "k1"})


def documents(url: str) -> bytes:
    """What the clouds publish to check signatures with."""
    if url == CERTIFICATE_URL:
        return certificate()
    if url.startswith("https://www.googleapis.com/"):
        return json.dumps({"k1": certificate().decode()}).encode()
    if url.startswith("https://login.microsoftonline.com/"):
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key().public_key()))
        return json.dumps({"keys": [{**public, "kid": "k1"}]}).encode()
    raise AssertionError(url)
