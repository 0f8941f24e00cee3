-- Prefect's database is the one that the container makes; the ledger has one of its own, which holds every file name.
CREATE DATABASE reelroute ENCODING 'UTF8' TEMPLATE template0;
