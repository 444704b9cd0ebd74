"""Quantizers: KINDS, one entry each."""
import collections
import functools
import math

import numpy as np

from twin_common import F16, F32, F64, take

# group None: the row, or what the kind says; scale: the format of what is stored beside the codes, of lloyd_max the norm
# learn: the clip ratio of each head is; clip is then an array [head, 1, 1, 1, 1] once it is known
# form: levels of sym, zero of asym, format of fp8, tensor of nvfp4, asym of channel; fit: what calibration rows gave
Quantizer = collections.namedtuple("Quantizer", "name bits group scale rounding form clip search fit learn", defaults=(None,) * 9)
SCALE_BYTES = {"f32": 4, "f16": 2, "bf16": 2, "e8m0": 1, "e4m3": 1}
ROUNDINGS = ("half_even", "half_up", "half_away")


class Kind:
    """A quantizer of the page.

    parse(options) gives the fields of Quantizer and takes the options that it knows. code(y, quantizer, stream, nudge) gives the decoded rows of y, binary32
    [head, document, token, d] (rows alone, [..., d], where tokens share nothing). payload(quantizer, stream, n_tokens, d) is one document's, in bits per value.
    refusal(quantizer, stream, d) says why not, or None. grid(y, quantizer, stream), where codes are roundings, gives the value of code 0, the step, the first and
    the last code of each coordinate, as arrays that broadcast to y. fit(c, quantizer), where calibration rows [head, document, token, d] are asked for, gives what
    they say, for Quantizer.fit; fitted(quantizer, d) is the number of values that this stores for a head, 0 where nothing is fitted.
    """

    def __init__(self, parse, code, payload, refusal=lambda quantizer, stream, d: None, grid=None, fit=None, fitted=lambda quantizer, d: 0):
        self.parse, self.code, self.payload, self.refusal, self.grid, self.fit, self.fitted = parse, code, payload, refusal, grid, fit, fitted


def nearest(table, v):
    """|v| to the nearest of an ascending table of codes 0, 1, ..., halves to the even code, beyond its end the last; the sign kept."""
    table = np.asarray(table, F64)
    a = np.abs(v).astype(F64)
    i = np.minimum(np.searchsorted(table, a, side="right") - 1, len(table) - 2)
    middle = (table[i] + table[i + 1]) / 2
    return np.copysign(table[i + ((a > middle) | ((a == middle) & (i % 2 == 1)))], v).astype(F32)


E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
E4M3 = [m * 2.0 ** -9 for m in range(8)] + [(8 + m) * 2.0 ** (e - 10) for e in range(1, 16) for m in range(8)][:-1]
E5M2 = [m * 2.0 ** -16 for m in range(4)] + [(4 + m) * 2.0 ** (e - 17) for e in range(1, 31) for m in range(4)]


def stored(v, form):
    """v as its format holds it, where it can."""
    v = np.asarray(v, F32)
    if form == "f16":
        return v.astype(F16).astype(F32)
    if form == "bf16":
        bits = v.view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(F32)
    if form == "e4m3":
        return nearest(E4M3, v)
    if form == "e8m0":
        m, e = np.frexp(v.astype(F64))
        return np.ldexp(1.0, np.where(v == 0, -127, np.maximum(np.where(m >= 0.75, e, e - 1), -127))).astype(F32)
    return v


def round_by(how, t):
    if how == "half_up":
        return np.floor(t + F32(0.5))
    return np.trunc(t.astype(F64) + np.copysign(0.5, t)).astype(F32) if how == "half_away" else np.rint(t)


def narrow_scale(quantizer):
    return quantizer.scale in SCALE_BYTES and quantizer.scale != "f32"


def groups_of(y, quantizer):
    return y.reshape(y.shape[:-1] + (-1, quantizer.group or y.shape[-1]))


