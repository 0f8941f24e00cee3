"""What every client of a video inference service must keep to, whatever the service does to it.

A subclass says how to open its client on the stand-in service; the promises are here. The one
that costs money when broken: whatever goes wrong, a job that was created is never reported as not
created, and a submission is never sent twice.
"""

from __future__ import annotations

from tests.contracts.inference_check import CheckContract
from tests.contracts.inference_download import DownloadContract
from tests.contracts.inference_submit import PermitContract, SubmitContract, UploadContract


class InferenceContract(SubmitContract, PermitContract, UploadContract, CheckContract, DownloadContract):
    """Inherit, and say how to open the client on the stand-in."""
