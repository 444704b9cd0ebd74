"""Captures: rows, positions and rotary embedding of a layer."""
import collections

import h5py
import numpy as np

from twin_common import F64, STREAMS, Unusable
from twin_metrics import Attention
from twin_transforms import rope_tables

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
        self.use_default_split(False)

    def use_default_split(self, learns):
        n = max(1, len(self.documents) // 4)
        chosen = n - max(1, n // 4) if learns and n > 1 else n
        self.calibration, self.validation, self.evaluation = list(range(chosen)), list(range(chosen, n)), list(range(n, len(self.documents)))

    def use_split(self, calibration, validation, evaluation):
        self.calibration, self.validation, self.evaluation = ([self.documents.index(name) for name in names] for names in (calibration, validation, evaluation))


class Part:
    """Some documents of a layer: rows as [head, document, token, d] in double precision, positions, and queries as [document, query, query head, d]."""

    def __init__(self, layer, f, g, documents):
        self.score_scale, self.window = layer.score_scale, layer.window
        self.rows = {s: np.ascontiguousarray(g[s][()][documents].astype(F64).transpose(2, 0, 1, 3)) for s in STREAMS}
        self.pos = f["pos"][()][documents]
        self.owner, self.q, self.query_pos = None, None, None
        if "q" in g:
            self.owner, self.q, self.query_pos = g["kv_head_of"][()], g["q"][()][documents].astype(F64), f["query_pos"][()][documents]
        self.made = {}

    def attention(self, head):
        if head not in self.made:
            self.made[head] = Attention(self, head, self.q[:, :, self.owner == head], self.query_pos)
        return self.made[head]

    def seen(self):
        """[document, query, token]: does the query see the key?"""
        at, pos = self.query_pos[:, :, None], self.pos[:, None, :]
        return (pos <= at) & ((self.window == 0) | (pos > at - self.window))


class Layer:
    """One layer of a capture: its documents by what they are for, the rows that are judged, and what attention is without any coding."""

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
            self.parts = {name: Part(self, f, g, getattr(capture, name)) for name in ("evaluation", "calibration", "validation") if getattr(capture, name)}
            ev = self.parts["evaluation"]
            self.rows, self.pos = ev.rows, ev.pos
            self.energy = {s: (self.rows[s] ** 2).sum((2, 3)) for s in STREAMS}
            mean = {s: self.rows[s].mean((1, 2), keepdims=True) for s in STREAMS}
            self.energy_centred = {s: ((self.rows[s] - mean[s]) ** 2).sum((2, 3)) for s in STREAMS}
            self.prefixes = collections.OrderedDict()
            self.heads = []
            if ev.q is not None:
                self.heads = [ev.attention(h) for h in range(self.n_heads)]
            self.tables = {}

    def rope_tables(self, pos):
        key = pos.tobytes()
        if key not in self.tables:
            self.tables[key] = rope_tables(self.rope, pos)
        return self.tables[key]
