"""``python -m deployments.cli`` is the ``reelroute`` command without its script."""

from deployments.cli.app import main

main()
