"""One bucket's clients: boto3 for everything, obstore for bulk, both in the bucket's own region.

The clients are made at first use, never taken ready-made: boto3's own defaults would sign with
SigV2, and for a host that answers with redirects.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError

from tasks.domain.errors import NotSignable
from tasks.storage.s3_errors import region_in
from tasks.storage.s3_listing import parse_fast
from tasks.storage.small_objects import RETRIES, WORKERS, client_options

if TYPE_CHECKING:
    from obstore.store import S3Store

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=WORKERS + 8,
    connect_timeout=10,
    read_timeout=60,
)
_VIRTUAL = Config(s3={"addressing_style": "virtual"})
# Many compatible stores know neither virtual hosts nor the newer checksums.
_COMPATIBLE = Config(
    s3={"addressing_style": "path"},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
# Sessions refresh their credentials before these are used up; a copy must not outlive that.
_CREDENTIALS_KEPT = timedelta(minutes=5)
_LONGEST = timedelta(days=7)
# A URL that ends sooner than this for its credentials' sake is of no use to a service with a queue.
_SHORTEST = timedelta(minutes=10)


class S3Connection:
    """Clients of one bucket, made when they are first needed; safe to share by threads.

    Any member may raise what botocore raises, and contacts no store but for the bucket's region.

    Args:
        session: Where credentials and region come from; None for boto3's own chain.
        endpoint_url: Of an S3-compatible store; None for AWS, or what the environment says.
    """

    def __init__(self, bucket: str, session: boto3.Session | None, endpoint_url: str | None) -> None:
        self._bucket = bucket
        self._given = session
        self._endpoint_url = endpoint_url
        # Sessions make one client at a time. Two threads may both make one, which does no harm.
        self._lock = threading.RLock()

    @cached_property
    def client(self) -> Any:
        """A boto3 S3 client; botocore redirects its requests when the bucket is in another region."""
        return self._make_client(None)

    @cached_property
    def home_client(self) -> Any:
        """A boto3 S3 client for the bucket's own region, whose signed URLs need no redirect."""
        if not self.is_aws:
            return self.client
        try:
            region = region_in(self.client.head_bucket(Bucket=self._bucket))
        except ClientError as error:  # answers tell the region even where they refuse
            region = region_in(error.response)
        return self.client if region in ("", self.client.meta.region_name) else self._make_client(region)

    @cached_property
    def bulk(self) -> S3Store:
        """An obstore store of the bucket, with no prefix."""
        from obstore.auth.boto3 import Boto3CredentialProvider
        from obstore.store import S3Store

        client = self.home_client
        address = client.meta.endpoint_url
        anonymous = self._credentials is None
        return S3Store(
            self._bucket,
            region=client.meta.region_name,
            # A name with dots does not fit the certificate of virtual hosts.
            virtual_hosted_style_request=self.is_aws and "." not in self._bucket,
            client_options=client_options(plain_http=address.startswith("http://")),
            retry_config=RETRIES,
            skip_signature=anonymous,
            credential_provider=None if anonymous else Boto3CredentialProvider(self._session, ttl=_CREDENTIALS_KEPT),
            **({} if self.is_aws else {"endpoint": address}),
        )

    @property
    def is_aws(self) -> bool:
        """Whether this is AWS itself and no S3-compatible store."""
        return _is_aws(self.client)

    def lifetime(self, asked: timedelta) -> timedelta | None:
        """How long a URL that is signed now will work; None for a plain URL, for want of credentials.

        Raises:
            NotSignable: It is over 7 days, or the credentials end within minutes and before it.
        """
        if asked > _LONGEST:
            raise NotSignable("S3 signs URLs for at most 7 days", hint="set url_lifetime to 7d or less")
        if self._credentials is None:
            return None
        self._credentials.get_frozen_credentials()  # refreshes them where due
        # botocore tells the end of temporary credentials only here; others have none.
        ends: datetime | None = getattr(self._credentials, "_expiry_time", None)
        if ends is None or (left := ends - datetime.now(UTC)) >= asked:
            return asked
        if left < min(asked, _SHORTEST):
            minutes, seconds = divmod(max(int(left.total_seconds()), 0), 60)
            raise NotSignable(
                f"the credentials end in {minutes} min {seconds} s, and a URL signed with them ends then too",
                hint="get new credentials, or ones that last longer",
            )
        return left

    @cached_property
    def _session(self) -> boto3.Session:
        return self._given or boto3.Session()

    @cached_property
    def _credentials(self) -> Any:
        return self._session.get_credentials()

    def _make_client(self, region: str | None) -> Any:
        with self._lock:
            client = self._new_client(region, _VIRTUAL)
            # An endpoint may come from the environment, so whose it is shows only now.
            client = client if _is_aws(client) else self._new_client(region, _COMPATIBLE)
            parse_fast(client)
            return client

    def _new_client(self, region: str | None, style: Config) -> Any:
        signature = Config(signature_version=botocore.UNSIGNED if self._credentials is None else "s3v4")
        return self._session.client(
            "s3", region_name=region, endpoint_url=self._endpoint_url, config=_CONFIG.merge(style).merge(signature)
        )


def _is_aws(client: Any) -> bool:
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
