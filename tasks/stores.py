"""The stores that a pipeline's videos and routes live in, opened once each."""

from __future__ import annotations

import hashlib
from pathlib import Path

from config.pipeline import Pipeline
from tasks.domain.errors import NotSignable
from tasks.domain.video import SignedUrl, VideoRef
from tasks.inference.base import LocalVideo
from tasks.storage.base import Storage
from tasks.storage.loopback import FileUrlSigner
from tasks.storage.registry import StorageOptions, open_storage, split_source_uri


class Stores:
    """Finds the store of a video, and makes the service able to read it."""

    def __init__(self, pipeline: Pipeline, signer: FileUrlSigner | None = None) -> None:
        self._pipeline = pipeline
        self._sources = StorageOptions(url_signer=signer)
        self._outputs = StorageOptions(create=True)
        self._open: dict[tuple[str, StorageOptions], Storage] = {}

    def source(self, uri: str) -> Storage:
        """Open (once) a store that videos are read from."""
        return self._opened(uri, self._sources)

    def output(self, uri: str) -> Storage:
        """Open (once) a store that is written to; a folder that does not exist yet is made."""
        return self._opened(uri, self._outputs)

    def _opened(self, uri: str, options: StorageOptions) -> Storage:
        if (uri, options) not in self._open:
            self._open[uri, options] = open_storage(uri, options)
        return self._open[uri, options]

    def locate(self, video: VideoRef) -> tuple[Storage, str]:
        """Find the store that holds a video, and the video's key in it."""
        for source in self._pipeline.sources:
            root, _ = split_source_uri(source.uri)
            if video.uri.startswith(root):
                return self.source(root), video.uri[len(root) :]
        folder, _, key = video.uri.rpartition("/")
        return self.source(f"{folder}/"), key

    def grant(self, video: VideoRef) -> SignedUrl | LocalVideo:
        """Make the service able to read a video: sign a URL, or name the file to upload.

        Raises:
            NotSignable: The store cannot sign, and the video is no local file.
        """
        store, key = self.locate(video)
        try:
            return store.sign(key, self._pipeline.inference.url_lifetime)
        except NotSignable:
            if video.scheme != "file":
                raise
        digest = hashlib.sha256(f"{video.uri}\0{video.version}".encode(errors="surrogateescape")).hexdigest()[:16]
        return LocalVideo(Path(video.uri.removeprefix("file://")), f"{digest}{video.suffix}")
