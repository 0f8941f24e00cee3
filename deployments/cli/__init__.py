"""The ``reelroute`` command: what people type, what it prints, and its exit codes.

Exit codes: 0 all well, 1 some videos failed, 2 the pipeline file or the arguments are wrong,
3 a service could not be reached or refused us. Nothing heavy is imported before a command runs,
so that ``--help`` answers at once.
"""

from deployments.cli.app import app, main

__all__ = ["app", "main"]
