"""Rows through chain, quantizer and back; and the roundings on the way that binary32 leaves undecided."""
import collections

import numpy as np

from twin_codecs import bits_per_value, element_fits, element_seeded
from twin_common import F32, F64, ROUNDING, STREAMS
from twin_metrics import Answer, Budget, allowance, measure
from twin_quantizers import KINDS, code_grid, fitted, is_fitted, narrow_scale, quantize
from twin_streams import ALL_HEADS, Draw, signs
from twin_transforms import DRAWN, FIXED, half_split, rope_pairs, rope_tables, rotate, zigzag

# ---- chains ----

def apply_element(e, layer, stream, order, seed, campaign_seed, x, c):
    """(y, calibration rows through it or None, inverse, gain) of one element; gain is what it multiplies a coordinate by, beside rotations."""
    d, h = layer.dim, layer.n_heads
    draws = [Draw(campaign_seed, seed, layer.number, head, e.ordinal, STREAMS.index(stream)) for head in ([ALL_HEADS] if e.per == "layer" else range(h))]
    if e.name == "signs":
        s = np.stack([signs(d, draw) for draw in draws])[:, None, None, :]
        return x * s, None if c is None else c * s, lambda y: y * s, 1.0
    if e.name in FIXED or e.name in DRAWN:
        if e.name in FIXED:
            m = [FIXED[e.name](d, e)]
        elif e.form == "zigzag":
            m = [np.eye(d)[zigzag(row, e.size)] for row in largest(c, e.per).reshape(-1, d)]
        else:
            m = [DRAWN[e.name](d, e, draw) for draw in draws]
        m = np.stack(m)
        return through(x, m.swapaxes(1, 2)), None if c is None else through(c, m.swapaxes(1, 2)), lambda y: through(y, m), 1.0
    if e.name == "unrope":
        pairs, tables = rope_pairs(layer.rope, order), rope_tables(layer.rope, layer.pos)
        after = None if c is None else rotate(c, rope_tables(layer.rope, layer.pos_calibration), pairs, 1)
        return rotate(x, tables, pairs, 1), after, lambda y: rotate(y, tables, pairs, -1), 1.0
    if e.name == "centre":
        if e.by == "bias":
            m = layer.bias[:, permutation(layer, stream, order)][:, None, None, :]
        else:
            m = c.mean((1, 2) if e.per == "head" else (0, 1, 2), keepdims=True).astype(F32).astype(F64)
        return x - m, None if c is None else c - m, lambda y: y + m, 1.0
    if e.name in ("scale", "smooth"):
        high = largest(c, e.per)
        if e.form == "true":
            high = np.maximum(high, np.roll(high, d // 2, -1))
        safe = np.where(high == 0, F32(1), high)
        scale = (F32(1) / safe if e.name == "scale" else (safe.astype(F64) ** -e.size).astype(F32)).astype(F64)
        return x * scale, c * scale, lambda y: y / scale, scale
    raise AssertionError(e.name)


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


def forward(codec, layer, stream, seed, campaign_seed, calibrate=False):
    """Evaluation rows through the chain, the inverses in the order in which they are applied, the chain's gain per coordinate, and the calibration rows
    through the chain where it or (calibrate) the quantizer is fitted to them. What comes before the first seeded element is kept with the layer."""
    chain = codec.chain
    first = next((i for i, e in enumerate(chain) if element_seeded(e)), len(chain))
    fits = calibrate or any(map(element_fits, chain))
    key = (stream, codec.order, chain[:first], fits)
    if key not in layer.prefixes:
        order = permutation(layer, stream, codec.order)
        same = np.array_equal(order, np.arange(layer.dim))
        back = np.argsort(order)
        x = layer.rows[stream] if same else np.ascontiguousarray(layer.rows[stream][..., order])
        c = np.ascontiguousarray(layer.calibration[stream][..., order]) if fits else None
        inverses, gain = [] if same else [lambda y: np.ascontiguousarray(y[..., back])], np.ones(1)
        for e in chain[:first]:
            x, c, gain = advance(e, layer, stream, codec.order, seed, campaign_seed, x, c, inverses, gain)
        layer.prefixes[key] = x, c, inverses, gain
        if len(layer.prefixes) > 4:
            layer.prefixes.popitem(last=False)
    x, c, inverses, gain = layer.prefixes[key]
    inverses = list(inverses)
    for e in chain[first:]:
        x, c, gain = advance(e, layer, stream, codec.order, seed, campaign_seed, x, c, inverses, gain)
    return x, inverses, gain, c


def advance(e, layer, stream, order, seed, campaign_seed, x, c, inverses, gain):
    x, c, inverse, own = apply_element(e, layer, stream, order, seed, campaign_seed, x, c)
    inverses.insert(0, inverse)
    if e.name in FIXED or e.name in DRAWN or e.name == "unrope":
        gain = gain.max(-1, keepdims=True)  # coordinates are mixed
    return x, c, gain * own


def decode(y, quantizer, stream, inverses, nudge=0.0):
    x = quantize(y, quantizer, stream, nudge).astype(F64)
    for inverse in inverses:
        x = inverse(x)
    return x


def code_stream(layer, stream, y, quantizer, inverses, judged):
    """Decoded rows, the unit's squared error [head, document], and (judged) how far that moves where the rounding of a scale is undecided."""
    def row_errors(x):
        x = x - layer.rows[stream]
        return np.einsum("hdti,hdti->hdt", x, x)
    x = decode(y, quantizer, stream, inverses)
    errors = row_errors(x)
    slack = np.zeros(errors.shape[:2])
    if judged and narrow_scale(quantizer):
        moved = [np.abs(row_errors(decode(y, quantizer, stream, inverses, nudge)) - errors) for nudge in (ROUNDING, -ROUNDING)]
        slack = np.maximum(*moved).sum(2)
    return x, errors.sum(2), slack


def compute_group(layer, chains, seed, quantizers, campaign_seed, judged=True):
    """Answers of cells that differ by their quantizers alone. chains and each of quantizers: stream -> Codec / Quantizer. Without `judged` the
    slack of stored scales is left out: it is for the comparison."""
    if not chains:
        yield from (Answer((np.nan,) * 3, {}, {}) for _ in quantizers)  # nothing coded: no bits, no errors
        return
    through = {s: forward(codec, layer, s, seed, campaign_seed, any(is_fitted(q[s]) for q in quantizers)) for s, codec in chains.items()}
    for choice in quantizers:
        rows, numerators, slacks, payload, side = {}, {}, {}, [], []
        for s, (y, inverses, _, c) in through.items():
            rows[s], numerators[s], slacks[s] = code_stream(layer, s, y, fitted(choice[s], c), inverses, judged)
            p, q = bits_per_value(chains[s]._replace(quantizer=choice[s]), s, layer.pos.shape[1], layer.dim, layer.n_heads)
            payload.append(p)
            side.append(q)
        bits = (np.mean(payload), np.mean(side), np.mean(payload) + np.mean(side))
        yield Answer(bits, *measure(layer, rows, numerators, slacks))


# ---- roundings that binary32 leaves undecided ----

def candidates(layer, stream, codec, seed, campaign_seed):
    """Decoded rows, and what else they may be: (head, document) -> [(token, change of the decoded row)].

    A value within a few roundings of the middle between two codes gets the one or the other by the last bits of a float transform; the squared
    error does not notice, but the key does. The same holds for a scale or minimum in the middle between two numbers of binary16.
    """
    y, inverses, gain, c = forward(codec, layer, stream, seed, campaign_seed, is_fitted(codec.quantizer))
    quantizer, found = fitted(codec.quantizer, c), collections.defaultdict(list)
    base = decode(y, quantizer, stream, inverses)

    def add(other, rows):
        for h, n, t in zip(*np.nonzero(rows)):
            found[h, n].append((t, other[h, n, t] - base[h, n, t]))

    if narrow_scale(quantizer):
        for nudge in (ROUNDING, -ROUNDING):
            other = decode(y, quantizer, stream, inverses, nudge)
            add(other, (other != base).any(-1))
    if KINDS[quantizer.name].grid:
        coded, moved = quantize(y, quantizer, stream).astype(F64), y
        low, step, bottom, top = code_grid(y, quantizer, stream)
        noise = ROUNDING * (gain * np.abs(layer.rows[stream]).max(-1, keepdims=True) + np.abs(moved)) / step
        place = (y - low) / step
        code = np.rint((coded - low) / step)
        off = place - code  # beside +-1/2 is undecided; beyond, the ends were clamped
        undecided = (np.abs(np.abs(off) - 0.5) < noise) & (step > 0)
        to = code + np.sign(off)
        undecided &= (to <= top) & (to >= bottom)
        rank = np.cumsum(undecided, -1)
        for k in range(1, int(rank.max()) + 1):
            chosen = undecided & (rank == k)
            other = np.where(chosen, low + step * to, coded)
            for inverse in inverses:
                other = inverse(other)
            add(other, chosen.any(-1))
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
