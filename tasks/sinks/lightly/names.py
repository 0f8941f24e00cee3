"""How LightlyOne names tasks and the prediction files of a video's frames. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.domain.errors import DeliveryFailed, InputInvalid
from tasks.domain.video import VideoInfo, VideoRef

PREDICTIONS = ".lightly/predictions/"
TASKS = f"{PREDICTIONS}tasks.json"

# "Videos as Input" lists these, whatever their case; the worker sees no other file as a video.
READABLE_SUFFIXES = frozenset({".mp4", ".m4v", ".hevc", ".mpg", ".mpeg", ".avi", ".mov", ".webm"})

# What LightlyOne allows in a task's name, less "/", which would make a folder in a folder.
_NOT_IN_TASK = re.compile(r"[^A-Za-z0-9_+=,.@:-]+")


def task_slug(text: str) -> str:
    """Make a task name of any text: what is not allowed in one becomes ``-``.

    Raises:
        InputInvalid: Nothing that can name a folder is left.
    """
    slug = _NOT_IN_TASK.sub("-", text)
    if not slug.strip(".-"):
        raise InputInvalid(f"{text!r} cannot name a LightlyOne task", hint="use letters, digits, '-' and '_'")
    return slug


def file_key(task: str, name: str) -> str:
    """Where the predictions of an image or a frame live, below the datasource; ``name`` has no suffix."""
    return f"{PREDICTIONS}{task}/{name}.json"


def schema_key(task: str) -> str:
    """Where the task's schema lives, below the datasource."""
    return f"{PREDICTIONS}{task}/schema.json"


@dataclass(frozen=True, slots=True)
class FrameNames:
    """Names of one video's frames.

    Attributes:
        stem: Path below the input datasource without the extension.
        extension: Without its dot, case kept.
        digits: Width of the frame number: that of the *count* of frames, so 10 frames are 00 to 09.
    """

    stem: str
    extension: str
    digits: int

    def frame(self, index: int) -> str:
        """Name of the frame, without a suffix of its own."""
        return f"{self.stem}-{index:0{self.digits}}-{self.extension}"

    def key(self, task: str, index: int) -> str:
        """Where the frame's predictions live, below the datasource."""
        return file_key(task, self.frame(index))

    def prefix(self, task: str) -> str:
        """What the keys of all frames of this video begin with; others' may, too."""
        return f"{PREDICTIONS}{task}/{self.stem}-"

    def number(self, task: str, key: str) -> str | None:
        """The digits of the frame in a key, or None if the key is not of a frame of this video.

        ``a-1-2-mp4.json`` is frame 2 of ``a-1.mp4`` and no frame of ``a.mp4``.
        """
        rest = key.removeprefix(self.prefix(task))
        match = re.fullmatch(rf"([0-9]+)-{re.escape(self.extension)}\.json", rest)
        return match[1] if match else None


def frame_names(path: str, info: VideoInfo) -> FrameNames:
    """Names of the frames of the video at ``path`` below the input datasource."""
    stem, _, extension = path.rpartition(".")
    return FrameNames(stem, extension, len(str(info.frame_count)))


def path_in_input(video: VideoRef, input_root: str) -> str:
    """Path of the video below the root of the input datasource; its name where none is given.

    Raises:
        DeliveryFailed: The video is not below that root, or its path is no text.
    """
    root = input_root if input_root.endswith("/") or not input_root else f"{input_root}/"
    path = video.uri.removeprefix(root) if root else video.name
    if root and path == video.uri:
        raise DeliveryFailed(
            f"{video} is not below the input datasource {input_root}",
            hint="LightlyOne matches predictions to videos by their path below the input datasource",
        )
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DeliveryFailed(
            f"the name of {video} is not text, so no JSON can hold it", hint="rename the file"
        ) from None
    return path
