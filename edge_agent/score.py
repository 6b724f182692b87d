"""The place of the ONNX model that judges each sample's window in the car. No model ships yet, so nothing is judged.

A scorer is called with every sample, in order, and answers with the events that it sees. `pipeline.py` calls it where
one is given; `agent.py` will load one from `models_onnx/` once there is a trained and measured model.
"""

from collections.abc import Callable

from wire.records import Event, Sample

Scorer = Callable[[Sample], tuple[Event, ...]]
