"""When samples are, in seconds, also where the results do not say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Predictions

# Only the proportions of time matter to who asks here, so an ordinary rate does.
_ASSUMED_FPS = 25.0


def sample_times(predictions: Predictions) -> NDArray[np.float64]:
    """Return float64 [F] seconds, never NaN: at 25 frames per second if any time is unknown."""
    if np.isfinite(predictions.time_s).all():
        return predictions.time_s
    return predictions.frame_index / _ASSUMED_FPS
