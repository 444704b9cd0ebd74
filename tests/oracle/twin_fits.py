"""Fits: what a results file says was learned or chosen, and the objectives computed again."""
import collections

import numpy as np

from twin_chains import calibration_rows, chain_matrix, decode, fit_quantizer, forward, query_moments
from twin_codecs import learns
from twin_common import F64, STREAMS, Unusable
from twin_learned import LEARNED
from twin_quantizers import is_fitted

TRACKED = 4096  # rows a head of a point of the curve


class Found(collections.namedtuple("Found", "draw parameters")):
    """What one fit found; parameters as bytes, so that a codec with it can be a key."""

    def theta(self):
        return np.frombuffer(self.parameters, np.float32).astype(F64)


# one row of /fits
Record = collections.namedtuple("Record", "index cell stream pooled head draw step freedom parameters end points")


def read_records(f):
    """(cell, stream) -> rows of /fits, in order; faults of the table itself."""
    g = f["fits"]
    names = ("cell", "pooled", "head", "draw", "step", "freedom", "n_parameters", "parameters_offset", "points_offset", "n_points", "end_calibration", "end_validation")
    streams, columns = list(g["stream"].asstr()[()]), {name: g[name][()] for name in names}
    parameters, points = g["parameters"][()], [g[name][()] for name in ("point_step", "point_calibration", "point_validation")]
    records, faults, place = collections.OrderedDict(), [], 0
    for i, stream in enumerate(streams):
        row = {name: column[i] for name, column in columns.items()}
        count, offset, at = int(row["n_parameters"]), int(row["parameters_offset"]), int(row["points_offset"])
        if offset != place or offset + count > len(parameters):
            faults.append("parameters of fit %d are not behind those before" % i)
        place = offset + count
        curve = [column[at:at + int(row["n_points"])] for column in points]
        record = Record(i, int(row["cell"]), stream, bool(row["pooled"]), int(row["head"]), int(row["draw"]), int(row["step"]), int(row["freedom"]),
                        parameters[offset:offset + count], (row["end_calibration"], row["end_validation"]), curve)
        records.setdefault((record.cell, stream), []).append(record)
    if place != len(parameters):
        faults.append("%d parameters belong to no fit" % (len(parameters) - place))
    return records, faults


def has_fits(codec):
    return learns(codec) or codec.fit.draws > 1


def expected(codec, dim):
    """(pooled, parameters, degrees of freedom) of the fits of a codec."""
    learned = [e for e in codec.chain if e.learn]
    pooled = not any(e.per == "head" for e in learned)
    clip = int(bool(codec.quantizer.learn))
    return pooled, sum(LEARNED[e.name].count(dim, e) for e in learned) + clip, sum(LEARNED[e.name].freedom(dim, e) for e in learned) + clip


def attach(codec, records, dim, n_heads):
    """(the codec with what was found, faults)."""
    pooled, count, freedom = expected(codec, dim)
    heads, faults = [0] if pooled else list(range(n_heads)), []
    if [r.head for r in records] != heads or any(r.pooled != pooled for r in records):
        raise Unusable("fits of heads %s, %s expected" % ([r.head for r in records], heads))
    for r in records:
        if len(r.parameters) != count or not np.isfinite(r.parameters).all():
            raise Unusable("fit %d has %d parameters, %d finite ones expected" % (r.index, len(r.parameters), count))
        if r.freedom != freedom:
            faults.append("fit %d: %d degrees of freedom, %d expected" % (r.index, r.freedom, freedom))
        if r.draw >= codec.fit.draws:
            faults.append("fit %d: draw %d of %d" % (r.index, r.draw, codec.fit.draws))
    return codec._replace(found=tuple(Found(r.draw, r.parameters.tobytes()) for r in records)), faults


# ---- objectives ----

