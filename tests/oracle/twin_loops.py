"""The definitions once more as plain loops in binary32: what the selftest holds the twin against."""
import collections
import math

import numpy as np

from twin_common import F16, F32, F64, METRICS, STREAMS
from twin_quantizers import BLOCKS, E2M1, E4M3, normal_codebook
from twin_streams import ALL_HEADS, Draw, angles, signs


def naive_level(table, v):
    """The nearest value of a table and its negatives, halves to the even place."""
    best = min(range(len(table)), key=lambda i: (abs(abs(float(v)) - table[i]), i % 2))
    return F32(-table[best] if v < 0 else table[best])


def naive_number(v, form):
    if form == "f16":
        return F32(F16(v))
    if form == "bf16":
        m, e = np.frexp(float(v))
        return F32(np.ldexp(round(m * 256), e - 8))
    if form == "e4m3":
        return naive_level(E4M3, v)
    if form == "e8m0":
        return F32(max(2.0 ** -127, 2.0 ** np.floor(np.log2(float(v) * 4 / 3)))) if v > 0 else F32(2.0 ** -127)
    return F32(v)


def naive_round(how, t):
    t = F32(t)
    if how == "half_up":
        return int(np.floor(F32(t + F32(0.5))))
    return int(np.sign(t)) * int(np.floor(abs(float(t)) + 0.5)) if how == "half_away" else round(float(t))


def naive_group(r, q):
    """One group or block, value by value."""
    if q.name in ("exact", "f16", "bf16"):
        return np.array([naive_number(v, q.name) for v in r], F32)
    most, sign_of_most = F32(0), F32(0)
    for v in r:
        if abs(v) > most:
            most, sign_of_most = abs(v), v
    if q.name in ("mxfp4", "nvfp4"):
        scale = F32(2.0 ** max(np.floor(np.log2(float(most))) - 2, -127)) if q.name == "mxfp4" and most else naive_level(E4M3, F32(most / F32(6)))
        return np.array([naive_level(E2M1, F32(v / scale)) * scale if scale else F32(0) for v in r], F32)
    if q.name == "q4_0":
        d = F32(sign_of_most / F32(-8))
        return np.array([F32(min(15, int(F32(F32(v * F32(F32(1) / d)) + F32(8.5)))) - 8) * F32(F16(d)) if d else F32(0) for v in r], F32)
    if q.name == "lloyd_max":
        levels, norm, root = normal_codebook(q.bits)[0], math.sqrt(sum(float(v) ** 2 for v in r)), math.sqrt(len(r))
        near = [min(levels, key=lambda level: abs(float(level) - float(v) * root / norm)) for v in r] if norm else levels[:1] * len(r)
        return np.array(near, F32) * F32(float(naive_number(F32(norm), q.scale)) / root)
    ratios = [q.clip * (40 - k) / 40 for k in range(29)] if q.search else [q.clip]
    tried = [naive_uniform(r, q, F32(c)) for c in ratios]
    return min(tried, key=lambda out: sum((float(a) - float(b)) ** 2 for a, b in zip(out, r)))


def naive_uniform(r, q, c):
    b = q.bits
    if q.name == "sym":
        m = 2 ** (b - 1) - 1
        bottom, steps = (-m - 1, m + 0.5) if q.form == "full" else (-m, m)
        scale = naive_number(F32(c * max(abs(v) for v in r)) / F32(steps), q.scale)
        return np.array([F32(min(m, max(bottom, naive_round(q.rounding, v / scale)))) * scale if scale else F32(0) for v in r], F32)
    n, lo, hi = 2 ** b - 1, min(r), max(r)
    if q.form == "integer":
        lo, hi = F32(c * min(lo, F32(0))), F32(c * max(hi, F32(0)))
        scale = naive_number(F32(hi - lo) / F32(n), q.scale)
        zero = min(n, max(0, naive_round(q.rounding, -lo / scale))) if scale else 0
        return np.array([F32(min(n, max(0, naive_round(q.rounding, v / scale) + zero)) - zero) * scale if scale else F32(0) for v in r], F32)
    cut = F32(F32(F32(1) - c) * F32(0.5)) * F32(hi - lo)
    low = naive_number(F32(lo + cut), q.scale)
    scale = naive_number(max(F32(F32(hi - cut) - low), F32(0)) / F32(n), q.scale)
    return np.array([F32(min(n, max(0, naive_round(q.rounding, F32(v - low) / scale)))) * scale + low if scale else low for v in r], F32)


