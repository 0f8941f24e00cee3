"""The labelbox routes: predictions as Labelbox' NDJSON for video, one line per tracked object.

    {"uuid": ..., "name": "player", "dataRow": {"globalKey": "s3://bucket/a.mp4"},
     "segments": [{"keyframes": [{"frame": 1, "bbox": {"top": 2.0, "left": 3.5, "height": 9.0, "width": 4.0}}]}]}

Format: Labelbox documentation, "Upload video predictions". Frames count from 1, pixels are those
of the upright picture, and Labelbox moves a box in a straight line from keyframe to keyframe.
Only boxes are written in this version.
"""
