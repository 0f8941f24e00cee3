"""The video inference service: Roboflow's hosted Video Inference API, answered by the embedded engine.

The official ``roboflow`` SDK (``API_URL`` in its environment) and our own client work against it
unchanged. Nothing is imported here, so that naming the package costs nothing:

    settings.py   ServiceSettings
    app.py        create_app: the HTTP side
    server.py     serve: bind, start workers, stop cleanly
    catalog.py    the models it offers, checked before it serves
    sources.py    what an input_url may point to
    jobs.py       jobs on disk, shared by every service process of one state folder
    pool.py       worker processes and the slots that feed them
    worker.py     the program that a worker process runs
    addresses.py  fetching over HTTP without reaching private networks
"""