class Judge:
    """The objective of a codec over documents of a part, heads [first, last). rows: what counts, [head, document, token, d], at positions pos."""

    def __init__(self, codec, layer, stream, seed, campaign_seed, heads):
        self.codec, self.layer, self.stream, self.heads = codec, layer, stream, heads
        self.end = forward(codec, layer, stream, seed, campaign_seed, True)
        self.quantizer = fit_quantizer(codec, codec.quantizer, self.end)
        self.name, options = codec.fit.objective
        self.options = dict(options)
        all_rows = calibration_rows(layer, stream, codec._replace(fit=codec.fit._replace(tokens=None))).rows[heads]
        used = calibration_rows(layer, stream, codec).rows[heads]
        self.unit = (used ** 2).sum(-1).mean()
        self.unit_all = (all_rows ** 2).sum(-1).mean()

    def coded(self, rows, pos):
        """(y, decoded rows) of rows [every head, ...]."""
        y = rows
        for step in self.end.steps:
            y = step.there(y, pos)
        x = decode(y, self.quantizer, self.stream, [lambda z, back=step.back: back(z, pos) for step in reversed(self.end.steps)])
        return y, x

    def calibration(self):
        c = calibration_rows(self.layer, self.stream, self.codec)
        return self.value(c.part, c.rows, c.pos, True)

    def validation(self):
        part = self.layer.parts.get("evaluation" if self.codec.fit.leak else "validation")
        return np.nan if part is None else self.value(part, part.rows[self.stream], part.pos, False)

    def value(self, part, rows, pos, calibrates):
        if self.name == "softmax_kl":
            return self.divergence(part, calibrates)
        y, x = self.coded(rows, pos)
        h = self.heads
        if self.name in ("absmax", "pnorm", "kurtosis"):
            return self.of_rows(y[h])
        error = x[h] - rows[h]
        if self.name == "mse":
            return (error ** 2).sum(-1).mean() / self.unit
        if self.name == "logit":
            return self.logit(error, pos)
        w = self.attention_weights(part, calibrates)
        return (w * (error ** 2).sum(-1)).sum() / (w * (rows[h] ** 2).sum(-1)).sum()

    def of_rows(self, y):
        if self.name == "kurtosis":
            square = (y ** 2).sum(-1)
            return np.where(square == 0, 1.0, y.shape[-1] * (y ** 4).sum(-1) / np.where(square == 0, 1.0, square) ** 2).mean()
        back = np.linalg.inv(chain_matrix(self.end.steps, self.layer.dim))
        cost = (back ** 2).sum(1)[self.heads if len(back) > 1 else slice(None)] / self.unit  # diagonal of M^-T M^-1
        g = np.abs(y).reshape(y.shape[:-1] + (-1, (self.quantizer.group if self.quantizer.name in ("sym", "asym") else None) or y.shape[-1]))
        if self.name == "absmax":
            size = g.max(-1)
        else:
            size = (g ** self.options["p"]).sum(-1) ** (1 / self.options["p"])
        return (size ** 2 * cost.reshape(len(cost), 1, 1, g.shape[-2], -1).sum(-1)).sum(-1).mean()

    def logit(self, error, pos):
        """Errors as they are behind unrope where the chain begins with it, for pairs of the calibration documents."""
        begins = bool(self.codec.chain) and self.codec.chain[0].name == "unrope"
        steps = self.end.steps[:2 if begins else 1]
        for step in steps:
            error = step.there(error, pos)  # linear, both: an error goes through as a row does
        part = calibration_rows(self.layer, self.stream, self.codec).part
        m = query_moments(self.layer, part, self.codec, steps)[self.heads] * part.score_scale ** 2
        return np.einsum("hnti,hij,hntj->hnt", error, m, error).mean()

    def attention_weights(self, part, calibrates):
        w = []
        for h in range(self.layer.n_heads)[self.heads]:
            p = part.attention(h).p
            w.append((p ** 2).sum(1))
        w, n = np.stack(w), self.codec.fit.tokens
        if calibrates and n is not None and n < part.pos.size:
            w = w.reshape(len(w), 1, -1)[..., np.arange(n) * part.pos.size // n]
        return w

    def divergence(self, part, calibrates):
        """Whole documents."""
        n = self.codec.fit.tokens
        documents = len(part.pos) if not calibrates or n is None else min(len(part.pos), -(-n // part.pos.shape[1]))
        _, x = self.coded(part.rows["k"], part.pos)
        return np.mean([attention.documents[n].measure(x[h, n], None)["softmax_kl"]
                        for h in range(self.layer.n_heads)[self.heads] for attention in [part.attention(h)] for n in range(documents)])


# ---- check ----

OBJECTIVE = 1e-4  # relative


def judge_fits(layer, codec, stream, seed, campaign_seed, records):
    """Yields (record, [(what, stated, own)], fault or None)."""
    if codec.fit.draws > 1:
        yield judge_draws(layer, codec, stream, seed, campaign_seed, records[0])
        return
    for r in records:
        judge = Judge(codec, layer, stream, seed, campaign_seed, slice(None) if r.pooled else slice(r.head, r.head + 1))
        yield r, [("end_calibration", r.end[0], judge.calibration()), ("end_validation", r.end[1], judge.validation())], None


def judge_draws(layer, codec, stream, seed, campaign_seed, record):
    """Every draw's objective, the least of them, and the end of the chosen one."""
    pairs, judges = [], []
    for draw in range(codec.fit.draws):
        judges.append(Judge(codec._replace(found=(Found(draw, b""),)), layer, stream, seed, campaign_seed, slice(None)))
    values = [judge.calibration() for judge in judges]
    c = calibration_rows(layer, stream, codec)
    if list(record.points[0]) != list(range(codec.fit.draws)):
        return record, [], "points of draws %s" % list(record.points[0])
    if c.pos.size <= TRACKED:
        pairs += [("draw %d" % i, stated, own) for i, (stated, own) in enumerate(zip(record.points[1], values))]
    best, chosen = min(values), values[record.draw]
    fault = None if chosen <= best * (1 + OBJECTIVE) else "draw %d was chosen (%.6g), draw %d is better (%.6g)" % (record.draw, chosen, int(np.argmin(values)), best)
    return record, pairs + [("end_calibration", record.end[0], chosen), ("end_validation", record.end[1], judges[record.draw].validation())], fault
