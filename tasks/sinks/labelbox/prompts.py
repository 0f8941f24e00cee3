"""Reads embeddings of text prompts, which CLIP's embeddings of frames are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tasks.domain.errors import InputInvalid
from tasks.sinks.labelbox.style import Prompts

_HINT = "give one JSON object {name: [numbers, ...]}, or an .npz file with one array per name, all of one length"


def read_prompts(path: Path) -> Prompts:
    """Read name -> vector from a ``.json`` file (one object) or an ``.npz`` file (one array per name).

    Raises:
        InputInvalid: The file is missing or says something else.
    """
    try:
        found = _arrays(path) if path.suffix == ".npz" else msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        vectors = {name: np.array(vector, np.float64).reshape(-1) for name, vector in found.items()}
    except OSError as error:
        raise InputInvalid(f"cannot read prompts {path}: {error.strerror or error}", hint=_HINT) from None
    except (msgspec.MsgspecError, ValueError, TypeError, EOFError, OverflowError) as error:
        raise InputInvalid(f"prompts {path} are no vectors: {error}", hint=_HINT) from None
    lengths = {len(vector) for vector in vectors.values()}
    if len(vectors) < 2 or len(lengths) > 1 or 0 in lengths:
        raise InputInvalid(f"prompts {path} are not two or more vectors of one length", hint=_HINT)
    matrix = np.stack(list(vectors.values()))
    norm = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not (np.isfinite(norm).all() and (norm > 0).all()):
        raise InputInvalid(f"prompts {path} have a vector that points nowhere (all zero, or not finite)", hint=_HINT)
    return Prompts(names=tuple(vectors), vectors=matrix / norm)


def _arrays(path: Path) -> Mapping[str, Any]:
    import zipfile

    try:
        # Without pickles, which would run what they hold.
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(str(error)) from None
