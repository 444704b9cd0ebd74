"""Rows through chain, quantizer and back; and the roundings on the way that binary32 leaves undecided."""
import collections

import numpy as np

from twin_codecs import bits_per_value, coded_rows, element_fits, element_seeded, keeps_rows
from twin_common import F32, F64, ROUNDING, STREAMS
from twin_learned import LEARNED
from twin_metrics import Answer, Budget, allowance, measure
from twin_quantizers import KINDS, TOGETHER, code_grid, fitted, is_fitted, narrow_scale, quantize
from twin_streams import ALL_HEADS, Draw, signs
from twin_transforms import DRAWN, FIXED, half_split, pca_matrix, rope_pairs, rotate, wush_matrices, zigzag

# ---- chains ----

# there, back: of rows [head, document, token, d] and their positions; gain: what it multiplies a coordinate by, beside rotations; matrix: [head or 1, d, d], None for
# what a query's moments and a weight of errors do not see (a shift, a rotation of each position)
Step = collections.namedtuple("Step", "there back gain matrix orthogonal", defaults=(True,))
# rows: of calibration, as they reach a place; pos: of the same; part: all documents that they are of; matrices: of the steps before
Calibration = collections.namedtuple("Calibration", "rows pos part")
# x: evaluation rows through the chain; inverses of evaluation rows, in the order in which they are applied; gain per coordinate; calibration rows through the chain, or None
Through = collections.namedtuple("Through", "x inverses gain calibration steps")


def linear(m, back=None, gain=1.0):
    """The step of matrices m [head or 1, d, d]; back None: orthogonal."""
    there, inverse = m.swapaxes(1, 2), m if back is None else back.swapaxes(1, 2)
    return Step(lambda x, pos: through(x, there), lambda y, pos: through(y, inverse), gain, m, back is None)


def diagonal(scale, signs_only=False):
    """Of [head or 1, 1, 1, d]."""
    return Step(lambda x, pos: x * scale, lambda y, pos: y / scale, 1.0 if signs_only else scale, scale[:, 0] * np.eye(scale.shape[-1]), signs_only)


