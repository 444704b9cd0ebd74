"""Attention, the metrics, and how far Gyre may be from them."""
import copy

import numpy as np

from twin_common import F64, ROUNDING, STREAMS


class Attention:
    """The exact attention of one KV head: everything as [document, query head * query, ...]."""

    def __init__(self, layer, head, q, query_pos):
        n_docs, n_queries, self.n_group, d = q.shape
        self.n_queries = n_queries
        self.q = layer.score_scale * q.transpose(0, 2, 1, 3).reshape(n_docs, -1, d)
        query_pos = np.tile(query_pos, (1, self.n_group))[:, :, None]
        pos = layer.pos[:, None, :]
        seen = (pos <= query_pos) & ((layer.window == 0) | (pos > query_pos - layer.window))
        self.weight = seen / seen.sum(-1, keepdims=True)
        self.hidden = np.where(seen, 0.0, -np.inf)
        self.place = (pos <= query_pos).sum(-1) - 1  # of the newest key that a query sees
        self.v = layer.rows["v"][head]
        self.scores = self.q @ layer.rows["k"][head].transpose(0, 2, 1)
        self.p, self.log_sum, self.top = self.softmax(self.scores + self.hidden)
        self.out = self.p @ self.v
        self.out_energy = (self.out ** 2).sum(-1)
        # size of the scores, for the rounding floors: |q| |k| without the cosine
        size = np.sqrt((self.q ** 2).sum(-1).mean() * (layer.rows["k"][head] ** 2).sum(-1).mean())
        self.score_noise = ROUNDING * size
        self.documents = [self.document(n) for n in range(n_docs)]

    def document(self, n):
        """The same for document n alone: what is measured at a time, so that it stays in the cache."""
        one = copy.copy(self)
        for name in ("q", "place", "weight", "hidden", "v", "scores", "p", "log_sum", "top", "out", "out_energy"):
            setattr(one, name, getattr(self, name)[n])
        return one

    @staticmethod
    def softmax(s):
        """Probabilities, log of the sum, first largest; s is overwritten."""
        top = s.argmax(-1)
        high = np.take_along_axis(s, top[..., None], -1)
        s -= high
        np.exp(s, out=s)
        total = s.sum(-1, keepdims=True)
        s /= total
        return s, (high + np.log(total))[..., 0], top

    def output_error(self, out):
        lost = out - self.out
        lost = np.einsum("qi,qi->q", lost, lost).reshape(self.n_group, self.n_queries).sum(1)
        return (lost / self.out_energy.reshape(self.n_group, self.n_queries).sum(1)).sum() / self.n_group

    def by_place(self, x, rows):
        """Every query's x times the rows [token, d] that its place sees. rows: place -> rows."""
        out = np.empty((len(x), rows[self.place[0]].shape[1]))
        for place in np.unique(self.place):
            out[self.place == place] = x[self.place == place] @ rows[place]
        return out

    def measure(self, k, v):
        """Metrics of one document's decoded keys and values [token, d], or of those that each place sees (place -> [token, d]); None: untouched. The mean over queries, then over query heads."""
        def times(x, rows):
            return self.by_place(x, rows) if isinstance(rows, dict) else x @ rows
        if k is None:
            return {"output_error": self.output_error(times(self.p, v))}
        s = times(self.q, {place: rows.T for place, rows in k.items()} if isinstance(k, dict) else k.T)
        e = s - self.scores
        mean = np.einsum("qt,qt->q", e, self.weight)
        moved = np.einsum("qt,qt->q", e, self.p)
        e -= mean[:, None]
        e *= e
        spread = np.einsum("qt,qt->q", e, self.weight)
        s += self.hidden
        p, log_sum, top = self.softmax(s)
        found = {"logit_error": np.sqrt(spread), "softmax_kl": log_sum - self.log_sum - moved, "flip": (top != self.top).astype(F64)}
        found = {name: x.sum() / x.size for name, x in found.items()}  # every query head has the same number of queries
        found["output_error"] = self.output_error(times(p, self.v if v is None else v))
        return found


class Answer:
    """What the twin says of one cell: bits, metrics [document, head], and the slack of the vector metrics' numerators."""

    def __init__(self, bits, values, slack):
        self.bits, self.values, self.slack = bits, values, slack


def measure(layer, rows, numerators, slacks):
    """rows: stream -> decoded rows [head, document, token, d] of the coded streams, or place -> those that it sees."""
    energy = sum(layer.energy[s] for s in rows)
    centred = sum(layer.energy_centred[s] for s in rows)
    numerator = sum(numerators[s] for s in rows)
    # |q + f|^2 - |q|^2 where f is the rows' rounding, ROUNDING of their size and independent of the quantization error q
    count = len(rows) * layer.pos.shape[1] * layer.dim
    slack = sum(slacks[s] for s in rows) + ROUNDING ** 2 * energy + 2 * ROUNDING * np.sqrt(numerator * energy / count)
    values = {"nmse": (numerator / energy).T, "nmse_centred": (numerator / centred).T}
    slack = {"nmse": (slack / energy).T, "nmse_centred": (slack / centred).T}
    if layer.heads and rows:
        def unit(s, h, n):
            if isinstance(rows.get(s), dict):
                return {place: x[h, n] for place, x in rows[s].items()}
            return rows[s][h, n] if s in rows else None
        found = [[a.documents[n].measure(*(unit(s, h, n) for s in STREAMS)) for h, a in enumerate(layer.heads)] for n in range(layer.pos.shape[0])]
        for name in found[0][0]:
            values[name] = np.array([[m[name] for m in heads] for heads in found])
        noise = np.sqrt(np.mean([a.score_noise ** 2 for a in layer.heads]))
        slack["logit_error"], slack["softmax_kl"], slack["output_error"] = noise, noise ** 2, noise ** 2 + ROUNDING ** 2
    return values, slack


# ---- budgets ----

class Budget:
    """Agreement of Gyre (binary32 rows) with the twin (double). unit: relative, of each document and head. cell: of the mean over units."""
    unit = {"nmse": 1e-5, "nmse_centred": 1e-5}
    cell = {"logit_error": 1e-4, "softmax_kl": 1e-3, "output_error": 1e-3}
    cell_absolute = {"flip": 5e-3}
    bits = 4 * 2.0 ** -52  # of the value: the order in which doubles are added and divided


def allowance(name, answer):
    """What the mean over units of an attention metric may be off by."""
    if name in Budget.cell_absolute:
        return Budget.cell_absolute[name]
    return Budget.cell[name] * abs(np.mean(answer.values[name])) + answer.slack.get(name, 0.0)


def compare(name, gyre, answer):
    """Yields (what, deviation, allowed) for one metric of one cell, arrays [document, head]."""
    twin = answer.values[name]
    if name in Budget.unit:
        yield "unit", np.abs(gyre - twin), Budget.unit[name] * np.abs(twin) + answer.slack[name]
        return
    allowed = allowance(name, answer)
    yield "mean", np.abs(np.mean(gyre) - np.mean(twin)), allowed
    # one unit alone cannot be further off than what would spend the whole budget of the mean: finds exchanged documents or heads
    yield "unit", np.abs(gyre - twin), allowed * twin.size
