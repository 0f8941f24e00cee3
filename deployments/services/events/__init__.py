"""The upload-event service: stores tell it what landed, it remembers, and it starts runs in batches.

    POST /events ─▶ gate ─▶ reception ─▶ writer ─▶ the ledger's inbox ─▶ drain ─▶ starters ─▶ flow `on-upload`
    queues ───────▶ puller ─────┘

An event is answered 2xx, or acknowledged in its queue, only when the inbox has it.
"""