def make_step(e, layer, stream, codec, seed, campaign_seed, c, steps):
    d, h = layer.dim, layer.n_heads
    heads = [ALL_HEADS] if e.per == "layer" else range(h)
    chosen = codec.found[0].draw if codec.found else 0
    draws = [Draw(campaign_seed, seed, layer.number, head, e.ordinal, STREAMS.index(stream), chosen) for head in heads]
    if e.learn:
        return learned_step(e, d, codec, draws)
    if e.name == "signs":
        return diagonal(np.stack([signs(d, draw) for draw in draws])[:, None, None, :], True)
    if e.name in FIXED:
        return linear(FIXED[e.name](d, e)[None])
    if e.form == "zigzag":
        return linear(np.stack([np.eye(d)[zigzag(row, e.size)] for row in largest(c.rows, e.per).reshape(-1, d)]))
    if e.name in DRAWN:
        return linear(np.stack([DRAWN[e.name](d, e, draw) for draw in draws]))
    if e.name == "unrope":
        pairs = rope_pairs(layer.rope, codec.order)
        return Step(lambda x, pos: rotate(x, layer.rope_tables(pos), pairs, 1), lambda y, pos: rotate(y, layer.rope_tables(pos), pairs, -1), 1.0, None)
    if e.name == "centre":
        if e.by == "bias":
            m = layer.bias[:, permutation(layer, stream, codec.order)][:, None, None, :]
        else:
            m = c.rows.mean((1, 2) if e.per == "head" else (0, 1, 2), keepdims=True).astype(F32).astype(F64)
        return Step(lambda x, pos: x - m, lambda y, pos: y + m, 1.0, None)
    if e.name in ("scale", "smooth"):
        high = largest(c.rows, e.per)
        if e.form == "true":
            high = np.maximum(high, np.roll(high, d // 2, -1))
        safe = np.where(high == 0, F32(1), high)
        return diagonal((F32(1) / safe if e.name == "scale" else (safe.astype(F64) ** -e.size).astype(F32)).astype(F64))
    pooled = c.rows.reshape(1, -1, d) if e.per == "layer" else c.rows.reshape(h, -1, d)
    if e.name == "pca":
        return linear(np.stack([pca_matrix(rows) for rows in pooled]))
    if e.name == "wush":
        s_k = np.einsum("hni,hnj->hij", pooled, pooled) / pooled.shape[1]
        s_q = [None] * len(pooled)
        if stream == "k":
            s_q = query_moments(layer, c.part, codec, steps)
            s_q = s_q.mean(0, keepdims=True) if e.per == "layer" else s_q
        there, back = zip(*(wush_matrices(e, *moments) for moments in zip(s_k, s_q)))
        return linear(np.stack(there), np.stack(back), np.linalg.norm(np.stack(there), axis=(1, 2), ord=2).reshape(-1, 1, 1, 1))
    raise AssertionError(e.name)


def learned_step(e, d, codec, draws):
    """Of what the fits found: one for all heads, or one a head."""
    kind, before = LEARNED[e.name], [other for other in codec.chain[:e.ordinal] if other.learn]
    place = sum(LEARNED[other.name].count(d, other) for other in before)
    m = np.stack([kind.matrix(d, e, found.theta()[place:place + kind.count(d, e)], draw) for found, draw in zip(codec.found, draws)])
    if e.name == "scale":
        return diagonal(np.diagonal(m, axis1=1, axis2=2)[:, None, None, :])
    if kind.orthogonal or e.form != "invertible":
        return linear(m)
    return linear(m, np.linalg.inv(m), np.linalg.norm(m, axis=(1, 2), ord=2).reshape(-1, 1, 1, 1))


def chain_matrix(steps, d):
    """The product of the steps' matrices, [head or 1, d, d]."""
    m = np.eye(d)[None]
    for step in steps:
        m = m if step.matrix is None else step.matrix @ m
    return m


def query_moments(layer, part, codec, steps):
    """[head, d, d]: the mean of u u' over a query of the head's query heads and a key that it sees, at the place behind these steps."""
    order, pairs = permutation(layer, "k", codec.order), rope_pairs(layer.rope, codec.order)
    unroped = any(e.name == "unrope" for e in codec.chain[:len(steps) - 1])
    weights, q = part.seen().astype(F64), part.q[..., order]
    m = np.zeros((layer.n_heads, layer.dim, layer.dim))
    for h in range(layer.n_heads):
        own, count = q[:, :, part.owner == h], 0.0
        for n in range(len(own)):
            if not unroped:
                m[h] += np.einsum("qgi,qgj,q->ij", own[n], own[n], weights[n].sum(1))
            else:
                cos, sin = layer.rope_tables(part.pos[n:n + 1])
                for at, seen in zip(own[n], weights[n] > 0):
                    u = rotate(np.repeat(at[:, None], seen.sum(), 1), (cos[0, seen], sin[0, seen]), pairs, 1).reshape(-1, layer.dim)
                    m[h] += u.T @ u
            count += weights[n].sum() * own.shape[2]
        m[h] /= count
    back = np.linalg.inv(chain_matrix(steps, layer.dim))
    return back.swapaxes(1, 2) @ m @ back


def largest(c, per):
    """Largest absolute coordinates of the calibration rows, in binary32."""
    return np.abs(c).max((1, 2) if per == "head" else (0, 1, 2), keepdims=True).astype(F32)


def through(x, m):
    """Rows x [head, document, token, d] times m [head or 1, d, d]."""
    return (x.reshape(-1, x.shape[-1]) @ m[0]).reshape(x.shape) if len(m) == 1 else x @ m[:, None]


def permutation(layer, stream, order):
    if stream == "k" and order == "half_split" and layer.rope.kind == "normal":
        return half_split(layer.dim, layer.rope.n_rot)
    return np.arange(layer.dim)


def calibration_rows(layer, stream, codec):
    """The rows that fits use, [head, document, token, d]; with `tokens` as one document."""
    part = layer.parts["evaluation" if codec.fit.leak else "calibration"]
    rows, pos, n = part.rows[stream], part.pos, codec.fit.tokens
    if n is not None and n < pos.size:
        chosen = np.arange(n) * pos.size // n
        rows, pos = rows.reshape(len(rows), 1, -1, rows.shape[-1])[:, :, chosen], pos.reshape(1, -1)[:, chosen]
    return Calibration(rows, pos, part)


def forward(codec, layer, stream, seed, campaign_seed, calibrate=False):
    """Rows through the chain; the calibration rows too where it or (calibrate) the quantizer is fitted to them, or something else asks for them. What comes before the
    first seeded or learned element is kept with the layer."""
    chain = codec.chain
    first = next((i for i, e in enumerate(chain) if element_seeded(e) or e.learn), len(chain))
    fits = calibrate or any(map(element_fits, chain))
    key = (stream, codec.order, chain[:first], fits, codec.fit.tokens, codec.fit.leak)
    if key not in layer.prefixes:
        order = permutation(layer, stream, codec.order)
        back = np.argsort(order)
        same = np.array_equal(order, back)
        permute = Step(*((lambda x, pos: x,) * 2 if same else (lambda x, pos: np.ascontiguousarray(x[..., order]), lambda y, pos: np.ascontiguousarray(y[..., back]))), 1.0, None)
        c = calibration_rows(layer, stream, codec) if fits else None
        start = Through(permute.there(layer.rows[stream], None), [] if same else [lambda y: permute.back(y, None)], np.ones(1),
                        c and c._replace(rows=permute.there(c.rows, None)), [permute])
        for e in chain[:first]:
            start = advance(e, layer, stream, codec, seed, campaign_seed, start)
        layer.prefixes[key] = start
        if len(layer.prefixes) > 4:
            layer.prefixes.popitem(last=False)
    now = layer.prefixes[key]
    for e in chain[first:]:
        now = advance(e, layer, stream, codec, seed, campaign_seed, now)
    return now


def advance(e, layer, stream, codec, seed, campaign_seed, now):
    step, c = make_step(e, layer, stream, codec, seed, campaign_seed, now.calibration, now.steps), now.calibration
    gain = now.gain if e.name in ("signs", "centre", "scale", "smooth") else now.gain.max(-1, keepdims=True)  # elsewhere coordinates are mixed
    return Through(step.there(now.x, layer.pos), [lambda y: step.back(y, layer.pos)] + now.inverses, gain * step.gain,
                   c and c._replace(rows=step.there(c.rows, c.pos)), now.steps + [step])


def fit_quantizer(codec, quantizer, end):
    return fitted(quantizer, end.calibration and end.calibration.rows, [found.theta()[-1] for found in codec.found] if quantizer.learn else None)


def undo(y, inverses):
    for inverse in inverses:
        y = inverse(y)
    return y


def decode(y, quantizer, stream, inverses, nudge=0.0):
    return undo(quantize(y, quantizer, stream, nudge).astype(F64), inverses)


def mixes_errors(steps, d):
    """Does the squared error of a row depend on the signs of its coordinates' errors? M^-T M^-1 is then not diagonal."""
    back = np.linalg.inv(chain_matrix(steps, d))
    cost = back.swapaxes(1, 2) @ back
    return np.abs(cost * (1 - np.eye(d))).max() > 1e-9 * np.abs(cost).max()


def code_stream(layer, stream, end, quantizer, judged, first=0, last=None):
    """Rows first to last - 1 (all) coded as a block of their own: decoded rows, the unit's squared error [head, document], and (judged) how far that moves where roundings are undecided: of a
    scale, and of codes where the chain mixes errors."""
    rows, y = layer.rows[stream][:, :, first:last], end.x[:, :, first:last]

    def back(z):
        if z.shape == end.x.shape:
            return undo(z, end.inverses)
        whole = np.zeros(end.x.shape)  # inverses know the positions of whole documents
        whole[:, :, first:last] = z
        return undo(whole, end.inverses)[:, :, first:last]

    def decoded(nudge=0.0):
        return back(quantize(y, quantizer, stream, nudge).astype(F64))

    def row_errors(x):
        x = x - rows
        return np.einsum("hdti,hdti->hdt", x, x)
    x = decoded()
    errors = row_errors(x)
    slack = np.zeros(errors.shape[:2])
    if judged and not all(step.orthogonal for step in end.steps) and mixes_errors(end.steps, layer.dim):
        for other, _ in alternatives(rows, y, quantizer, stream, end.gain, back):
            slack += np.abs(row_errors(other) - errors).sum(2)
    elif judged and narrow_scale(quantizer):
        moved = [np.abs(row_errors(decoded(nudge)) - errors) for nudge in (ROUNDING, -ROUNDING)]
        slack = np.maximum(*moved).sum(2)
    return x, errors.sum(2), slack


def with_exact(layer, stream, coded, first, last):
    """The cache: what is coded at its places, the rest exact."""
    rows = layer.rows[stream].copy()
    rows[:, :, first:last] = coded
    return rows


def code_cache(layer, stream, end, codec, quantizer, judged):
    """As code_stream, of a codec with a window or a sink. The errors are those of the cache after the last token; the rows are place -> those that a query there sees, each place's block
    coded anew where rows are coded together."""
    first, last = coded_rows(codec, end.x.shape[2])
    x, errors, slack = None, np.zeros(end.x.shape[:2]), np.zeros(end.x.shape[:2])
    if first < last:
        x, errors, slack = code_stream(layer, stream, end, quantizer, judged, first, last)
    seen = {}
    for place in sorted({int(place) for a in layer.heads for place in a.place.flat}):
        own = coded_rows(codec, place + 1)
        if own[0] == own[1]:
            seen[place] = layer.rows[stream]
        elif quantizer.name in TOGETHER:
            seen[place] = with_exact(layer, stream, code_stream(layer, stream, end, quantizer, False, *own)[0], *own)
        else:
            seen[place] = with_exact(layer, stream, x[:, :, :own[1] - own[0]], *own)
    return seen, errors, slack


def compute_group(layer, chains, seed, quantizers, campaign_seed, judged=True):
    """Answers of cells that differ by their quantizers alone. chains and each of quantizers: stream -> Codec / Quantizer. Without `judged` the
    slack of stored scales is left out: it is for the comparison."""
    if not chains:
        yield from (Answer((np.nan,) * 3, {}, {}) for _ in quantizers)  # nothing coded: no bits, no errors
        return
    ends = {s: forward(codec, layer, s, seed, campaign_seed, any(is_fitted(q[s]) for q in quantizers)) for s, codec in chains.items()}
    for choice in quantizers:
        rows, numerators, slacks, payload, side = {}, {}, {}, [], []
        for s, end in ends.items():
            quantizer = fit_quantizer(chains[s], choice[s], end)
            if keeps_rows(chains[s]):
                rows[s], numerators[s], slacks[s] = code_cache(layer, s, end, chains[s], quantizer, judged)
            else:
                rows[s], numerators[s], slacks[s] = code_stream(layer, s, end, quantizer, judged)
            p, q = bits_per_value(chains[s]._replace(quantizer=choice[s]), s, layer.pos.shape[1], layer.dim, layer.n_heads)
            payload.append(p)
            side.append(q)
        bits = (np.mean(payload), np.mean(side), np.mean(payload) + np.mean(side))
        yield Answer(bits, *measure(layer, rows, numerators, slacks))


# ---- roundings that binary32 leaves undecided ----

def alternatives(rows, y, quantizer, stream, gain, back):
    """Yields (decoded rows, [head, document, token] of those that differ): y decoded with undecided roundings the other way, one a row at a time. rows: what y was, back: decoded y to
    such rows, gain: of the chain.

    A value within a few roundings of the middle between two codes gets the one or the other by the last bits of a float transform; the squared
    error does not notice where the chain is orthogonal, but the key does. The same holds for a scale or minimum in the middle between two numbers of binary16.
    """
    if narrow_scale(quantizer):
        base = quantize(y, quantizer, stream)
        for nudge in (ROUNDING, -ROUNDING):
            other = quantize(y, quantizer, stream, nudge)
            yield back(other.astype(F64)), (other != base).any(-1)
    if KINDS[quantizer.name].grid:
        coded = quantize(y, quantizer, stream).astype(F64)
        low, step, bottom, top = code_grid(y, quantizer, stream)
        noise = ROUNDING * (gain * np.abs(rows).max(-1, keepdims=True) + np.abs(y)) / step
        place = (y - low) / step
        code = np.rint((coded - low) / step)
        off = place - code  # beside +-1/2 is undecided; beyond, the ends were clamped
        undecided = (np.abs(np.abs(off) - 0.5) < noise) & (step > 0)
        to = code + np.sign(off)
        undecided &= (to <= top) & (to >= bottom)
        rank = np.cumsum(undecided, -1)
        for k in range(1, int(rank.max()) + 1):
            chosen = undecided & (rank == k)
            yield back(np.where(chosen, low + step * to, coded)), chosen.any(-1)


def candidates(layer, stream, codec, seed, campaign_seed):
    """Decoded rows, and what else they may be: (head, document) -> [(token, change of the decoded row)]."""
    end = forward(codec, layer, stream, seed, campaign_seed, is_fitted(codec.quantizer))
    quantizer, found = fit_quantizer(codec, codec.quantizer, end), collections.defaultdict(list)
    base = decode(end.x, quantizer, stream, end.inverses)
    for other, differs in alternatives(layer.rows[stream], end.x, quantizer, stream, end.gain, lambda y: undo(y, end.inverses)):
        for h, n, t in zip(*np.nonzero(differs)):
            found[h, n].append((t, other[h, n, t] - base[h, n, t]))
    return base, found


def second_look(layer, codecs, seed, campaign_seed, answer, stated):
    """The answer again, with those undecided roundings taken the other way that bring a unit nearer to what is stated (metric -> [document,
    head]): greedily, one at a time, judged by all attention metrics together. Gives the number of roundings turned over."""
    judged = [m for m in stated if m in answer.values and m not in Budget.unit]
    unit_allowed = {m: allowance(m, answer) * answer.values[m].size for m in judged}
    enough = 0.1 / answer.values["nmse"].size  # all units together then spend a tenth of the budget of the mean
    rows, options = {}, {}
    for s, codec in codecs.items():
        rows[s], options[s] = candidates(layer, s, codec, seed, campaign_seed)
    turned = 0
    for h, attention in enumerate(layer.heads):
        for n in range(layer.pos.shape[0]):
            one, now = attention.documents[n], {s: rows[s][h, n] for s in rows}
            left = {}
            for s in rows:
                for t, change in options[s].get((h, n), []):  # equal rows get equal codes: they are turned together
                    left.setdefault((s, layer.rows[s][h, n, t].tobytes(), change.tobytes()), (s, [], change))[1].append(t)
            left = list(left.values())

            def cost(state):
                values = one.measure(state.get("k"), state.get("v"))
                return sum(abs(stated[m][n, h] - values[m]) / unit_allowed[m] for m in judged), values
            best, values = cost(now)
            while left and best > enough:
                trials = []
                for s, tokens, change in left:
                    state = dict(now)
                    state[s] = now[s].copy()
                    state[s][tokens] += change
                    trials.append(cost(state) + (state,))
                i = min(range(len(left)), key=lambda j: trials[j][0])
                if not trials[i][0] < best:
                    break
                best, values, now = trials[i]
                turned += len(left.pop(i)[1])
            for m in judged:
                answer.values[m][n, h] = values[m]
    return turned
