"""What the GCS emulator leaves out: who may do what, pages of at most a thousand, and XML uploads.

It also plays Google's token and IAM endpoints for one service account, whose key is made anew
for every session of tests.
"""

from __future__ import annotations

import base64
import itertools
import json
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import google.auth.jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from tests.emulators import goog4
from tests.emulators.proxy import Answer, Proxy, Request

EMAIL = "reelroute@test-project.iam.gserviceaccount.com"
PAGE = 1_000
TOKEN_LIFETIME_S = 3_600


class GcsGate(Proxy):
    """Cloud Storage's front door.

    Attributes:
        public: Buckets that anybody may read and list.
        tokens: Bearer tokens that are good now; take them out and they have expired.
        may_sign: Whether the account may use ``signBlob`` on itself.
    """

    keep_host = False

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port)
        self.public: set[str] = set()
        self.tokens: set[str] = set()
        self.may_sign = True
        self.token_lifetime_s = TOKEN_LIFETIME_S
        self._numbers = itertools.count()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def reset(self) -> None:
        """As new, but for the objects."""
        super().reset()
        self.tokens.clear()
        self.may_sign = True
        self.token_lifetime_s = TOKEN_LIFETIME_S

    @cached_property
    def service_account(self) -> dict[str, str]:
        """The content of a service account's key file."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": "test-project",
            "private_key_id": "test-key",
            "private_key": pem.decode(),
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }

    def new_token(self) -> str:
        """A bearer token that is good from now on."""
        token = f"ya29.test-{next(self._numbers)}"
        self.tokens.add(token)
        return token

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        body = json.dumps({"name": name}).encode()
        made = self.forward(Request("POST", "/storage/v1/b", "", {"content-type": "application/json"}, body))
        assert made.status == 200, made

    def answer(self, request: Request) -> Answer:
        """Check who asks, then mend what is asked for."""
        if request.path == "/token":
            return self._grant(request)
        if "X-Goog-Signature=" in request.query:
            return self._signed(request)
        if refused := self._refusal(request):
            return refused
        if request.path.startswith("/v1/projects/-/serviceAccounts/"):
            return self._sign_blob(request)
        if request.method == "PUT" and not request.path.startswith(("/upload/", "/storage/")):
            return self._xml_upload(request)
        if request.method == "GET" and request.path.startswith("/storage/v1/b/") and request.path.endswith("/o"):
            return self._page(request)
        return self._explained(request, self.forward(request))

    def forward(self, request: Request) -> Answer:
        """Let the emulator answer; links in what it says lead through the gate."""
        answer = super().forward(request)
        body = answer.body
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            body = body.replace(f"http://127.0.0.1:{self._upstream_port}".encode(), self.url.encode())
        return Answer(answer.status, body, answer.headers, answer.length)

    def _explained(self, request: Request, answer: Answer) -> Answer:
        """Say what is missing, as Cloud Storage does: the object or the whole bucket."""
        if answer.status != 404:
            return answer
        bucket = self._bucket(request)
        if self.forward(Request("GET", f"/storage/v1/b/{bucket}", "", request.headers, b"")).status == 404:
            return error(404, "The specified bucket does not exist.")
        return error(404, f"No such object: {bucket}")

    def _refusal(self, request: Request) -> Answer | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer in self.tokens:
            return None
        if not bearer and request.method in ("GET", "HEAD") and self._bucket(request) in self.public:
            return None
        return error(401, "Invalid Credentials" if bearer else "Anonymous caller does not have access.")

    @staticmethod
    def _bucket(request: Request) -> str:
        for prefix in ("/storage/v1/b/", "/download/storage/v1/b/", "/upload/storage/v1/b/", "/"):
            if request.path.startswith(prefix):
                return request.path.removeprefix(prefix).partition("/")[0]
        return ""

    def _signed(self, request: Request) -> Answer:
        refused = goog4.refusal(request, self._key.public_key(), datetime.now(UTC))
        return refused or self.forward(Request(request.method, request.path, "", request.headers, request.body))

    def _page(self, request: Request) -> Answer:
        arguments = request.arguments
        arguments["maxResults"] = str(min(int(arguments.get("maxResults", PAGE)), PAGE))
        return self.forward(Request(request.method, request.path, urlencode(arguments), request.headers, b""))

    def _xml_upload(self, request: Request) -> Answer:
        bucket, _, key = request.name.removeprefix("/").partition("/")
        arguments = {"uploadType": "media", "name": key}
        if (generation := request.headers.get("x-goog-if-generation-match")) is not None:
            arguments["ifGenerationMatch"] = generation
        path = f"/upload/storage/v1/b/{quote(bucket)}/o"
        stored = self.forward(Request("POST", path, urlencode(arguments), request.headers, request.body))
        if stored.status != 200:
            return stored
        found = json.loads(stored.body)
        return Answer(200, b"", {"ETag": f'"{found["etag"]}"', "x-goog-generation": str(found["generation"])})

    def _grant(self, request: Request) -> Answer:
        """OAuth 2 for service accounts: a JWT that its key signed buys a token."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assertion = dict(parse_qsl(request.body.decode())).get("assertion", "")
        try:
            google.auth.jwt.decode(assertion, certs=public)
        except ValueError:
            return _json(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        token = self.new_token()
        return _json(200, {"access_token": token, "expires_in": self.token_lifetime_s, "token_type": "Bearer"})

    def _sign_blob(self, request: Request) -> Answer:
        if not self.may_sign or request.name != f"/v1/projects/-/serviceAccounts/{EMAIL}:signBlob":
            return error(403, "Permission 'iam.serviceAccounts.signBlob' denied on resource.")
        payload = base64.b64decode(json.loads(request.body)["payload"])
        signature = self._key.sign(payload, PKCS1v15(), SHA256())
        return _json(200, {"keyId": "test-key", "signedBlob": base64.b64encode(signature).decode()})


def error(status: int, message: str) -> Answer:
    """An error as the JSON API words it."""
    return _json(status, {"error": {"code": status, "message": message, "errors": [{"message": message}]}})


def _json(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json; charset=UTF-8"})
