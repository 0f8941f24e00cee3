"""The video inference service: Roboflow's hosted Video Inference API, answered by the embedded engine.

The official ``roboflow`` SDK (``API_URL`` in its environment) and our own client work against it
unchanged. Nothing is imported here, so that naming the package costs nothing:

    settings.py   what a service is started with
    app.py        create_app: routes and refusals
    service.py    the parts put together, the key, our own addresses
    metrics.py    what Prometheus is told of jobs and workers
    control.py    the control plane that the SDK looks things up in
    video.py      upload, submit, poll, download
    contract.py   request bodies and the JSON of refusals
    signing.py    expiring URLs of our own
    catalog.py    the models on offer, checked before serving
    sources.py    what an input_url may point to
    uploads.py    videos that callers send
    jobs.py       jobs on disk, shared by every service process of one state folder
    pool.py       slots that take jobs and the worker processes that they feed
    protocol.py   what a service and its workers say to each other
    worker.py     the program that a worker process runs
    addresses.py  fetching over HTTP without reaching private networks
"""
