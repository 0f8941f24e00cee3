"""The lightly route: predictions in a LightlyOne datasource, where its worker looks for them.

    .lightly/predictions/tasks.json                        names of the tasks below, a JSON list
    .lightly/predictions/<task>/schema.json                kind of task and its categories
    .lightly/predictions/<task>/<dir>/<video>-<frame>-<ext>.json    one per frame

Format: LightlyOne documentation, "Prediction Format" and "Videos as Input". Only object
detection is written in this version; another kind is one more function in ``singletons``.
"""
