"""Data rows of videos: found by their global key, made where there are none, waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tasks.domain.errors import AccessDenied, DataRowRefused, ReelrouteError, StillProcessing, VideoTooLarge
from tasks.domain.video import SignedUrl, VideoRef
from tasks.sinks.labelbox.api import Labelbox
from tasks.sinks.labelbox.chunks import Staged

# Labelbox documentation, "Limits": a file that is uploaded to it, not read by URL.
LARGEST_UPLOAD = 256 * 1000 * 1000

Refusals = dict[str, ReelrouteError]  # by job key
Sign = Callable[[VideoRef], SignedUrl]


@dataclass(slots=True)
class RowSource:
    """How Labelbox gets to see a video: its address, which goes into the data row.

    Attributes:
        sign: Signs a URL of a bucket's object.
        by_integration: Labelbox reads the bucket through an IAM integration: the row holds the
            object's own address, which never expires.
        ends_first: When the first of the signed URLs given so far stops working.
    """

    box: Labelbox
    sign: Sign
    by_integration: bool
    ends_first: datetime | None = None

    def address(self, video: VideoRef) -> str:
        """The video's ``row_data``.

        Raises:
            NotSignable, KeyUnsafe, StorageUnavailable: No URL can be signed.
            VideoTooLarge: A local file is too large to be uploaded.
        """
        if video.scheme == "file":
            if video.size > LARGEST_UPLOAD:
                raise VideoTooLarge(
                    f"{video} has {video.size / 1e6:.0f} MB, and Labelbox takes uploads of up to 256 MB",
                    hint="put the videos into a bucket, from which Labelbox reads them by URL",
                )
            return self.box.upload_file(str(Path(video.uri.removeprefix("file://"))))
        if self.by_integration and video.scheme == "gs":
            return video.uri
        signed = self.sign(video)
        if self.by_integration:
            return signed.url.partition("?")[0]  # https://bucket.s3.…/key: the SDK refuses s3://
        if signed.expires_at is not None:
            self.ends_first = min(self.ends_first or signed.expires_at, signed.expires_at)
        return signed.url


def make_rows(box: Labelbox, dataset: str, videos: Sequence[Staged], source: RowSource) -> Refusals:
    """Make the data rows that are missing; return the videos that have none after that, and why."""
    refused: Refusals = {}
    keys = {staged.key: staged for staged in videos}
    there, denied = box.find_rows(list(keys))
    items = []
    for key, staged in keys.items():
        if key in there or key in denied:
            continue
        try:
            address = source.address(staged.delivery.video)
        except ReelrouteError as error:
            refused[staged.job_key] = error
            continue
        name = staged.delivery.video.name
        items.append({"row_data": address, "global_key": key, "external_id": name, "media_type": "VIDEO"})
    if items:
        words = box.create_rows(dataset, items)
        # What Labelbox has is what counts: an answer may have been lost, or another process been first.
        there, denied = box.find_rows(list(keys))
        for item in items:
            if item["global_key"] not in there | denied:
                why = words.get(item["global_key"], "Labelbox does not say why")
                refused[keys[item["global_key"]].job_key] = DataRowRefused(
                    f"Labelbox made no data row of {item['external_id']!r}: {why}",
                    hint="Labelbox must be able to read the video by its URL, and to play it (H.264 in MP4)",
                )
    for key in denied:
        refused[keys[key].job_key] = AccessDenied(
            f"data row {key!r} belongs to somebody else in Labelbox, or to a dataset that the key may not see",
            hint="give the key's owner access to that dataset, or delete the row there",
        )
    return refused


def wait_for_processing(box: Labelbox, videos: Sequence[Staged], within_s: float) -> Refusals:
    """Wait until Labelbox has looked through the videos; return those with which it is not done in time."""
    pending = {staged.key: staged for staged in videos}

    def look() -> bool | None:
        if not pending or box.are_processed(list(pending)):
            pending.clear()
            return True
        if len(pending) > 1:
            for key in [key for key in pending if box.are_processed([key])]:
                del pending[key]
        return None

    try:
        box.patience.until(look, "the processing of videos", within_s=within_s)
    except StillProcessing:
        late = f"not done after {within_s:.0f} s"
        return {
            staged.job_key: StillProcessing(
                f"Labelbox is still processing {staged.delivery.video}, or cannot play it: {late}"
            )
            for staged in pending.values()
        }
    return {}