def grid_at(g, quantizer, ratio, nudge):
    """(low, scale, bottom, top) of groups [..., group]: levels are code * scale + low for bottom <= code <= top."""
    ratio, form, levels = F32(ratio), quantizer.scale, F32(2 ** quantizer.bits - 1)
    lo, hi = g.min(-1, keepdims=True), g.max(-1, keepdims=True)
    if quantizer.name == "sym":
        m = F32(2 ** (quantizer.bits - 1) - 1)
        full = quantizer.form == "full"
        scale = stored(ratio * np.maximum(hi, -lo) / (m + F32(0.5) if full else m) * F32(1 + nudge), form)
        return np.zeros_like(scale), scale, np.full_like(scale, -m - 1 if full else -m), np.full_like(scale, m)
    if quantizer.form == "integer":
        lo, hi = ratio * np.minimum(lo, F32(0)), ratio * np.maximum(hi, F32(0))
        scale = stored((hi - lo) / levels * F32(1 + nudge), form)
        zero = np.clip(round_by(quantizer.rounding, -lo / np.where(scale == 0, F32(1), scale)), 0, levels) * (scale != 0)
        return np.zeros_like(scale), scale, -zero, levels - zero
    cut = (F32(1) - ratio) * F32(0.5) * (hi - lo)
    low = stored(lo + cut + F32(nudge) * np.maximum(np.abs(lo), np.abs(hi)), form)
    scale = stored(np.maximum(hi - cut - low, F32(0)) / levels * F32(1 + nudge), form)
    return low, scale, np.zeros_like(scale), np.full_like(scale, levels)


def on_grid(g, quantizer, grid):
    low, scale, bottom, top = grid
    q = (g - low) / np.where(scale == 0, F32(1), scale)
    q = round_by(quantizer.rounding, np.clip(q, bottom, top)) * scale
    q += low
    return q


def half_quadratic(g, quantizer, nudge):
    """hqq's grid: the offset after at most 20 rounds in double."""
    top = F32(2 ** quantizer.bits - 1)
    scale = stored((g.max(-1, keepdims=True) - g.min(-1, keepdims=True)) / top * F32(1 + nudge), quantizer.scale)
    y, step, beta = g.astype(F64), np.where(scale == 0, 1, scale).astype(F64), 10.0
    z = -g.min(-1, keepdims=True).astype(F64) / step
    least, going = np.full_like(z, np.inf), np.ones_like(z, bool)
    for _ in range(20):
        q = np.clip(np.rint(y / step + z), 0, top)
        off = y - (q - z) * step
        size = np.abs(off)
        large = size > beta ** (-1 / (2 - 0.7))  # elsewhere e is 0
        power = np.vectorize(math.pow)(np.where(large, size, 1), 0.7 - 1)  # NumPy's own differs in last bits, and they decide ties of later rounds
        e = np.sign(off) * np.maximum(size - power / beta, 0) * large
        z = np.where(going, np.cumsum(q - (y - e) / step, -1)[..., -1:] / g.shape[-1], z)  # cumsum adds in order
        error = np.cumsum(size, -1)[..., -1:]
        going &= error < least
        least = np.minimum(error, least)
        beta *= 1.01
    low = stored(np.where(scale == 0, g.min(-1, keepdims=True), (-z * step).astype(F32)), quantizer.scale)
    return low, scale, np.zeros_like(scale), np.full_like(scale, top)


def uniform_grid(g, quantizer, nudge=0.0):
    """The grid of `clip`, or of the ratio that `search` finds for each group, or hqq's."""
    if quantizer.name == "hqq":
        return half_quadratic(g, quantizer, nudge)
    if not quantizer.search:
        return grid_at(g, quantizer, quantizer.clip, nudge)
    best, least = None, None
    for k in range(29):
        grid = grid_at(g, quantizer, quantizer.clip * (40 - k) / 40, nudge)
        error = ((on_grid(g, quantizer, grid).astype(F64) - g) ** 2).sum(-1, keepdims=True)
        if best is None:
            best, least = grid, error
        else:
            best = tuple(np.where(error < least, new, old) for new, old in zip(grid, best))
            least = np.minimum(error, least)
    return best


def uniform(y, quantizer, stream, nudge):
    g = groups_of(y, quantizer)
    return on_grid(g, quantizer, uniform_grid(g, quantizer, nudge)).reshape(y.shape)


