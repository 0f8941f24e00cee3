"""The stores that a pipeline's videos and routes live in, opened once each."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

from config.pipeline import Pipeline
from config.routes import Route
from config.settings import Settings
from config.sources import Source
from tasks.credentials import Blocks
from tasks.domain.errors import NotSignable
from tasks.domain.video import SignedUrl, VideoRef
from tasks.inference.base import LocalVideo
from tasks.storage.base import ObjectInfo, Storage
from tasks.storage.content import same_version
from tasks.storage.loopback import FileUrlSigner
from tasks.storage.registry import StorageOptions, open_storage, split_source_uri


def open_results(settings: Settings) -> Storage:
    """Open the store of results JSON, with what the environment says of its cloud; a folder is made when needed."""
    uri = settings.results_url
    return open_storage(uri, StorageOptions(create=uri.startswith("file://")))


class Stores:
    """Finds the store of a video, and makes the service able to read it. Safe to share by threads.

    Attributes:
        signer: Signs URLs of local files for the service that gives them out; None where no
            service does (yet).

    Args:
        blocks: What the pipeline's credential blocks hold; see :mod:`tasks.credentials`.
    """

    def __init__(
        self, pipeline: Pipeline, signer: FileUrlSigner | None = None, *, blocks: Blocks | None = None
    ) -> None:
        self.signer = signer
        self._pipeline = pipeline
        self._blocks = blocks or {}
        self._open: dict[tuple[str, StorageOptions], Storage] = {}
        self._lock = threading.Lock()

    def source(self, source: Source) -> tuple[Storage, str]:
        """Open (once) the store that a source lists; with the prefix to list in it."""
        root, prefix = split_source_uri(source.uri)
        return self._reading(root, source), prefix

    def output(self, uri: str, route: Route | None = None) -> Storage:
        """Open (once) a store that is written to; a folder that does not exist yet is made.

        Args:
            route: Whose keys say how it is reached; None leaves that to the environment.
        """
        options = self._options(uri, route)
        return self._opened(uri, replace(options, create=True) if uri.startswith("file://") else options)

    def locate(self, video: VideoRef) -> tuple[Storage, str]:
        """Find the store that holds a video, and the video's key in it."""
        source = self.source_of(video)
        if source is not None:
            root, _ = split_source_uri(source.uri)
        else:
            # A job of an earlier version of the file: its container may still be one that we can open.
            root = f"{video.uri.rpartition('/')[0]}/" if video.scheme == "file" else _container(video.uri)
            source = next((one for one in self._pipeline.sources if _container(one.uri) == root), None)
        return self._reading(root, source), video.uri[len(root) :]

    def source_of(self, video: VideoRef) -> Source | None:
        """The source that lists a video, the nearest to it where one is within another."""
        around = [source for source in self._pipeline.sources if video.uri.startswith(source.uri)]
        return max(around, key=lambda source: len(source.uri), default=None)

    def grant_planned(self, video: VideoRef) -> SignedUrl | LocalVideo:
        """Look whether a video is still the one that was planned, and grant it: that version alone where the store can.

        Raises:
            VideoReplaced, ObjectMissing: It is not.
            NotSignable, KeyUnsafe: As :meth:`grant`.
        """
        return self.grant(video, self.look(video).version_id)

    def look(self, video: VideoRef) -> ObjectInfo:
        """Say what stands in a video's place, by one request.

        Raises:
            VideoReplaced: Another version.
            ObjectMissing: Nothing.
        """
        store, key = self.locate(video)
        found = store.stat(key)
        same_version(found, video.version)
        return found

    def grant(self, video: VideoRef, version_id: str = "") -> SignedUrl | LocalVideo:
        """Make the service able to read a video: sign a URL, or name the file to upload.

        Args:
            version_id: As a stat told it.

        Raises:
            NotSignable: The store cannot sign, and the video is no local file.
            KeyUnsafe: No client could fetch the video by URL.
        """
        store, key = self.locate(video)
        try:
            return store.sign(key, self._pipeline.inference.url_lifetime, version_id)
        except NotSignable:
            if video.scheme != "file":
                raise
        digest = hashlib.sha256(f"{video.uri}\0{video.version}".encode(errors="surrogateescape")).hexdigest()[:16]
        return LocalVideo(Path(video.uri.removeprefix("file://")), f"{digest}{video.suffix}")

    def _reading(self, uri: str, source: Source | None) -> Storage:
        options = self._options(uri, source)
        return self._opened(uri, replace(options, url_signer=self.signer) if uri.startswith("file://") else options)

    def _options(self, uri: str, section: Source | Route | None) -> StorageOptions:
        if section is None:
            return StorageOptions()
        block = StorageOptions()
        if section.credentials:
            block = self._blocks[uri.partition("://")[0], section.credentials]
        return replace(block, endpoint_url=section.endpoint_url or block.endpoint_url, account=section.account)

    def _opened(self, uri: str, options: StorageOptions) -> Storage:
        with self._lock:
            if (uri, options) not in self._open:
                self._open[uri, options] = open_storage(uri, options)
            return self._open[uri, options]


def _container(uri: str) -> str:
    """``scheme://container/`` of a URI in a cloud."""
    return "/".join(uri.split("/", 3)[:3]) + "/"
