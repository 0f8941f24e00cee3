"""How long signed URLs really work: no longer than the credentials that sign them."""

from __future__ import annotations

from datetime import datetime, timedelta

from config.pipeline import Pipeline
from tasks.domain.errors import ReelrouteError
from tasks.domain.video import SignedUrl, VideoRef
from tasks.stores import Stores

# What a clock may differ by, and signing may take.
_SLACK = timedelta(minutes=1)


class Lifetimes:
    """Signs one URL for each store that videos are in, and says which would die before a job's deadline."""

    def __init__(self, pipeline: Pipeline, stores: Stores) -> None:
        self._wanted = pipeline.inference
        self._stores = stores
        self._looked_at: set[str] = set()

    def warning(self, video: VideoRef, now: datetime) -> str:
        """A sentence about the video's store, once; "" if its URLs live long enough, or are not needed.

        A store that cannot sign is not our subject: the run says so for each video.
        """
        try:
            store, _ = self._stores.locate(video)
            if store.root in self._looked_at:
                return ""
            self._looked_at.add(store.root)
            grant = self._stores.grant(video)
        except ReelrouteError:
            return ""
        if not isinstance(grant, SignedUrl) or grant.expires_at is None:
            return ""
        lives = timedelta(seconds=round((grant.expires_at - now).total_seconds()))
        if lives + _SLACK >= self._wanted.deadline:
            return ""
        return (
            f"signed URLs of {store.root} work for {lives} (inference.url_lifetime asks for "
            f"{self._wanted.url_lifetime}), but a job may take {self._wanted.deadline} (inference.deadline): "
            "sign with credentials that last longer, raise url_lifetime, or lower the deadline"
        )
