"""The video route: every video again, with what the models saw drawn on it.

    <name>.mp4    H.264, upright, one frame for each frame of the source at its own time

A source that is no mp4 keeps its suffix inside (``clip.avi`` becomes ``clip.avi.mp4``), so that
``clip.avi`` and ``clip.mp4`` do not meet. Where the pipeline has a ``clip.avi.mp4`` too, the one
whose copy is not there yet steps aside, with a part of a hash in its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.domain.video import VideoRef, printable
from tasks.domain.wording import count_of
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.checks import choose_models, require_frames
from tasks.sinks.draw import Image, Painter
from tasks.sinks.geometry import orientation_warning
from tasks.sinks.overlay import Interpolate, Overlay
from tasks.sinks.sizes import misfit_warnings, without_misfits
from tasks.sinks.staging import staging
from tasks.storage.base import Storage

_SUFFIX = ".mp4"
_DRAWN = frozenset(
    {
        TaskType.OBJECT_DETECTION,
        TaskType.INSTANCE_SEGMENTATION,
        TaskType.KEYPOINT_DETECTION,
        TaskType.CLASSIFICATION,
        TaskType.MULTILABEL_CLASSIFICATION,
        TaskType.GAZE,
    }
)


class VideoSink:
    """Draws predictions on videos: boxes, masks, keypoints, and classes of whole frames as a caption.

    Args:
        store: Bound to the folder or prefix that the videos go to.
        interpolate: Says where a model's objects are on the frames between its samples.
        min_confidence: Draws only what is at least as sure; None draws everything.
        outputs_of: (URI of a video) -> what routes of this pipeline have delivered of it, as URIs;
            None where the pipeline never had such a video.
    """

    def __init__(
        self,
        store: Storage,
        *,
        interpolate: Interpolate,
        min_confidence: float | None = None,
        outputs_of: Callable[[str], Collection[str] | None] = lambda _: None,
    ) -> None:
        self._store = store
        self._outputs_of = outputs_of
        self._interpolate = interpolate
        self._min_confidence = min_confidence

    def deliver(self, delivery: Delivery) -> Receipt:
        """Draw one video and put it in place, whole; needs as much local disk as the result is large."""
        key, aside = self._key_for(delivery.video)
        uri = self._store.root + key
        if uri == delivery.video.uri:
            raise DeliveryFailed(
                f"{delivery.video} would be overwritten by its own annotated copy",
                hint="give the video route a folder or prefix of its own",
            )
        require_frames(delivery.predictions, delivery.info)
        models, warnings = choose_models(delivery.predictions, _DRAWN, "the annotated video")
        fitting, left_out = without_misfits(models, delivery.info)
        warnings += misfit_warnings(left_out)
        if aside:
            warnings.append(f"the copy is {printable(key)}: another video has the copy {printable(aside)}")
        overlays = [
            Overlay(model, delivery.predictions.frame_index, delivery.info, self._interpolate, self._min_confidence)
            for model in fitting
        ]
        with staging(delivery.results_file.parent, "a video") as folder:
            target = folder / "annotated.mp4"
            frames, notes = _draw(delivery, overlays, target)
            self._store.upload(key, target, content_type="video/mp4")
        if turned := orientation_warning(delivery.info):
            warnings.append(turned)
        counts = {
            "frames": frames,
            "objects": sum(overlay.objects for overlay in overlays),
            "tracks": sum(overlay.tracks for overlay in overlays),
        }
        return Receipt(outputs=(uri,), counts=counts, warnings=(*warnings, *notes))

    def _key_for(self, video: VideoRef) -> tuple[str, str]:
        """Where the copy goes; and, if that is not its usual place because another video's is there, that place."""
        usual, aside = output_key(video.name), _key_aside(video.name, video.uri)
        added = usual != video.name  # a suffix was; another video may have that name
        if not added and video.name[: -len(_SUFFIX)].lower().endswith(_SUFFIX):
            return usual, ""
        other_name = usual if added else video.name[: -len(_SUFFIX)]
        other_uri = video.uri + _SUFFIX if added else video.uri[: -len(_SUFFIX)]
        if output_key(other_name) != usual or (theirs := self._outputs_of(other_uri)) is None:
            return usual, ""
        root = self._store.root
        ours_there, theirs_there = (root + usual in there for there in (self._outputs_of(video.uri) or (), theirs))
        if ours_there != theirs_there:
            steps_aside = theirs_there
        else:
            steps_aside = added and root + _key_aside(other_name, other_uri) not in theirs
        return (aside, usual) if steps_aside else (usual, "")

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:  # noqa: ARG002 - the protocol's
        """Nothing spans videos."""
        return None


def output_key(name: str) -> str:
    """Where the annotated copy of a video goes, if no other video's does."""
    return name if name.lower().endswith(_SUFFIX) else f"{name}{_SUFFIX}"


def _key_aside(name: str, uri: str) -> str:
    """Where it goes otherwise: no two videos have the same."""
    digest = hashlib.sha256(uri.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name}.{digest}{_SUFFIX}"


def _draw(delivery: Delivery, overlays: Sequence[Overlay], target: Path) -> tuple[int, list[str]]:
    """Write the annotated video to a file; return its frames and warnings."""
    from tasks.sinks.transcode import even, transcode

    painter = Painter(*(even(side) for side in delivery.info.display_size))

    def paint(frame: int, image: Image) -> None:
        shapes = [shape for overlay in overlays for shape in overlay.shapes(frame)]
        captions = [caption for overlay in overlays if (caption := overlay.caption(frame))]
        painter.paint(image, shapes, " | ".join(captions))

    with delivery.open_video() as source:
        info = delivery.info
        done = transcode(
            source,
            target,
            size=(info.width, info.height),
            rotation=info.rotation,
            mirrored=info.mirrored,
            track=info.track,
            rate=info.fps,
            paint=paint,
        )
    warnings = list(done.warnings)
    if done.frames != delivery.info.frame_count:
        drawn = count_of(done.frames, "frame was", "frames were")
        warnings.append(f"{drawn} drawn, where {delivery.info.frame_count} were counted before")
    if bad_masks := sum(len(overlay.bad_masks) for overlay in overlays):
        warnings.append(f"{count_of(bad_masks, 'mask')} could not be read and drawn")
    return done.frames, warnings
