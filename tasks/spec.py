"""What a pipeline asks of the service for each video, and the model files that it reads."""

from __future__ import annotations

from pathlib import Path

from config.inference import is_file, project_of
from config.pipeline import Pipeline
from tasks.domain.errors import InputInvalid
from tasks.domain.job import InferenceSpec, ModelRef
from tasks.engine.model_files import digest_of


def inference_spec(pipeline: Pipeline) -> tuple[InferenceSpec, dict[str, Path]]:
    """Turn the inference section into a spec, and name the model files it mentions.

    A user's own file ``models/yard.onnx`` becomes project ``yard``, version 1, with a digest of all
    files that it reads as part of the job's identity: a retrained model is another inference.

    Raises:
        InputInvalid: A model file is missing, or two files would get the same name.
        ModelInvalid: A file that a model reads is missing, or not in the model's folder.
    """
    wanted = pipeline.inference
    refs: list[ModelRef] = []
    files: dict[str, Path] = {}
    for text in (wanted.model, *wanted.additional_models):
        if not is_file(text):
            refs.append(ModelRef.parse(text))
            continue
        path = Path(text).expanduser().resolve()
        if not path.is_file():
            raise InputInvalid(f"model file {text} does not exist", hint="give a path to an .onnx file, or oidv4/1")
        project = project_of(str(path))
        if project in files:
            raise InputInvalid(f"two model files are both named {project}", hint="rename one of the files")
        files[project] = path
        refs.append(ModelRef(project, "1", digest_of(path)))
    return InferenceSpec(wanted.backend, tuple(refs), wanted.fps, wanted.confidence), files
