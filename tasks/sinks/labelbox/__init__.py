"""The labelbox routes: predictions as Labelbox' NDJSON for video, a line per tracked object and per answer.

    {"uuid": ..., "name": "player", "dataRow": {"globalKey": "s3://bucket/a.mp4"},
     "segments": [{"keyframes": [{"frame": 1, "bbox": {"top": 2.0, "left": 3.5, "height": 9.0, "width": 4.0}}]}]}

Format: Labelbox documentation, "Upload video predictions". Frames count from 1, pixels are those
of the upright picture, and Labelbox moves a box in a straight line from keyframe to keyframe.
Answers hold for ranges of frames, or for the whole video.

``style`` says what becomes of predictions, ``mapping`` which features their classes belong to,
``statements`` what is said of frames; ``objects``, ``answers`` and ``details`` make lines of it.

    sink          files                       upload_sink   stages a video, uploads a batch
      │                                            │
      └── ndjson  lines and features ──────────────┤
                                                   ├── workspace   dataset, ontology, model, run: found or made
                                                   ├── rows        data rows of the videos
                                                   ├── upload      one copy of each annotation in the run
                                                   ├── project     batches, prelabels, labels
                                                   ▼
                         imports, api             what is asked of Labelbox, each safe to ask again
                                                   ▼
                              sdk                 the official SDK, sent once, its errors made ours
"""