def uniform_payload(quantizer, stream, n_tokens, d):
    groups = d // (quantizer.group or d)
    fields = d + (groups if quantizer.form == "integer" else 0)
    return row_payload(-(-fields * quantizer.bits // 8) + groups * SCALE_BYTES[quantizer.scale] * (2 if quantizer.form == "minimum" else 1), d)


def take_bits(options):
    return int(take(options, "bits", None, [str(b) for b in range(2, 9)]))


def grouped_options(options):
    group = take(options, "group", "row")
    return {"bits": take_bits(options), "group": None if group == "row" else int(group), "scale": take(options, "scale", "f32", tuple(SCALE_BYTES))}


PLAIN_ASYM = {"rounding": "half_even", "form": "minimum", "clip": 1.0, "search": False}


def uniform_options(options, option, forms):
    return dict(grouped_options(options), rounding=take(options, "rounding", "half_even", ROUNDINGS), form=take(options, option, forms[0], forms),
                clip=float(take(options, "clip", "1")), search=take(options, "search", "false", ("true", "false")) == "true", learn=take(options, "learn", "false", ("true", "false")) == "true")


def uniform_refusal(quantizer, stream, d):
    if quantizer.form == "minimum" and quantizer.scale == "e8m0":
        return "a minimum in e8m0"
    return "groups of %d at d = %d" % (quantizer.group, d) if quantizer.group and d % quantizer.group else None


def row_payload(n_bytes, d):
    return 8.0 * n_bytes / d


def plain(code, n_bytes):
    return Kind(lambda options: {}, lambda y, quantizer, stream, nudge: code(y), lambda quantizer, stream, n_tokens, d: row_payload(n_bytes * d, d))


def spread_grid(y, quantizer, stream):
    g = groups_of(y, quantizer)
    return (np.broadcast_to(v, g.shape).reshape(y.shape) for v in uniform_grid(g, quantizer))


def quantize_blocks(y, quantizer, nudge):
    """The formats of blocks: y is [..., block]."""
    most = np.abs(y).max(-1, keepdims=True)
    if quantizer.name in ("mxfp4", "nvfp4"):
        most = most * F32(1 + nudge)
        if quantizer.name == "mxfp4":
            scale = np.ldexp(1.0, np.where(most == 0, -127, np.maximum(np.frexp(most.astype(F64))[1] - 1 - 2, -127))).astype(F32)
        else:
            tensor = F32(1) if quantizer.fit is None else quantizer.fit[..., None]
            scale = nearest(E4M3, most / F32(6) / tensor) * tensor
        return np.where(scale == 0, F32(0), nearest(E2M1, y / np.where(scale == 0, F32(1), scale)) * scale)
    if quantizer.name == "q8_0":
        d = most / F32(127)
    else:
        half = F32(8 if quantizer.name == "q4_0" else 16)
        d = np.take_along_axis(y, np.abs(y).argmax(-1)[..., None], -1) / -half
    d = d * F32(1 + nudge)  # moves the codes too: they are those of the unrounded scale, so a neighbour is not as near
    with np.errstate(all="ignore"):
        inverse = F32(1) / d
    t = y * np.where(np.isfinite(inverse), inverse, F32(0))
    d = stored(d, "f16")
    if quantizer.name == "q8_0":
        return round_by("half_away", t) * d
    return (np.minimum(np.trunc(t + (half + F32(0.5))), 2 * half - 1) - half) * d


# name -> values and bytes of a block
BLOCKS = {"mxfp4": (32, 17), "nvfp4": (16, 9), "q4_0": (32, 18), "q5_0": (32, 22), "q8_0": (32, 34)}


def block_kind(name, scale, parse=lambda options: {}, **more):
    block, size = BLOCKS[name]
    return Kind(lambda options: dict(parse(options), scale=scale),
                lambda y, quantizer, stream, nudge: quantize_blocks(y.reshape(y.shape[:-1] + (-1, block)), quantizer, nudge).reshape(y.shape),
                lambda quantizer, stream, n_tokens, d: row_payload(d // block * size, d),
                lambda quantizer, stream, d: "blocks of %d at d = %d" % (block, d) if d % block else None, **more)


def fit_tensor(c, quantizer):
    tensor = np.abs(c.astype(F32)).max((1, 2, 3), keepdims=True) / F32(448 * 6)
    return np.where(tensor > 0, tensor, F32(1))


def fit_channel(c, quantizer):
    """The grid of each coordinate."""
    lo, hi = c.astype(F32).min((1, 2), keepdims=True), c.astype(F32).max((1, 2), keepdims=True)
    if quantizer.form == "true":
        top = F32(2 ** quantizer.bits - 1)
        return lo, (hi - lo) / top, F32(0), top
    top = F32(2 ** (quantizer.bits - 1) - 1)
    return np.zeros_like(lo), np.maximum(hi, -lo) / top, -top, top


def channel_options(options):
    return {"bits": take_bits(options), "rounding": take(options, "rounding", "half_even", ROUNDINGS), "form": take(options, "asym", "false", ("true", "false"))}


def fp8(y, quantizer, stream, nudge):
    most, table = (F32(448), E4M3) if quantizer.form == "e4m3" else (F32(57344), E5M2)
    scale = np.abs(y).max(-1, keepdims=True) / most if quantizer.scale == "row" else np.ones_like(y[..., :1])
    return np.where(scale == 0, F32(0), nearest(table, y / np.where(scale == 0, F32(1), scale)) * scale)


def as_asym(quantizer, stream):
    """What kivi codes with: values as rows, keys as the channels of a group of tokens."""
    return quantizer._replace(name="asym", group=quantizer.group if stream == "v" else None)


def channels(y, group):
    """Whole groups of the tokens of [..., token, d] as [..., group of tokens, d, token]."""
    whole = y.shape[-2] // group
    return y[..., :whole * group, :].reshape(y.shape[:-2] + (whole, group, y.shape[-1])).swapaxes(-1, -2)


def from_channels(coded, y, group, rest):
    """The rows of `channels` again, and those of `rest` where y has tokens beyond the last whole group."""
    out = rest.copy()
    whole = y.shape[-2] // group * group
    out[..., :whole, :] = coded.swapaxes(-1, -2).reshape(y.shape[:-2] + (whole, y.shape[-1]))
    return out


def kivi(y, quantizer, stream, nudge):
    if stream == "v":
        return uniform(y, as_asym(quantizer, stream), stream, nudge)
    return from_channels(uniform(channels(y, quantizer.group), as_asym(quantizer, stream), stream, nudge), y, quantizer.group, stored(y, "f16"))


def kivi_options(options):
    return dict(PLAIN_ASYM, bits=int(take(options, "bits", "2", [str(b) for b in range(2, 9)])), group=int(take(options, "group", "32")),
                scale=take(options, "scale", "f16", ("f32", "f16")))


def kivi_payload(quantizer, stream, n_tokens, d):
    if stream == "v":
        return uniform_payload(as_asym(quantizer, stream), stream, n_tokens, d)
    whole = n_tokens // quantizer.group * quantizer.group
    return (uniform_payload(as_asym(quantizer, stream), stream, d, quantizer.group) * whole + 16.0 * (n_tokens - whole)) / n_tokens


def kivi_refusal(quantizer, stream, d):
    return uniform_refusal(quantizer, stream, d) if stream == "v" else None


def kivi_grid(y, quantizer, stream):
    """What has no codes is far from the middle of a huge step."""
    if stream == "v":
        return spread_grid(y, as_asym(quantizer, stream), stream)
    grid = spread_grid(channels(y, quantizer.group), as_asym(quantizer, stream), stream)
    return (from_channels(v, y, quantizer.group, np.full(y.shape, other)) for v, other in zip(grid, (0.0, 1e30, 0.0, 0.0)))


@functools.lru_cache(None)
def normal_codebook(bits):
    """Centroids of the best 2^bits levels for N(0, 1) and the limits halfway between them, in binary32: Newton's method on the two conditions, cells
    integrated by Gauss-Legendre."""
    n = 2 ** bits
    nodes, weights = np.polynomial.legendre.leggauss(60)
    grid = np.linspace(-12, 12, 24001)
    wide = np.cumsum(np.exp(-grid ** 2 / 6))  # the density's cube root: where many levels stand
    c = np.interp((np.arange(n) + 0.5) / n, wide / wide[-1], grid)
    for _ in range(60):
        edge = np.concatenate([[-12.0], (c[1:] + c[:-1]) / 2, [12.0]])
        half = np.diff(edge)[:, None] / 2
        x = edge[:-1, None] + half * (1 + nodes)
        f = np.exp(-x ** 2 / 2) * weights * half
        mass, mean = f.sum(1), (f * x).sum(1) / f.sum(1)
        density = np.exp(-edge ** 2 / 2) * (np.abs(edge) < 12)
        low, high = density[:-1] * (mean - edge[:-1]) / mass / 2, density[1:] * (edge[1:] - mean) / mass / 2
        step = np.linalg.solve(np.diag(1 - low - high) - np.diag(low[1:], -1) - np.diag(high[:-1], 1), mean - c)
        c = c + step
        if np.abs(step).max() < 1e-13:
            break
    assert (np.diff(c) > 0).all() and np.abs(step).max() < 1e-12
    return c.astype(F32), ((c[1:] + c[:-1]) / 2).astype(F32)


def lloyd_max(y, quantizer, stream, nudge):
    centroids, limits = normal_codebook(quantizer.bits)
    norm, root = np.sqrt((y.astype(F64) ** 2).sum(-1, keepdims=True)), np.sqrt(y.shape[-1])
    v = (y.astype(F64) * (root / np.where(norm == 0, 1.0, norm))).astype(F32)
    size = stored((norm * (1 + nudge)).astype(F32), quantizer.scale)
    return centroids[np.searchsorted(limits, v, side="left")] * (size.astype(F64) / root).astype(F32)


def lloyd_max_options(options):
    take(options, "fit", "gaussian", ("gaussian",))
    return {"bits": int(take(options, "bits", None, [str(b) for b in range(1, 9)])), "scale": take(options, "norm", "f16", ("f32", "f16"))}


KINDS = {"exact": plain(lambda y: y, 4), "f16": plain(lambda y: stored(y, "f16"), 2), "bf16": plain(lambda y: stored(y, "bf16"), 2)}
KINDS["sym"] = Kind(lambda options: uniform_options(options, "levels", ("symmetric", "full")), uniform, uniform_payload, uniform_refusal, spread_grid)
KINDS["asym"] = Kind(lambda options: uniform_options(options, "zero", ("minimum", "integer")), uniform, uniform_payload, uniform_refusal, spread_grid)
KINDS["hqq"] = Kind(lambda options: dict(PLAIN_ASYM, **grouped_options(options)), uniform, uniform_payload, uniform_refusal)
KINDS["fp8"] = Kind(lambda options: {"form": take(options, "format", "e4m3", ("e4m3", "e5m2")), "scale": take(options, "scale", "row", ("none", "row"))}, fp8,
                    lambda quantizer, stream, n_tokens, d: row_payload(d + (4 if quantizer.scale == "row" else 0), d))
KINDS["channel"] = Kind(channel_options, lambda y, quantizer, stream, nudge: on_grid(y, quantizer, quantizer.fit),
                        lambda quantizer, stream, n_tokens, d: row_payload(-(-d * quantizer.bits // 8), d),
                        fit=fit_channel, fitted=lambda quantizer, d: 2 * d if quantizer.form == "true" else d)
KINDS["mxfp4"] = block_kind("mxfp4", "e8m0")
KINDS.update((name, block_kind(name, "f16")) for name in ("q4_0", "q5_0", "q8_0"))
KINDS["nvfp4"] = block_kind("nvfp4", "e4m3", lambda options: {"form": take(options, "tensor", "calibrated", ("calibrated", "none"))},
                            fit=fit_tensor, fitted=lambda quantizer, d: 1 if quantizer.form == "calibrated" else 0)
KINDS["lloyd_max"] = Kind(lloyd_max_options, lloyd_max, lambda quantizer, stream, n_tokens, d: row_payload(-(-d * quantizer.bits // 8) + SCALE_BYTES[quantizer.scale], d))
KINDS["kivi"] = Kind(kivi_options, kivi, kivi_payload, kivi_refusal, kivi_grid)
TOGETHER = ("kivi",)  # what a row decodes to depends on others


def is_fitted(quantizer):
    return KINDS[quantizer.name].fitted(quantizer, 1) > 0


def fitted(quantizer, c, ratios=None):
    """The quantizer with what calibration rows through the chain give it, and the learned clip ratios, one a head or one for all."""
    if quantizer.learn:
        return quantizer._replace(clip=np.asarray(ratios, F32).reshape(-1, 1, 1, 1, 1))
    return quantizer._replace(fit=KINDS[quantizer.name].fit(c, quantizer)) if is_fitted(quantizer) else quantizer


def quantize(y, quantizer, stream, nudge=0.0):
    """Rows through encoding and decoding, in binary32.

    nudge moves what is rounded to a narrower format (scale and minimum) by that much of its size, before it is rounded: the caller learns so which
    rows stand where the last bits of binary32 decide the rounding.
    """
    return KINDS[quantizer.name].code(y.astype(F32), quantizer, stream, nudge)


def code_grid(y, quantizer, stream):
    """Value of code 0, step, first and last code of each coordinate, as quantize uses them (a zero step as 1)."""
    low, step, bottom, top = (np.asarray(v, F64) for v in KINDS[quantizer.name].grid(y.astype(F32), quantizer, stream))
    return low, np.where(step > 0, step, 1.0), bottom, top
