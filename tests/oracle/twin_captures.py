"""Captures: rows, positions and rotary embedding of a layer."""
import collections

import h5py
import numpy as np

from twin_common import F64, STREAMS, Unusable
from twin_metrics import Attention

Rope = collections.namedtuple("Rope", "kind n_rot base freq_scale ext_factor attn_factor factors")


def attribute(obj, name):
    value = obj.attrs[name]
    return value.decode() if isinstance(value, bytes) else value


class Capture:
    """What does not depend on the layer."""

    def __init__(self, path):
        self.path = path
        with h5py.File(path, "r") as f:
            if attribute(f, "schema") != "gyre-capture" or attribute(f, "order") != "native":
                raise Unusable("%s is not a capture in native order" % path)
            self.model, self.model_sha256 = attribute(f, "model_name"), attribute(f, "model_sha256")
            self.documents = list(f["document"].asstr()[()])
            self.layers = [int(n) for n in f["layer"][()]]
        n = max(1, len(self.documents) // 4)
        self.calibration, self.evaluation = list(range(n)), list(range(n, len(self.documents)))

    def use_split(self, calibration, evaluation):
        self.calibration = [self.documents.index(name) for name in calibration]
        self.evaluation = [self.documents.index(name) for name in evaluation]


class Layer:
    """One layer of a capture: rows as [head, document, token, d] in double precision, and what attention is without any coding."""

    def __init__(self, capture, number, facts_only=False):
        self.number = number
        with h5py.File(capture.path, "r") as f:
            g = f["layer_%02d" % number]
            self.dim, self.n_heads = g["k"].shape[3], g["k"].shape[2]
            factors = g["rope_factors"][()] if "rope_factors" in g else None
            self.rope = Rope(attribute(g, "rope_kind"), int(g.attrs["rope_n_rot"]), float(g.attrs["rope_base"]), float(g.attrs["rope_freq_scale"]),
                             float(g.attrs["rope_ext_factor"]), float(g.attrs["rope_attn_factor"]), factors)
            self.bias = g["k_bias"][()].astype(F64) if "k_bias" in g else None
            if facts_only:
                return
            self.score_scale, self.window = float(g.attrs["score_scale"]), int(g.attrs["sliding_window"])
            ev, cal = capture.evaluation, capture.calibration
            rows = {s: np.ascontiguousarray(g[s][()].astype(F64).transpose(2, 0, 1, 3)) for s in STREAMS}
            self.rows = {s: np.ascontiguousarray(rows[s][:, ev]) for s in STREAMS}
            self.calibration = {s: np.ascontiguousarray(rows[s][:, cal]) for s in STREAMS}
            pos = f["pos"][()]
            self.pos, self.pos_calibration = pos[ev], pos[cal]
            self.energy = {s: (self.rows[s] ** 2).sum((2, 3)) for s in STREAMS}
            mean = {s: self.rows[s].mean((1, 2), keepdims=True) for s in STREAMS}
            self.energy_centred = {s: ((self.rows[s] - mean[s]) ** 2).sum((2, 3)) for s in STREAMS}
            self.prefixes = collections.OrderedDict()
            self.heads = []
            if "q" in g:
                q, owner = g["q"][()][ev].astype(F64), g["kv_head_of"][()]
                self.heads = [Attention(self, h, q[:, :, owner == h], f["query_pos"][()][ev]) for h in range(self.n_heads)]
