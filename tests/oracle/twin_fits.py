"""Fits: what a results file says was learned or chosen, and the objectives computed again."""
import collections

import numpy as np

from twin_chains import alternatives, calibration_rows, chain_matrix, fit_quantizer, forward, query_moments
from twin_codecs import learns
from twin_common import F64, STREAMS, Unusable
from twin_learned import LEARNED, start
from twin_quantizers import quantize
from twin_streams import ALL_HEADS, Draw

TRACKED = 4096  # rows a head of a point of the curve


class Found(collections.namedtuple("Found", "draw parameters")):
    """What one fit found; parameters as bytes, so that a codec with it can be a key."""

    def theta(self):
        return np.frombuffer(self.parameters, np.float32).astype(F64)


# one row of /fits
Record = collections.namedtuple("Record", "index cell stream pooled head draw restart step freedom parameters start end points")


def read_records(f):
    """(cell, stream) -> rows of /fits, in order; faults of the table itself."""
    g = f["fits"]
    names = ("cell", "pooled", "head", "draw", "restart", "step", "freedom", "start_calibration", "start_validation", "n_parameters", "parameters_offset", "points_offset", "n_points", "end_calibration", "end_validation")
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
        record = Record(i, int(row["cell"]), stream, bool(row["pooled"]), int(row["head"]), int(row["draw"]), int(row["restart"]), int(row["step"]), int(row["freedom"]),
                        parameters[offset:offset + count], (row["start_calibration"], row["start_validation"]), (row["end_calibration"], row["end_validation"]), curve)
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
        self.unit = (calibration_rows(layer, stream, codec).rows[heads] ** 2).sum(-1).mean()

    def coded(self, rows, pos):
        """(y, decoded rows) of rows [every head, ...]."""
        y = rows
        for step in self.end.steps:
            y = step.there(y, pos)
        return y, self.back(quantize(y, self.quantizer, self.stream).astype(F64), pos)

    def back(self, y, pos):
        for step in reversed(self.end.steps):
            y = step.back(y, pos)
        return y

    def documents(self, calibrates):
        """(part, rows, positions) that count; None where there are none."""
        if calibrates:
            c = calibration_rows(self.layer, self.stream, self.codec)
            part, rows, pos = c.part, c.rows, c.pos
        else:
            part = self.layer.parts.get("evaluation" if self.codec.fit.leak else "validation")
            if part is None:
                return None
            rows, pos = part.rows[self.stream], part.pos
        if self.name == "softmax_kl":  # whole documents
            n = self.codec.fit.tokens
            count = len(part.pos) if not calibrates or n is None else min(len(part.pos), -(-n // part.pos.shape[1]))
            rows, pos = part.rows["k"][:, :count], part.pos[:count]
        return part, rows, pos

    def value(self, calibrates):
        documents = self.documents(calibrates)
        if documents is None:
            return np.nan
        part, rows, pos = documents
        y, x = self.coded(rows, pos)
        if self.name in ("absmax", "pnorm", "kurtosis"):
            return self.of_rows(y[self.heads])
        if self.name == "softmax_kl":
            return np.mean([self.divergence(part, h, n, x[h, n]) for h in range(self.layer.n_heads)[self.heads] for n in range(rows.shape[1])])
        return self.costs(part, rows, pos, calibrates)(x - rows).sum()

    def nearest(self, calibrates, stated):
        """The value that roundings which binary32 leaves undecided bring nearest to what is stated, and how many are turned over: one at a time, each by its own change of the value."""
        part, rows, pos = self.documents(calibrates)
        y, x = self.coded(rows, pos)
        value, turned, inside = self.value(calibrates), 0, range(self.layer.n_heads)[self.heads]
        changes, costs = [], None if self.name == "softmax_kl" else self.costs(part, rows, pos, calibrates)
        base = None if costs is None else costs(x - rows)
        for other, differs in alternatives(rows, y, self.quantizer, self.stream, self.end.gain, lambda z: self.back(z, pos)):
            if costs is not None:
                changes += list((costs(other - rows) - base)[differs[self.heads]])
                continue
            for h, n, t in zip(*np.nonzero(differs)):
                if h in inside:
                    changed = x[h, n].copy()
                    changed[t] = other[h, n, t]
                    changes.append((self.divergence(part, h, n, changed) - self.divergence(part, h, n, x[h, n])) / (len(inside) * rows.shape[1]))
        while changes:
            best = min(changes, key=lambda change: abs(value + change - stated))
            if not abs(value + best - stated) < abs(value - stated):
                break
            value, turned = value + best, turned + 1
            changes.remove(best)
        return value, turned

    def costs(self, part, rows, pos, calibrates):
        """A function of errors: what each row adds to the value."""
        h = self.heads
        count = rows[h].size // rows.shape[-1]
        if self.name == "mse":
            return lambda error: (error[h] ** 2).sum(-1) / (self.unit * count)
        if self.name == "logit":
            return self.logit(part, pos, count)
        w = self.attention_weights(part, calibrates)
        energy = (w * (rows[h] ** 2).sum(-1)).sum()
        return lambda error: w * (error[h] ** 2).sum(-1) / energy

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

    def logit(self, part, pos, count):
        """Errors as they are behind unrope where the chain begins with it, for pairs of the calibration documents."""
        begins = bool(self.codec.chain) and self.codec.chain[0].name == "unrope"
        steps = self.end.steps[:2 if begins else 1]
        pairs = calibration_rows(self.layer, self.stream, self.codec).part
        m = query_moments(self.layer, pairs, self.codec, steps)[self.heads] * pairs.score_scale ** 2

        def cost(error):
            for step in steps:
                error = step.there(error, pos)  # linear, both: an error goes through as a row does
            error = error[self.heads]
            return ((error @ m[:, None]) * error).sum(-1) / count
        return cost

    def attention_weights(self, part, calibrates):
        w = []
        for h in range(self.layer.n_heads)[self.heads]:
            p = part.attention(h).p
            w.append((p ** 2).sum(1))
        w, n = np.stack(w), self.codec.fit.tokens
        if calibrates and n is not None and n < part.pos.size:
            w = w.reshape(len(w), 1, -1)[..., np.arange(n) * part.pos.size // n]
        return w

    def divergence(self, part, h, n, keys):
        return part.attention(h).documents[n].measure(keys, None)["softmax_kl"]


# ---- check ----

OBJECTIVE = 1e-4  # relative


def off(stated, own):
    """The deviation as a share of what is allowed."""
    if np.isnan(stated) and np.isnan(own):
        return 0.0
    deviation = abs(stated - own)
    return deviation / (OBJECTIVE * abs(own)) if deviation == deviation else np.inf


def judged(judge, what, stated, calibrates):
    """(what, stated, own, roundings turned over)."""
    own, turned = judge.value(calibrates), 0
    if 1 < off(stated, own) < np.inf and judge.name not in ("absmax", "pnorm", "kurtosis"):
        own, turned = judge.nearest(calibrates, stated)
    return what, stated, own, turned


def start_found(layer, codec, stream, seed, campaign_seed, head, restart):
    """What the fit of a head (or of all) starts from; calibration rows reach each element through what those before it start as."""
    theta = np.empty(0, np.float32)
    for i, e in enumerate(codec.chain):
        if e.learn:
            most = None
            if e.name == "scale":
                one = Found(0, theta.tobytes())
                before = codec._replace(chain=codec.chain[:i], found=(one,) * (1 if e.per == "layer" else layer.n_heads))
                c = np.abs(forward(before, layer, stream, seed, campaign_seed, True).calibration.rows)
                most = c.max((0, 1, 2)) if e.per == "layer" else c[head].max((0, 1))
            draw = Draw(campaign_seed, seed, layer.number, ALL_HEADS if e.per == "layer" else head, e.ordinal, STREAMS.index(stream))
            theta = np.concatenate([theta, start(layer.dim, e, draw, restart, most)])
    clip = [codec.quantizer.clip] if codec.quantizer.learn else []
    return Found(0, np.concatenate([theta, np.array(clip, np.float32)]).tobytes())


def judge_fits(layer, codec, stream, seed, campaign_seed, records):
    """Yields (record, [(what, stated, own, roundings turned over)], fault or None)."""
    if codec.fit.draws > 1:
        yield judge_draws(layer, codec, stream, seed, campaign_seed, records[0])
        return
    for r in records:
        judge = Judge(codec, layer, stream, seed, campaign_seed, slice(None) if r.pooled else slice(r.head, r.head + 1))
        values = [judged(judge, "end_calibration", r.end[0], True), judged(judge, "end_validation", r.end[1], False)]
        heads = [0] if r.pooled else range(layer.n_heads)  # every head starts: the fit of one has its own
        begun = codec._replace(found=tuple(start_found(layer, codec, stream, seed, campaign_seed, head, r.restart) for head in heads))
        judge = Judge(begun, layer, stream, seed, campaign_seed, judge.heads)
        values += [judged(judge, "start_calibration", r.start[0], True), judged(judge, "start_validation", r.start[1], False)]
        fault, own = None, begun.found[0 if r.pooled else r.head].theta()
        if r.step == 0 and np.abs(own - r.parameters).max() > 2e-6 * max(1.0, np.abs(own).max()):
            fault = "step 0 was chosen, and its parameters are off by %.3g" % np.abs(own - r.parameters).max()
        yield r, values, fault


def judge_draws(layer, codec, stream, seed, campaign_seed, record):
    """Every draw's objective, the least of them, and the end of the chosen one."""
    if list(record.points[0]) != list(range(codec.fit.draws)):
        return record, [], "points of draws %s" % list(record.points[0])
    judges = [Judge(codec._replace(found=(Found(draw, b""),)), layer, stream, seed, campaign_seed, slice(None)) for draw in range(codec.fit.draws)]
    values = [judge.value(True) for judge in judges]
    tracked = calibration_rows(layer, stream, codec).pos.size <= TRACKED
    pairs = [judged(judge, "draw %d" % i, stated, True) for i, (judge, stated) in enumerate(zip(judges, record.points[1])) if tracked]
    pairs += [judged(judges[0], "start_calibration", record.start[0], True), judged(judges[0], "start_validation", record.start[1], False)]
    pairs += [judged(judges[record.draw], "end_calibration", record.end[0], True), judged(judges[record.draw], "end_validation", record.end[1], False)]
    best, chosen = min(values), values[record.draw]
    fault = None if chosen <= best * (1 + OBJECTIVE) else "draw %d was chosen (%.6g), draw %d is better (%.6g)" % (record.draw, chosen, int(np.argmin(values)), best)
    return record, pairs, fault