def naive_chain(codec, x, cal, pos, pos_cal, bias, rope, h, layer, seed, stream):
    """One head's rows [document, token, d] coded row by row in binary32. cal: every head's calibration rows [head, document, token, d].
    Shares with the functions above the parsed codec and the signs, nothing else."""
    d = x.shape[-1]

    def to_split(r):
        return np.concatenate([r[0:rope.n_rot:2], r[1:rope.n_rot:2], r[rope.n_rot:]])

    def from_split(r):
        out = r.copy()
        half = rope.n_rot // 2
        for i in range(half):
            out[2 * i], out[2 * i + 1] = r[i], r[half + i]
        return out

    swap = stream == "k" and codec.order == "half_split" and rope.kind == "normal"
    adjacent = rope.kind == "normal" and not swap

    def turn(r, p, sign):
        out, theta, step = r.copy(), F32(p), F32(float(rope.base) ** float(F32(-2.0 / rope.n_rot)))
        for i in range(rope.n_rot // 2):
            a, b = (2 * i, 2 * i + 1) if adjacent else (i, i + rope.n_rot // 2)
            z = complex(r[a], r[b]) * np.exp(-1j * sign * float(F32(rope.freq_scale) * theta))
            out[a], out[b] = z.real, z.imag
            theta = theta * step
        return out

    def butterflies(r, block):
        r, width = r.copy(), 1
        while width < block:
            for i in range(0, d, 2 * width):
                for j in range(i, i + width):
                    r[j], r[j + width] = r[j] + r[j + width], r[j] - r[j + width]
            width *= 2
        return r / F32(np.sqrt(block))

    def residue(a, q):
        return 1 if pow(a % q, (q - 1) // 2, q) == 1 else -1  # Euler's criterion

    def kronecker(r, p, back):
        """Butterflies on the fast index, then row by row of the Paley matrix on the slow one, which is skew but for its diagonal."""
        m = d // p
        r = butterflies(r, m).reshape(p, m)
        out = np.zeros((p, m))
        for a in range(p):
            for c in range(p):
                sign = 1 if c == a or a == 0 else -1 if c == 0 else residue(a - c, p - 1)
                out[a] += (-sign if back and c != a else sign) * r[c]
        return (out / np.sqrt(p)).reshape(-1)

    def hartley(r):
        y = np.fft.fft(r.astype(F64))
        return (y.real - y.imag) / np.sqrt(d)

    def cosines(r):
        """DCT-II by the Fourier transform of the row and its mirror image."""
        y = np.fft.fft(np.concatenate([r, r[::-1]]).astype(F64))[:d] * np.exp(-0.5j * np.pi * np.arange(d) / d)
        y = y.real / np.sqrt(2 * d)
        y[0] /= np.sqrt(2)
        return y

    def from_cosines(r):
        return np.array([r[0] / np.sqrt(d) + sum(np.sqrt(2 / d) * r[k] * np.cos(np.pi * (j + 0.5) * k / d) for k in range(1, d)) for j in range(d)])

    def pairs_of(r, units, back):
        z = r[0::2].astype(complex) + 1j * r[1::2]
        z = np.conj(units) * np.fft.ifft(z, norm="ortho") if back else np.fft.fft(z * units, norm="ortho")
        return np.stack([z.real, z.imag], axis=1).reshape(-1)

    def pack(r):
        y, h_ = np.fft.rfft(r.astype(F64)) / np.sqrt(d), (d - 1) // 2
        middle = [y[d // 2].real] if d % 2 == 0 else []
        return np.array([y[0].real] + [np.sqrt(2) * z.real for z in y[1:h_ + 1]] + middle + [np.sqrt(2) * z.imag for z in y[1:h_ + 1]], F32)

    def unpack(r):
        h_ = (d - 1) // 2
        y = np.zeros(d // 2 + 1, complex)
        y[0] = r[0]
        for k in range(1, h_ + 1):
            y[k] = complex(r[k], r[k + (d // 2 if d % 2 == 0 else h_)]) / np.sqrt(2)
        if d % 2 == 0:
            y[d // 2] = r[d // 2]
        return np.fft.irfft(y * np.sqrt(d), d).astype(F32)

    steps = []  # (there, back) of a row at a position
    for e in codec.chain:
        def so_far(r, p, done=tuple(steps)):
            r = to_split(r) if swap else r
            for there, _ in done:
                r = there(r, p).astype(F32)
            return r
        draw = Draw(0, seed, layer, ALL_HEADS if e.per == "layer" else h, e.ordinal, STREAMS.index(stream))
        if e.name == "signs":
            s = signs(d, draw).astype(F32)
            steps.append((lambda r, p, s=s: r * s,) * 2)
        elif e.name == "rffthash":
            u = np.exp(1j * angles(d // 2, draw))
            steps.append((lambda r, p, u=u: pairs_of(r, u, False), lambda r, p, u=u: pairs_of(r, u, True)))
        elif e.name == "hadamard" and e.form == "kronecker" and d % 3 * (d % 5) == 0:
            first = 12 if d % 3 == 0 else 20
            steps.append((lambda r, p, q=first: kronecker(r, q, False), lambda r, p, q=first: kronecker(r, q, True)))
        elif e.name in ("hadamard", "bdr"):
            width = e.size if e.name == "bdr" else d & -d  # d itself where it is a power of two
            steps.append((lambda r, p, width=width: butterflies(r, width),) * 2)
        elif e.name == "dht":
            steps.append((lambda r, p: hartley(r),) * 2)
        elif e.name == "dct":
            steps.append((lambda r, p: cosines(r), lambda r, p: from_cosines(r)))
        elif e.name == "rfft":
            steps.append((lambda r, p: pack(r), lambda r, p: unpack(r)))
        elif e.name == "unrope":
            steps.append((lambda r, p: turn(r, p, 1), lambda r, p: turn(r, p, -1)))
        elif e.name == "centre" and e.by == "bias":
            m = (to_split(bias) if swap else bias).astype(F32)
            steps.append((lambda r, p, m=m: r - m, lambda r, p, m=m: r + m))
        else:
            heads = [h] if e.per == "head" else range(len(cal))
            rows = np.array([so_far(cal[i][n, t], pos_cal[n, t]) for i in heads for n in range(cal[i].shape[0]) for t in range(cal[i].shape[1])])
            if e.name == "centre":
                m = rows.astype(F64).mean(0).astype(F32)
                steps.append((lambda r, p, m=m: r - m, lambda r, p, m=m: r + m))
            else:
                m = F32(1) / np.abs(rows).max(0)
                steps.append((lambda r, p, m=m: r * m, lambda r, p, m=m: r / m))

    def group(r):
        return naive_group([F32(v) for v in r], codec.quantizer)

    width, out = BLOCKS.get(codec.quantizer.name, (codec.quantizer.group or d,))[0], np.zeros(x.shape)
    for n in range(x.shape[0]):
        rows = np.zeros(x.shape[1:], F32)
        for t in range(x.shape[1]):
            r = to_split(x[n, t]) if swap else x[n, t]
            for there, _ in steps:
                r = there(r, pos[n, t]).astype(F32)
            rows[t] = r
        for t in range(x.shape[1]):
            if codec.quantizer.name != "kivi" or stream == "v":
                rows[t] = np.concatenate([group(rows[t, i:i + width]) for i in range(0, d, width)])
            elif t - t % width + width > len(rows):
                rows[t] = rows[t].astype(F16).astype(F32)
            elif t % width == 0:
                for i in range(d):
                    rows[t:t + width, i] = group(rows[t:t + width, i].copy())
        for t in range(x.shape[1]):
            r = rows[t]
            for _, back in reversed(steps):
                r = back(r, pos[n, t]).astype(F32)
            out[n, t] = from_split(r) if swap else r
    return out


def naive_metrics(f, number, evaluation, cache):
    """Metrics [document, head] as loops over queries and keys. cache(place): stream -> [document, token, head, d] of the coded streams, as the cache is when row `place` is its newest."""
    g = f["layer_%02d" % number]
    rows = {s: g[s][()].astype(F64)[evaluation] for s in STREAMS}
    decoded = cache(rows["k"].shape[1] - 1)
    q, owner, pos, query_pos = g["q"][()].astype(F64)[evaluation], g["kv_head_of"][()], f["pos"][()][evaluation], f["query_pos"][()][evaluation]
    scale, window = g.attrs["score_scale"], g.attrs["sliding_window"]
    n_docs, _, n_heads, _ = rows["k"].shape
    values = {name: np.full((n_docs, n_heads), np.nan) for name in METRICS}
    for n in range(n_docs):
        for h in range(n_heads):
            moved = [((decoded[s][n, :, h] - rows[s][n, :, h]) ** 2).sum() for s in decoded]
            values["nmse"][n, h] = sum(moved) / sum((rows[s][n, :, h] ** 2).sum() for s in decoded)
            values["nmse_centred"][n, h] = sum(moved) / sum(((rows[s][n, :, h] - rows[s][:, :, h].mean((0, 1))) ** 2).sum() for s in decoded)
            found = collections.defaultdict(list)
            for j in np.flatnonzero(owner == h):
                per = collections.defaultdict(list)
                for i, at in enumerate(query_pos[n]):
                    keys = [t for t in range(pos.shape[1]) if pos[n, t] <= at and (window == 0 or pos[n, t] > at - window)]
                    now = dict(rows, **cache(max(t for t in range(pos.shape[1]) if pos[n, t] <= at)))
                    s, s_now = (np.array([scale * q[n, i, j].dot(source["k"][n, t, h]) for t in keys]) for source in (rows, now))
                    p, p_now = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (s, s_now))
                    o, o_now = p @ rows["v"][n, keys, h], p_now @ now["v"][n, keys, h]
                    per["logit_error"].append(np.std(s_now - s))
                    per["softmax_kl"].append((p * np.log(p / p_now)).sum())
                    per["flip"].append(float(s.argmax() != s_now.argmax()))
                    per["lost"].append(((o_now - o) ** 2).sum())
                    per["energy"].append((o ** 2).sum())
                for name in ("logit_error", "softmax_kl", "flip"):
                    found[name].append(np.mean(per[name]))
                found["output_error"].append(sum(per["lost"]) / sum(per["energy"]))
            for name in found:
                if name == "output_error" or "k" in decoded:
                    values[name][n, h] = np.mean(found[name])
    return values
