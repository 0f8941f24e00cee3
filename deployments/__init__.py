"""Where reelroute runs: the command line and services; see README.md in this folder."""
