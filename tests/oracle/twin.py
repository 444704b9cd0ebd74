#!/usr/bin/python3
"""The independent twin: vector-level results computed again, without Gyre.

    twin.py check RESULTS.h5 CAPTURE.h5 ... [--cells all|N] [--expect demo] [--split default|file] [--workers N]
    twin.py compute RESULTS.h5 CAPTURE.h5 ... [--profile]
    twin.py selftest

Written from docs/random.md and docs/definitions.md alone: nothing here was taken from, or compared with, Gyre's sources while it was written.
Transforms, attention and sums are in double precision; what the pages put in binary32 (angles, fitted values, quantizers) is in binary32.
NumPy and h5py only. Budgets: class Budget below; README.md says why they are what they are.

Parts: random streams, orthogonal matrices, rotary embedding, quantizers, codecs and their canonical text, captures, chains, attention metrics,
budgets, check, selftest.
"""
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # the work is spread over processes

import argparse
import collections
import contextlib
import copy
import cProfile
import functools
import math
import multiprocessing
import pstats
import re
import sys
import tempfile
import time

import h5py
import numpy as np

F16, F32, F64 = np.float16, np.float32, np.float64
STREAMS = "kv"
METRICS = ("nmse", "nmse_centred", "logit_error", "softmax_kl", "flip", "output_error")
TOKENS_FOR_SIDE = 4096


class Unusable(Exception):
    """Something that cannot be read as the pages say."""


# ---- random streams (docs/random.md) ----

ALL_HEADS, PURPOSE_SIGNS, PURPOSE_ANGLES, PURPOSE_NORMALS, PURPOSE_PERMUTATION = 65535, 1, 3, 4, 5


def philox4x32(counters, key):
    """Philox4x32-10: counters [n, 4] and key [2] of 32-bit words to [n, 4] words."""
    mask = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = (np.asarray(counters, np.uint64)[:, i] for i in range(4))
    k0, k1 = (int(k) for k in key)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        hi0, lo0, hi1, lo1 = p0 >> np.uint64(32), p0 & mask, p1 >> np.uint64(32), p1 & mask
        c0, c1, c2, c3 = hi1 ^ c1 ^ np.uint64(k0), lo1, hi0 ^ c3 ^ np.uint64(k1), lo0
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


Draw = collections.namedtuple("Draw", "campaign_seed seed layer head ordinal stream")  # head may be ALL_HEADS; stream is 0 for K, 1 for V


def words(n, purpose, draw):
    """The first n words of a stream."""
    blocks = -(-n // 4)
    counters = np.empty((blocks, 4), np.uint64)
    counters[:, 0] = np.arange(blocks)
    counters[:, 1] = draw.seed
    counters[:, 2] = draw.layer * 65536 + draw.head
    counters[:, 3] = purpose * 65536 + draw.ordinal * 256 + draw.stream
    return philox4x32(counters, (draw.campaign_seed & 0xFFFFFFFF, draw.campaign_seed >> 32)).reshape(-1)[:n]


def signs(n, draw):
    bits = (words(-(-n // 32), PURPOSE_SIGNS, draw)[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    return 1.0 - 2.0 * bits.reshape(-1)[:n].astype(F64)


def uniforms(n, purpose, draw):
    return (words(n, purpose, draw).astype(F64) + 0.5) / 2.0 ** 32


def angles(n, draw):
    return 2 * np.pi * uniforms(n, PURPOSE_ANGLES, draw)


def normals(n, draw):
    u = uniforms(n + n % 2, PURPOSE_NORMALS, draw).reshape(-1, 2)
    radius, turn = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1).reshape(-1)[:n]


def shuffled(n, draw):
    drawn, p = words(n, PURPOSE_PERMUTATION, draw), list(range(n))
    for i in range(n - 1, 0, -1):
        j = int(drawn[n - 1 - i]) * (i + 1) >> 32
        p[i], p[j] = p[j], p[i]
    return np.array(p)


# ---- orthogonal matrices (y = T x) ----

def is_power_of_two(d):
    return d > 0 and d & (d - 1) == 0


def walsh(n):
    shared = np.arange(n)[:, None] & np.arange(n)[None, :]
    return 1.0 - 2.0 * np.array([bin(i).count("1") & 1 for i in range(n)])[shared]


def paley(p):
    """P_12 and P_20 of the page, and P_1."""
    if p == 1:
        return np.ones((1, 1))
    squares = {a * a % (p - 1) for a in range(1, p - 1)}
    return np.array([[1.0 if i in (0, j) or (j > 0 and (i - j) % (p - 1) in squares) else -1.0 for j in range(p)] for i in range(p)])


def hadamard_factor(d, form):
    """p of d = p m, None where the page has none."""
    return next((p for p in ((1, 12, 20) if form == "kronecker" else (1,)) if d % p == 0 and is_power_of_two(d // p)), None)


def hadamard_matrix(d, form):
    if form == "blocks":
        return block_matrix(d, d & -d)
    p = hadamard_factor(d, form)
    return np.kron(paley(p), walsh(d // p)) / np.sqrt(d)


def block_matrix(d, block):
    return np.kron(np.eye(d // block), walsh(block)) / np.sqrt(block)


def rfft_matrix(d):
    turn = 2 * np.pi * ((np.arange(d)[:, None] * np.arange(d)[None, :]) % d) / d
    re, im = np.cos(turn) / np.sqrt(d), -np.sin(turn) / np.sqrt(d)
    inner = np.arange(1, d // 2 if d % 2 == 0 else (d - 1) // 2 + 1)
    last = [re[d // 2:d // 2 + 1]] if d % 2 == 0 else []
    return np.concatenate([re[:1], np.sqrt(2) * re[inner]] + last + [np.sqrt(2) * im[inner]])


def dht_matrix(d):
    turn = 2 * np.pi * (np.outer(np.arange(d), np.arange(d)) % d) / d
    return (np.cos(turn) + np.sin(turn)) / np.sqrt(d)


def dct_matrix(d):
    m = np.sqrt(2 / d) * np.cos(np.pi * (np.outer(np.arange(d), 2 * np.arange(d) + 1) % (4 * d)) / (2 * d))
    m[0] = np.sqrt(1 / d)
    return m


def rffthash_matrix(phi):
    """The complex matrix diag and DFT, each entry z as the block ((Re z, -Im z), (Im z, Re z))."""
    h = len(phi)
    z = np.exp(1j * (phi[None, :] - 2 * np.pi * (np.outer(np.arange(h), np.arange(h)) % h) / h)) / np.sqrt(h)
    m = np.empty((2 * h, 2 * h))
    m[0::2, 0::2], m[0::2, 1::2], m[1::2, 0::2], m[1::2, 1::2] = z.real, -z.imag, z.imag, z.real
    return m


def positive_q(g):
    """Q of g = Q R with a positive diagonal of R."""
    q, r = np.linalg.qr(g)
    return q * np.where(np.diagonal(r) < 0, -1.0, 1.0)


def balanced_factor(d):
    return max(a for a in range(1, int(np.sqrt(d)) + 1) if d % a == 0)


def quaternion_matrix(q, right=False):
    """The 4 x 4 matrix of v -> q v, or of v -> v q."""
    w, x, y, z = q
    m = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    if right:
        m[1:, 1:] = m[1:, 1:].T
    return m


def turned(m, pairs, by):
    """Rows of m turned pair by pair: planar rotations after m."""
    m, a, b = m.copy(), *np.array(pairs).T
    c, s = np.cos(by)[:, None], np.sin(by)[:, None]
    m[a], m[b] = c * m[a] - s * m[b], s * m[a] + c * m[b]
    return m


def planar_matrix(d, by):
    """Stages of planar rotations, by: [stage, pair]."""
    m = np.eye(d)
    for s, turns in enumerate(by):
        m = turned(m, [(i, i + 2 ** s) for i in range(d) if not i >> s & 1], turns)
    return m


def kronecker_matrix(d, a, draw):
    b = d // a
    g = normals(a * a + b * b, draw)
    return np.kron(positive_q(g[:a * a].reshape(a, a)), positive_q(g[a * a:].reshape(b, b)))


def householder_matrix(d, k, draw):
    m = np.eye(d)
    for v in normals(k * d, draw).reshape(k, d):
        m -= np.outer(v, v @ m) * (2 / (v @ v))
    return m


def butterfly_matrix(d, form, draw):
    stages = d.bit_length() - 1
    return planar_matrix(d, np.full((stages, d // 2), np.pi / 4) if form == "hadamard" else angles(stages * (d // 2), draw).reshape(stages, -1))


def rotor3_matrix(d, draw):
    m = np.eye(d)
    for b, q in enumerate(normals(d // 3 * 4, draw).reshape(-1, 4)):
        q = q / np.sqrt(q @ q)
        m[3 * b:3 * b + 3, 3 * b:3 * b + 3] = (quaternion_matrix(q) @ quaternion_matrix(q * [1, -1, -1, -1], right=True))[1:, 1:]
    return m


def isoclinic4_matrix(d, form, draw):
    m = np.zeros((d, d))
    q = normals(2 * d, draw).reshape(2, -1, 4)
    q /= np.sqrt((q ** 2).sum(-1, keepdims=True))
    for b in range(d // 4):
        right = quaternion_matrix(q[1, b] * [1, -1, -1, -1], right=True) if form == "full" else np.eye(4)
        m[4 * b:4 * b + 4, 4 * b:4 * b + 4] = right @ quaternion_matrix(q[0, b])
    return m


def zigzag(most, block):
    """Where the coordinates of the permuted row come from, by the channels' magnitudes."""
    ranked, blocks = sorted(range(len(most)), key=lambda i: (-most[i], i)), len(most) // block
    dealt = [[] for _ in range(blocks)]
    for turn in range(block):
        for u in range(blocks):
            dealt[u if turn % 2 == 0 else blocks - 1 - u].append(ranked[turn * blocks + u])
    return np.array(dealt).reshape(-1)


# the matrix of an element: of the dimension and the element, and where it is drawn of the draw
FIXED = {"hadamard": lambda d, e: hadamard_matrix(d, e.form), "bdr": lambda d, e: block_matrix(d, e.size), "rfft": lambda d, e: rfft_matrix(d),
         "dht": lambda d, e: dht_matrix(d), "dct": lambda d, e: dct_matrix(d)}
DRAWN = {"rffthash": lambda d, e, draw: rffthash_matrix(angles(d // 2, draw)), "haar": lambda d, e, draw: positive_q(normals(d * d, draw).reshape(d, d)),
         "kronecker": lambda d, e, draw: kronecker_matrix(d, e.size or balanced_factor(d), draw),
         "householder": lambda d, e, draw: householder_matrix(d, d // 2 if e.size is None else e.size, draw),
         "butterfly": lambda d, e, draw: butterfly_matrix(d, e.form, draw), "givens": lambda d, e, draw: planar_matrix(d, angles(d // 2, draw)[None]),
         "rotor3": lambda d, e, draw: rotor3_matrix(d, draw), "isoclinic4": lambda d, e, draw: isoclinic4_matrix(d, e.form, draw),
         "permutation": lambda d, e, draw: np.eye(d)[shuffled(d, draw)]}
# the dimensions that an element takes; others take all
TAKES = {"hadamard": lambda d, e: d % 2 == 0 if e.form == "blocks" else hadamard_factor(d, e.form) is not None,
         "bdr": lambda d, e: is_power_of_two(e.size) and d % e.size == 0, "rffthash": lambda d, e: 2 <= d <= 4096 and d % 2 == 0,
         "kronecker": lambda d, e: d % (e.size or balanced_factor(d)) == 0 and (e.size or balanced_factor(d)) not in (1, d),
         "householder": lambda d, e: 1 <= (d // 2 if e.size is None else e.size) <= d, "butterfly": lambda d, e: d >= 2 and is_power_of_two(d),
         "givens": lambda d, e: d % 2 == 0, "rotor3": lambda d, e: d >= 3, "isoclinic4": lambda d, e: d % 4 == 0,
         "permutation": lambda d, e: e.form == "random" or d % e.size == 0}
TAKES.update(dict.fromkeys(("rfft", "dht", "dct"), lambda d, e: 2 <= d <= 4096))


# ---- rotary embedding ----

def rope_tables(rope, pos):
    """cos and sin of the binary32 angles, [..., n_rot / 2]; what is not said to be binary32 is double."""
    half = rope.n_rot // 2
    # powf as the correctly rounded power: NumPy's own binary32 power may differ from the C library's in the last bit
    step = F32(np.power(F64(rope.base), F64(F32(-2.0) / F32(rope.n_rot))))
    theta = np.asarray(pos).astype(F32)
    angles = np.empty(theta.shape + (half,), F32)
    for i in range(half):
        angle = F32(rope.freq_scale) * theta
        angles[..., i] = angle if rope.factors is None else angle / F32(rope.factors[i])
        theta = theta * step
    return np.cos(angles.astype(F64)), np.sin(angles.astype(F64))


def rope_pairs(rope, order):
    """The coordinates a and b of the pairs, in the codec's order."""
    half = rope.n_rot // 2
    if rope.kind == "normal" and order == "native":
        return slice(0, rope.n_rot, 2), slice(1, rope.n_rot, 2)
    return slice(0, half), slice(half, rope.n_rot)


def rotate(x, tables, pairs, direction):
    """direction +1: unrope; -1: its inverse."""
    cos, sin = tables[0], direction * tables[1]
    a, b = pairs
    y = x.copy()
    y[..., a] = x[..., a] * cos + x[..., b] * sin
    y[..., b] = x[..., b] * cos - x[..., a] * sin
    return y


def half_split(d, n_rot):
    """Where each coordinate of the half-split order is in the interleaved one."""
    return np.concatenate([np.arange(0, n_rot, 2), np.arange(1, n_rot, 2), np.arange(n_rot, d)])


# ---- quantizers ----

# group None: the row, or what the kind says; scale: the format of what is stored beside the codes, of lloyd_max the norm
# form: levels of sym, zero of asym, format of fp8, tensor of nvfp4, asym of channel; fit: what calibration rows gave
Quantizer = collections.namedtuple("Quantizer", "name bits group scale rounding form clip search fit", defaults=(None,) * 8)
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
                clip=float(take(options, "clip", "1")), search=take(options, "search", "false", ("true", "false")) == "true")


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


def is_fitted(quantizer):
    return KINDS[quantizer.name].fitted(quantizer, 1) > 0


def fitted(quantizer, c):
    """The quantizer with what calibration rows through the chain give it."""
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


# ---- codecs and their canonical text ----

Element = collections.namedtuple("Element", "name by per form size ordinal", defaults=(None,) * 5)
Codec = collections.namedtuple("Codec", "order chain quantizer")


def split_list(text, mark):
    """Splits at `mark` outside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if depth < 0:
            raise Unusable("unbalanced brackets in '%s'" % text)
        if c == mark and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if depth != 0:
        raise Unusable("unbalanced brackets in '%s'" % text)
    return [p.strip() for p in parts + [text[start:]] if p.strip()]


def parse_call(text):
    """'name(a=1,b=2)' or 'name' to the name and its options."""
    found = re.fullmatch(r"([A-Za-z0-9_]+)(?:\((.*)\))?", text)
    if not found:
        raise Unusable("'%s' is not name(option=value,...)" % text)
    options = {}
    for part in split_list(found.group(2) or "", ","):
        key, equals, value = part.partition("=")
        if not equals or key in options:
            raise Unusable("'%s' in '%s'" % (part, text))
        options[key] = value
    return found.group(1), options


def take(options, key, default, choices=None):
    value = options.pop(key, default)
    if value is None or (choices and value not in choices):
        raise Unusable("%s is %s" % (key, value))
    return value


LAYER_OR_HEAD = ("per", "layer", ("layer", "head"))
# option -> (field of Element, default, its choices or how it is read); a size of None is the element's own rule
ELEMENTS = {
    "identity": {}, "unrope": {}, "rfft": {}, "dht": {}, "dct": {},
    "hadamard": {"form": ("form", "sylvester", ("sylvester", "kronecker", "blocks"))},
    "bdr": {"block": ("size", "16", int)},
    "kronecker": {"a": ("size", "balanced", lambda text: None if text == "balanced" else int(text))},
    "householder": {"k": ("size", "half", lambda text: None if text == "half" else int(text))},
    "butterfly": {"angles": ("form", "random", ("random", "hadamard"))},
    "isoclinic4": {"form": ("form", "fast", ("fast", "full"))},
    "permutation": {"kind": ("form", "random", ("random", "zigzag")), "block": ("size", "16", int)},
    "centre": {"by": ("by", None, ("bias", "mean")), "per": ("per", "head", ("layer", "head"))},
    "scale": {"by": ("by", None, ("max",)), "per": LAYER_OR_HEAD},
    "smooth": {"alpha": ("size", "0.5", float), "pairs": ("form", "false", ("true", "false")), "per": LAYER_OR_HEAD},
}
for _name in ("signs",) + tuple(DRAWN):
    ELEMENTS[_name] = dict(ELEMENTS.get(_name, {}), per=LAYER_OR_HEAD)
ALIASES = {"srht": "signs,hadamard", "srft": "signs,rfft", "hdhd": "signs,hadamard,signs,hadamard", "sdht": "signs,dht", "sdct": "signs,dct"}


def parse_element(text):
    """Elements without their ordinals: an alias gives its own, identity none."""
    name, options = parse_call(text)
    if name in ALIASES and not options:
        return [e for part in ALIASES[name].split(",") for e in parse_element(part)]
    if name not in ELEMENTS:
        raise Unusable("the twin knows no transform '%s'" % text)
    e = Element(name)
    for option, (field, default, read) in ELEMENTS[name].items():
        value = take(options, option, default, None if callable(read) else read)
        e = e._replace(**{field: read(value) if callable(read) else value})
    if options:
        raise Unusable("option %s of %s" % (", ".join(sorted(options)), name))
    if e.by == "bias":
        e = e._replace(per=None)  # a bias belongs to its head
    return [] if name == "identity" else [e]


def element_seeded(e):
    return e.name == "signs" or (e.name in DRAWN and (e.name, e.form) not in (("butterfly", "hadamard"), ("permutation", "zigzag")))


def element_fits(e):
    return e.name in ("scale", "smooth") or e.by == "mean" or e.form == "zigzag"


def element_refusal(e, layer, stream, order):
    """Why the element cannot be applied; None where it can."""
    rope, d = layer.rope, layer.dim
    rotary = rope.kind in ("normal", "neox")
    if e.name in TAKES and not TAKES[e.name](d, e):
        return "%s at d = %d" % (e.name, d)
    if e.by == "bias" and layer.bias is None:
        return "the model has no key bias"
    if e.name == "unrope" and (stream != "k" or not rotary or rope.ext_factor != 0 or rope.attn_factor != 1 or rope.n_rot != d):
        return "unrope does not undo this embedding"
    if (e.name, e.form) == ("smooth", "true") and (d % 2 or (stream == "k" and rotary and (rope.n_rot != d or (rope.kind == "normal" and order == "native")))):
        return "no pairs i, i + d/2"
    return None


def parse_quantizer(text):
    name, options = parse_call(text)
    if name not in KINDS:
        raise Unusable("the twin knows no quantizer '%s'" % name)
    quantizer = Quantizer(name, **KINDS[name].parse(options))
    if options:
        raise Unusable("option %s of %s" % (", ".join(sorted(options)), name))
    return quantizer


def parse_codec(text):
    """Canonical text to a Codec; None for 'exact', an untouched stream."""
    if text == "exact":
        return None
    fields = {}
    for part in split_list(text, ";"):
        key, equals, value = part.partition("=")
        if not equals or key in fields:
            raise Unusable("'%s' in '%s'" % (part, text))
        fields[key] = value
    order = take(fields, "order", "half_split", ("half_split", "native"))
    chain = take(fields, "chain", "[]")
    quantizer = parse_quantizer(take(fields, "quantizer", None))
    for off in ("window", "sink"):
        take(fields, off, "0", ("0",))
    if fields or not (chain.startswith("[") and chain.endswith("]")):
        raise Unusable("codec '%s'" % text)
    elements = [e for part in split_list(chain[1:-1], ",") for e in parse_element(part)]
    return Codec(order, tuple(e._replace(ordinal=ordinal) for ordinal, e in enumerate(elements)), quantizer)


def is_seeded(codec):
    return codec is not None and any(map(element_seeded, codec.chain))


def refusal(codec, layer, stream):
    """Why the codec cannot be applied at this layer; None where it can."""
    if codec is None:
        return None
    reasons = [element_refusal(e, layer, stream, codec.order) for e in codec.chain] + [KINDS[codec.quantizer.name].refusal(codec.quantizer, stream, layer.dim)]
    return next((r for r in reasons if r), None)


def bits_per_value(codec, stream, n_tokens, dim, n_heads):
    """(payload, side) of one stream."""
    side = 0.0
    for e in codec.chain:
        if element_fits(e):
            values = -(-dim * (dim - 1).bit_length() // 32) if e.form == "zigzag" else dim // 2 if (e.name, e.form) == ("smooth", "true") else dim
            side += 32.0 * values / (TOKENS_FOR_SIDE * dim * (n_heads if e.per == "layer" else 1))
    side += 32.0 * KINDS[codec.quantizer.name].fitted(codec.quantizer, dim) / (TOKENS_FOR_SIDE * dim)
    return KINDS[codec.quantizer.name].payload(codec.quantizer, stream, n_tokens, dim), side


# ---- captures ----

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
        for name in ("q", "weight", "hidden", "v", "scores", "p", "log_sum", "top", "out", "out_energy"):
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

    def measure(self, k, v):
        """Metrics of one document's decoded keys and values [token, d]; None: untouched. The mean over queries, then over query heads."""
        if k is None:
            return {"output_error": self.output_error(self.p @ v)}
        s = self.q @ k.T
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
        found["output_error"] = self.output_error(p @ (self.v if v is None else v))
        return found


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


ROUNDING = 2.0 ** -22  # four units of binary32's rounding: what a float transform, its inverse and the decoder may move a row by, of its size


class Answer:
    """What the twin says of one cell: bits, metrics [document, head], and the slack of the vector metrics' numerators."""

    def __init__(self, bits, values, slack):
        self.bits, self.values, self.slack = bits, values, slack


def measure(layer, rows, numerators, slacks):
    """rows: stream -> decoded rows of the coded streams."""
    energy = sum(layer.energy[s] for s in rows)
    centred = sum(layer.energy_centred[s] for s in rows)
    numerator = sum(numerators[s] for s in rows)
    # |q + f|^2 - |q|^2 where f is the rows' rounding, ROUNDING of their size and independent of the quantization error q
    count = len(rows) * layer.pos.shape[1] * layer.dim
    slack = sum(slacks[s] for s in rows) + ROUNDING ** 2 * energy + 2 * ROUNDING * np.sqrt(numerator * energy / count)
    values = {"nmse": (numerator / energy).T, "nmse_centred": (numerator / centred).T}
    slack = {"nmse": (slack / energy).T, "nmse_centred": (slack / centred).T}
    if layer.heads and rows:
        found = [[a.documents[n].measure(*(rows[s][h, n] if s in rows else None for s in STREAMS)) for h, a in enumerate(layer.heads)]
                 for n in range(layer.pos.shape[0])]
        for name in found[0][0]:
            values[name] = np.array([[m[name] for m in heads] for heads in found])
        noise = np.sqrt(np.mean([a.score_noise ** 2 for a in layer.heads]))
        slack["logit_error"], slack["softmax_kl"], slack["output_error"] = noise, noise ** 2, noise ** 2 + ROUNDING ** 2
    return values, slack


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


# ---- workers ----

_captures, _layer = {}, (None, None)


def _start(captures):
    _captures.update(captures)


def _work(task, judged=True):
    """task: (model, layer, campaign seed, [(seed, chains, [(cell, quantizers)])]) to [(cell, Answer)]."""
    global _layer
    model, number, campaign_seed, groups = task
    if _layer[0] != (model, number):
        _layer = (model, number), Layer(_captures[model], number)
    out = []
    for seed, chains, members in groups:
        answers = compute_group(_layer[1], chains, seed, [q for _, q in members], campaign_seed, judged)
        out.extend((cell, answer) for (cell, _), answer in zip(members, answers))
    return out


def _look_again(task):
    """task: (model, layer, campaign seed, seed, codecs, cell, Answer, stated) to (cell, Answer, roundings turned over)."""
    global _layer
    model, number, campaign_seed, seed, codecs, cell, answer, stated = task
    if _layer[0] != (model, number):
        _layer = (model, number), Layer(_captures[model], number)
    return cell, answer, second_look(_layer[1], codecs, seed, campaign_seed, answer, stated)


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


# ---- check ----

class Tally:
    """Passes and failures, and the worst deviation per arm and metric."""

    def __init__(self):
        self.passed, self.failures, self.worst = 0, [], {}

    def note(self, faults, where):
        if faults:
            self.failures.append("%s: %s" % (where, "; ".join(faults)))
        else:
            self.passed += 1

    def deviation(self, arm, metric, share, deviation, where):
        old = self.worst.get((metric, arm))
        count = 1 if old is None else old[0] + 1
        self.worst[metric, arm] = (count, share, deviation, where) if old is None or not share <= old[1] else (count,) + old[1:]

    def show(self, limit=40):
        print("%-13s %-28s %6s  %-13s %-10s %s" % ("metric", "arm", "cells", "worst/budget", "deviation", "where"))
        for (metric, arm), (count, share, deviation, where) in sorted(self.worst.items()):
            print("%-13s %-28s %6d  %-13.3g %-10.3g %s" % (metric, arm, count, share, deviation, where))
        for text in self.failures[:limit]:
            print("FAIL " + text)
        if len(self.failures) > limit:
            print("FAIL ... and %d more" % (len(self.failures) - limit))
        print("%d passed, %d failed" % (self.passed, len(self.failures)))


Cell = collections.namedtuple("Cell", "index source layer arm point streams codec_k codec_v seeded seed status n_documents n_heads bits")


class Results:
    """The columns of a results file that the twin needs."""

    def __init__(self, path):
        with h5py.File(path, "r") as f:
            if attribute(f, "schema") != "gyre-results":
                raise Unusable("%s is not a results file" % path)
            self.campaign_seed, self.n_seeds = int(f.attrs["campaign_seed"]), int(f.attrs["n_seeds"])
            self.missing = int(f.attrs["missing_cells"])
            c = f["cells"]

            def column(name):
                return list(c[name].asstr()[()]) if h5py.check_string_dtype(c[name].dtype) else c[name][()].tolist()
            texts = [column(n) for n in ("source", "layer", "arm", "point", "streams", "codec_k", "codec_v", "seeded", "seed", "status", "n_documents", "n_heads")]
            bits = list(zip(*(column(n) for n in ("payload_bits", "side_bits", "total_bits"))))
            self.cells = [Cell(i, *row) for i, row in enumerate(zip(*texts, bits))]
            self.metrics = {name: f["metrics"][name][()] for name in f["metrics"]}
            s = f["sources"]
            evaluation, calibration = s["document_name"].asstr()[()], s["calibration_name"].asstr()[()]
            sha = s["model_sha256"].asstr()[()]
            self.sources = {}
            for i, name in enumerate(f["source"].asstr()[()]):
                self.sources[name] = (sha[i], list(evaluation[i][:int(s["n_documents"][i])]), list(calibration[i][:int(s["n_calibration"][i])]))


def where(cell):
    return "cell %d (%s layer %d, %s %s seed %d)" % (cell.index, cell.source, cell.layer, cell.arm, cell.point, cell.seed)


def check_sources(results, captures, split, tally):
    """Every source has its capture, with the documents that the page's split gives."""
    for name, (sha, evaluation, calibration) in results.sources.items():
        faults = []
        capture = captures.get(name)
        if capture is None:
            faults.append("no capture given for this source")
        else:
            if capture.model_sha256 != sha:
                faults.append("the capture is of another model file")
            unknown = [d for d in evaluation + calibration if d not in capture.documents]
            if unknown:
                faults.append("documents that the capture has not: %s" % ", ".join(unknown))
            elif split == "file":
                capture.use_split(calibration, evaluation)
                if set(calibration) & set(evaluation):
                    faults.append("calibration overlaps evaluation")
            elif evaluation != [capture.documents[i] for i in capture.evaluation] or calibration != [capture.documents[i] for i in capture.calibration]:
                faults.append("not the default split")
        tally.note(faults, "source " + name)


def plan_tasks(results, captures, cells, tally, seeds_per_task=8):
    """Checks what needs no numbers, and groups the OK cells into tasks."""
    facts, groups, wanted = {}, collections.OrderedDict(), {}
    for cell in cells:
        faults = []
        try:
            codecs = {s: c for s, c in (("k", parse_codec(cell.codec_k)), ("v", parse_codec(cell.codec_v))) if c is not None}
            capture = captures.get(cell.source)
            if capture is None or cell.layer not in capture.layers:
                raise Unusable("no capture of this layer")
            if (cell.source, cell.layer) not in facts:
                facts[cell.source, cell.layer] = Layer(capture, cell.layer, facts_only=True)
        except (Unusable, ValueError) as problem:
            tally.note(["not understood: %s" % problem], where(cell))
            continue
        layer = facts[cell.source, cell.layer]
        refused = [r for r in (refusal(c, layer, s) for s, c in codecs.items()) if r]
        seeded = any(is_seeded(c) for c in codecs.values())
        if cell.streams != ("".join(s for s in STREAMS if s in codecs) or "none"):
            faults.append("streams '%s' do not fit the codecs" % cell.streams)
        if bool(cell.seeded) != seeded or (not seeded and cell.seed != 0) or cell.seed >= max(1, results.n_seeds):
            faults.append("seeded %d, seed %d do not fit the codecs" % (cell.seeded, cell.seed))
        if cell.status not in ("OK", "SKIPPED"):
            faults.append("status %s" % cell.status)
        elif cell.status == "SKIPPED" and not refused:
            faults.append("SKIPPED, but nothing refuses it")
        elif cell.status == "OK" and refused:
            faults.append("OK, but should be SKIPPED: " + refused[0])
        if cell.status != "OK" or faults:
            if any(np.isfinite(m[cell.index]).any() for m in results.metrics.values()) and cell.status != "OK":
                faults.append("has numbers")
            tally.note(faults, where(cell))
            continue
        wanted[cell.index] = cell
        chains = {s: c._replace(quantizer=None) for s, c in codecs.items()}
        key = (cell.source, cell.layer, tuple(sorted(chains.items())))
        groups.setdefault(key, collections.OrderedDict()).setdefault(cell.seed, (chains, []))[1].append((cell.index, {s: c.quantizer for s, c in codecs.items()}))
    tasks = []
    for (source, number, _), by_seed in groups.items():
        work = [(seed, chains, members) for seed, (chains, members) in by_seed.items()]
        tasks += [(source, number, results.campaign_seed, work[i:i + seeds_per_task]) for i in range(0, len(work), seeds_per_task)]
    tasks.sort(key=lambda t: t[:2])
    return tasks, wanted


class Verdict:
    """Faults of one cell; the deviations are (metric, share of the budget, deviation, where)."""

    def __init__(self):
        self.faults, self.deviations, self.in_attention_only = [], [], True

    def judge(self, metric, deviation, allowed, kind, place_of_cell):
        deviation, allowed = np.broadcast_arrays(np.atleast_1d(deviation), np.atleast_1d(allowed))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(deviation == 0, 0.0, deviation / allowed)
        share = np.where(np.isnan(share), np.inf, share)
        worst = np.unravel_index(share.argmax(), share.shape)
        place = "" if deviation.size == 1 else " document %d head %d" % worst
        label = metric + ("" if kind == "mean" or metric in Budget.unit else "/unit")
        self.deviations.append((label, share[worst], deviation[worst], place_of_cell + place))
        if not share[worst] <= 1:
            self.faults.append("%s%s: off by %.3g, allowed %.3g" % (metric, place, deviation[worst], allowed[worst]))
            self.in_attention_only &= np.isfinite(share[worst]) and metric != "bits" and metric not in Budget.unit

    def fault(self, text):
        self.faults.append(text)
        self.in_attention_only = False


def check_cell(results, cell, answer):
    verdict = Verdict()
    for stated, own in zip(cell.bits, answer.bits):
        if not (np.isnan(own) and np.isnan(stated)):
            verdict.judge("bits", abs(stated - own), Budget.bits * own, "mean", where(cell))
    for name, column in results.metrics.items():
        stated = column[cell.index]
        if name not in METRICS:
            verdict.fault("the twin knows no metric '%s'" % name)
        elif name not in answer.values:
            if not np.isnan(stated).all():
                verdict.fault("%s has numbers where it is not defined" % name)
        else:
            d, h = answer.values[name].shape
            if (cell.n_documents, cell.n_heads) != (d, h):
                verdict.fault("%d documents, %d heads; the twin has %d, %d" % (cell.n_documents, cell.n_heads, d, h))
                break
            outside = np.ones(stated.shape, bool)
            outside[:d, :h] = False
            if not np.isnan(stated[outside]).all():
                verdict.fault("%s has numbers beyond its documents and heads" % name)
            for kind, deviation, allowed in compare(name, stated[:d, :h], answer):
                verdict.judge(name, deviation, allowed, kind, where(cell))
    return verdict


def demo_codecs(has_bias):
    """(stream, codec without ordinals' aliases) of the demonstration, as text; every cell of it has to be there."""
    sym, deployed = "sym(bits=%d,group=row,scale=f32)", "sym(bits=%d,group=32,scale=f32)"
    plain = [("identity", sym), ("srht", sym), ("srft", sym), ("srft,scale(by=max)", deployed)]
    keys = plain + [("unrope,srht", sym)]
    if has_bias:
        keys += [("unrope,centre(by=bias)", sym), ("unrope,centre(by=bias),srht", sym)]
    for stream, chains in (("k", keys), ("v", plain)):
        for chain, quantizer in chains:
            for bits in (3, 4, 8):
                yield stream, parse_codec("order=half_split;chain=[%s];quantizer=%s" % (chain, quantizer % bits))


def check_demo(results, captures, tally):
    """The demonstration's cells are all there, whatever their arms are called. Two captures, one with a key bias; 32 seeds."""
    there = collections.Counter()
    for cell in results.cells:
        try:
            k, v = parse_codec(cell.codec_k), parse_codec(cell.codec_v)
        except (Unusable, ValueError):
            continue
        if cell.status == "OK":
            there[cell.source, cell.layer, k, v and v._replace(order=None), cell.seed] += 1
    tally.note([] if len(results.sources) >= 2 else ["%d sources, 2 expected" % len(results.sources)], "the demonstration")
    tally.note(["no metric " + m for m in METRICS if m not in results.metrics], "the demonstration's metrics")
    for name, capture in captures.items():
        for number in capture.layers:
            layer = Layer(capture, number, facts_only=True)
            lacking = []
            for stream, codec in demo_codecs(layer.bias is not None):
                for seed in range(32 if is_seeded(codec) else 1):
                    pair = (codec, None) if stream == "k" else (None, codec._replace(order=None))
                    if not there[(name, number) + pair + (seed,)]:
                        lacking.append("%s %s seed %d" % (stream, codec, seed))
            tally.note(["%d planned cells missing, the first: %s" % (len(lacking), lacking[0])] if lacking else [], "the demonstration on %s layer %d" % (name, number))


SECOND_LOOKS = 0.01 # of the cells: where more disagree, the cause is another


def second_task(results, cell, answer):
    codecs = {s: c for s, c in (("k", parse_codec(cell.codec_k)), ("v", parse_codec(cell.codec_v))) if c is not None}
    shape = answer.values["nmse"].shape
    stated = {m: column[cell.index][:shape[0], :shape[1]] for m, column in results.metrics.items()}
    return cell.source, cell.layer, results.campaign_seed, cell.seed, codecs, cell.index, answer, stated


def check(results_path, capture_paths, every=1, expect=None, split="default", workers=2, quiet=False):
    tally, start = Tally(), time.monotonic()
    results = Results(results_path)
    captures = {c.model: c for c in map(Capture, capture_paths)}
    tally.note(["%d planned cells are missing" % results.missing] if results.missing else ([] if results.cells else ["no cells"]), "the plan")
    check_sources(results, captures, split, tally)
    if expect == "demo":
        check_demo(results, captures, tally)
    cells = [c for c in results.cells if c.index % every == 0]
    tasks, wanted = plan_tasks(results, captures, cells, tally)
    computed, again, turned = len(wanted), [], 0

    def record(cell, verdict):
        for deviation in verdict.deviations:
            tally.deviation(cell.arm, *deviation)
        tally.note(verdict.faults, where(cell))

    with contextlib.ExitStack() as stack:
        if workers > 1:
            spread = stack.enter_context(multiprocessing.Pool(workers, _start, (captures,))).imap_unordered
        else:
            spread = map
            _start(captures)
        for index, answer in (pair for part in spread(_work, tasks) for pair in part):
            cell = wanted.pop(index)
            verdict = check_cell(results, cell, answer)
            if verdict.faults and verdict.in_attention_only:
                again.append((cell, answer, verdict))
            else:
                record(cell, verdict)
        if len(again) > max(8, SECOND_LOOKS * computed):  # no accident of rounding
            for cell, _, verdict in again:
                record(cell, verdict)
            again = []
        by_index = {cell.index: cell for cell, _, _ in again}
        again.sort(key=lambda a: (a[0].source, a[0].layer))
        for index, answer, count in spread(_look_again, [second_task(results, cell, answer) for cell, answer, _ in again]):
            record(by_index[index], check_cell(results, by_index[index], answer))
            turned += count
    tally.note(["%d cells were not computed" % len(wanted)] if wanted else [], "the twin")
    if not quiet:
        print("%d of %d cells, %d computed again, %.1f s, %d workers" % (len(cells), len(results.cells), computed, time.monotonic() - start, workers))
        print("%d cells had a second look; %d roundings that binary32 leaves undecided were taken the other way" % (len(again), turned))
        tally.show()
    return tally


def compute(results_path, capture_paths):
    """Computes the cells of a results file on one core and compares nothing: what bench/twin_ratio.py times."""
    results, tally = Results(results_path), Tally()
    captures = {c.model: c for c in map(Capture, capture_paths)}
    check_sources(results, captures, "file", tally)
    tasks, wanted = plan_tasks(results, captures, results.cells, tally)
    if tally.failures:
        raise Unusable(tally.failures[0])
    _start(captures)
    done = sum(len(_work(task, judged=False)) for task in tasks)
    print("%d cells of %d computed" % (done, len(wanted)))


# ---- selftest: known answers, and the definitions once more as plain loops in binary32 ----

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


def naive_metrics(f, number, evaluation, decoded):
    """Metrics [document, head] as loops over queries and keys. decoded: stream -> [document, token, head, d] of the coded streams."""
    g = f["layer_%02d" % number]
    rows = {s: g[s][()].astype(F64)[evaluation] for s in STREAMS}
    now = {s: decoded.get(s, rows[s]) for s in STREAMS}
    q, owner, pos, query_pos = g["q"][()].astype(F64)[evaluation], g["kv_head_of"][()], f["pos"][()][evaluation], f["query_pos"][()][evaluation]
    scale, window = g.attrs["score_scale"], g.attrs["sliding_window"]
    n_docs, _, n_heads, _ = rows["k"].shape
    values = {name: np.full((n_docs, n_heads), np.nan) for name in METRICS}
    for n in range(n_docs):
        for h in range(n_heads):
            moved = [((now[s][n, :, h] - rows[s][n, :, h]) ** 2).sum() for s in decoded]
            values["nmse"][n, h] = sum(moved) / sum((rows[s][n, :, h] ** 2).sum() for s in decoded)
            values["nmse_centred"][n, h] = sum(moved) / sum(((rows[s][n, :, h] - rows[s][:, :, h].mean((0, 1))) ** 2).sum() for s in decoded)
            found = collections.defaultdict(list)
            for j in np.flatnonzero(owner == h):
                per = collections.defaultdict(list)
                for i, at in enumerate(query_pos[n]):
                    keys = [t for t in range(pos.shape[1]) if pos[n, t] <= at and (window == 0 or pos[n, t] > at - window)]
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


def synthetic_capture(path, model, kind, d, with_bias, window=0, n_documents=5, n_tokens=20, n_queries=3, n_heads=2, n_group=2):
    random = np.random.RandomState(len(model) + d)
    text = h5py.string_dtype()
    with h5py.File(path, "w") as f:
        for name, value in (("schema", "gyre-capture"), ("order", "native"), ("model_name", model), ("model_sha256", model * 2)):
            f.attrs[name] = value
        f.create_dataset("document", data=["text %d" % i for i in range(n_documents)], dtype=text)
        f["layer"] = np.array([0, 3], np.uint32)
        f["pos"] = np.tile(np.arange(n_tokens, dtype=np.int32), (n_documents, 1))
        f["query_pos"] = np.tile(np.arange(n_tokens - n_queries, n_tokens, dtype=np.int32), (n_documents, 1))
        for number in (0, 3):
            g = f.create_group("layer_%02d" % number)
            for name, value in (("rope_kind", kind), ("rope_n_rot", d), ("rope_base", 1e4), ("rope_freq_scale", 1.0), ("rope_ext_factor", 0.0),
                                ("rope_attn_factor", 1.0), ("score_scale", float(F32(1 / np.sqrt(d)))), ("sliding_window", window)):
                g.attrs[name] = value
            bias = 3 * random.randn(n_heads, d)
            for name, heads, tokens in (("k", n_heads, n_tokens), ("v", n_heads, n_tokens), ("q", n_heads * n_group, n_queries)):
                rows = random.randn(n_documents, tokens, heads, d) * np.exp(random.randn(d) / 2)
                g[name] = (rows + bias if name == "k" else rows).astype(F16)
            g["kv_head_of"] = np.repeat(np.arange(n_heads, dtype=np.uint32), n_group)
            if with_bias:
                g["k_bias"] = bias.astype(F32)


SELFTEST_CODECS = (
    ("chain=[];quantizer=sym(bits=4,group=row,scale=f32)", "exact"),
    ("order=native;chain=[signs(per=head),hadamard];quantizer=sym(bits=3,group=4,scale=f16)", "exact"),
    ("order=half_split;chain=[unrope,signs(per=layer),hadamard(form=sylvester)];quantizer=sym(bits=8,group=row,scale=f32)", "exact"),
    ("order=native;chain=[unrope,centre(by=bias,per=head),srft];quantizer=asym(bits=4,group=row,scale=f32)", "exact"),
    ("order=half_split;chain=[unrope,centre(by=bias),srht];quantizer=sym(bits=4,group=row,scale=f32)", "exact"),
    ("order=half_split;chain=[srft,scale(by=max,per=layer)];quantizer=sym(bits=4,group=4,scale=f32)", "exact"),
    ("order=half_split;chain=[centre(by=mean,per=head),rfft];quantizer=asym(bits=2,group=4,scale=f16)", "chain=[];quantizer=f16"),
    ("exact", "chain=[centre(by=mean,per=layer),scale(by=max,per=head)];quantizer=asym(bits=5,group=row,scale=f16)"),
    ("exact", "chain=[signs(per=layer),rfft];quantizer=sym(bits=4,group=row,scale=f32)"),
    ("chain=[srft];quantizer=exact", "chain=[signs,hadamard];quantizer=sym(bits=3)"),
    ("order=half_split;chain=[unrope,hadamard(form=blocks),rffthash(per=head)];quantizer=sym(bits=4,group=row,scale=f32)", "chain=[rffthash];quantizer=sym(bits=3)"),
    ("order=native;chain=[dht,scale(by=max,per=head)];quantizer=asym(bits=4,group=row,scale=f32)", "chain=[sdct];quantizer=sym(bits=4)"),
    ("chain=[bdr(block=4),dct];quantizer=sym(bits=4,group=4)", "chain=[hadamard(form=kronecker)];quantizer=asym(bits=3)"),
    ("chain=[hdhd];quantizer=sym(bits=4)", "chain=[sdht];quantizer=sym(bits=5)"),
    ("chain=[bdr];quantizer=sym(bits=4)", "exact"),
    ("chain=[srft];quantizer=sym(bits=4,group=row,scale=f32,rounding=half_even,levels=full,clip=0.90000000000000002,search=false)", "exact"),
    ("chain=[srht];quantizer=asym(bits=3,group=4,scale=bf16,rounding=half_up,zero=minimum,clip=0.94999999999999996,search=false)", "exact"),
    ("exact", "chain=[srht];quantizer=asym(bits=4,group=row,scale=f16,rounding=half_even,zero=integer,clip=1,search=false)"),
    ("exact", "chain=[srft];quantizer=sym(bits=4,group=4,scale=e4m3,rounding=half_away,levels=symmetric,clip=1,search=true)"),
    ("chain=[srht];quantizer=lloyd_max(bits=3)", "chain=[srht];quantizer=lloyd_max(bits=5,norm=f32,fit=gaussian)"),
    ("order=native;chain=[signs(per=layer),rfft];quantizer=kivi(bits=4,group=8,scale=f16)", "exact"),
    ("chain=[unrope];quantizer=kivi(bits=3,group=4,scale=f32)", "chain=[];quantizer=kivi(bits=2,group=4,scale=f16)"),
    ("exact", "exact"),
)


def synthetic_results(path, capture_paths):
    """A results file made by the loops above."""
    rows, metrics, sources = [], [], []
    for capture_path in capture_paths:
        capture = Capture(capture_path)
        sources.append(capture)
        with h5py.File(capture_path, "r") as f:
            for number in capture.layers:
                layer = Layer(capture, number, facts_only=True)
                for point, texts in enumerate(SELFTEST_CODECS):
                    codecs = {s: c for s, c in zip(STREAMS, map(parse_codec, texts)) if c is not None}
                    seeded = any(map(is_seeded, codecs.values()))
                    skipped = any(refusal(c, layer, s) for s, c in codecs.items())
                    for seed in range(2 if seeded else 1):
                        decoded, bits = {}, []
                        for s, c in codecs.items() if not skipped else ():
                            g = f["layer_%02d" % number]
                            x, pos = g[s][()].astype(F32), f["pos"][()]
                            ev, cal = capture.evaluation, capture.calibration
                            heads = [naive_chain(c, x[ev][:, :, h], x[cal].transpose(2, 0, 1, 3), pos[ev], pos[cal],
                                                 g["k_bias"][h] if "k_bias" in g else None, layer.rope, h, number, seed, s) for h in range(layer.n_heads)]
                            decoded[s] = np.stack(heads, axis=2)
                            bits.append(bits_per_value(c, s, pos.shape[1], layer.dim, layer.n_heads))
                        nothing = skipped or not codecs
                        payload, side = (np.nan, np.nan) if nothing else np.mean(bits, 0)
                        rows.append((capture.model, number, "arm%02d" % point, "", "".join(codecs) or "none", texts[0], texts[1], seeded, seed,
                                     "SKIPPED" if skipped else "OK", 0 if skipped else 4, 0 if skipped else layer.n_heads, payload, side, payload + side))
                        values = {} if nothing else naive_metrics(f, number, capture.evaluation, decoded)
                        metrics.append([values.get(m, np.full((4, 2), np.nan)) for m in METRICS])
    text = h5py.string_dtype()
    with h5py.File(path, "w") as f:
        for name, value in (("schema", "gyre-results"), ("campaign_seed", 0), ("n_seeds", 2), ("missing_cells", 0)):
            f.attrs[name] = value
        names = ("source", "layer", "arm", "point", "streams", "codec_k", "codec_v", "seeded", "seed", "status", "n_documents", "n_heads", "payload_bits",
                 "side_bits", "total_bits")
        for name, column in zip(names, zip(*rows)):
            f.create_dataset("cells/" + name, data=list(column), dtype=text if isinstance(column[0], str) else None)
        for i, name in enumerate(METRICS):
            f["metrics/" + name] = np.array([m[i] for m in metrics])
        f.create_dataset("source", data=[c.model for c in sources], dtype=text)
        f.create_dataset("sources/model_sha256", data=[c.model_sha256 for c in sources], dtype=text)
        for name, column in (("document_name", "evaluation"), ("calibration_name", "calibration")):
            f.create_dataset("sources/" + name, data=[[c.documents[i] for i in getattr(c, column)] for c in sources], dtype=text)
        f["sources/n_documents"] = [len(c.evaluation) for c in sources]
        f["sources/n_calibration"] = [len(c.calibration) for c in sources]


def damages(results_path):
    """(what, function on the open file): each must make exactly one cell fail."""
    with h5py.File(results_path, "r") as f:
        ok = [i for i, (s, t) in enumerate(zip(f["cells/status"].asstr()[()], f["cells/streams"].asstr()[()])) if s == "OK" and t == "k"]
    cell = ok[1]

    def scale(name, factor):
        def do(f):
            f["metrics/" + name][cell] = f["metrics/" + name][cell] * factor
        return do

    def one_unit(f):
        f["metrics/nmse"][cell, 0, 1] *= 1 + 1e-4

    def exchange(f):
        f["metrics/softmax_kl"][cell] = f["metrics/softmax_kl"][cell][::-1]

    def put(name, value):
        def do(f):
            f["cells/" + name][cell] = value
        return do

    def flip(f):
        f["metrics/flip"][cell] = f["metrics/flip"][cell] + 0.006

    def nan(f):
        f["metrics/logit_error"][cell, 0, 0] = np.nan

    return [("nmse of a unit", one_unit), ("logit_error", scale("logit_error", 1 + 2e-4)), ("softmax_kl", scale("softmax_kl", 1 - 2e-3)), ("flip", flip),
            ("output_error", scale("output_error", 1 + 2e-3)), ("documents exchanged", exchange), ("NaN", nan), ("payload_bits", put("payload_bits", 4.0000001)),
            ("status", put("status", "SKIPPED")), ("seed", put("seed", 1)), ("codec", put("codec_k", "chain=[mystery];quantizer=sym(bits=4)"))]


def selftest():
    passed, failed = 0, []

    def expect(ok, what):
        nonlocal passed
        passed += bool(ok)
        if not ok:
            failed.append(what)
            print("FAIL " + what)

    for counter, key, known in (([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
                                ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
                                ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], "d16cfe09 94fdcceb 5001e420 24126ea1")):
        expect(" ".join("%08x" % w for w in philox4x32([counter], key)[0]) == known, "Philox known answer " + known)
    first = philox4x32([[0, 0, 65535, 65536]], (0, 0))[0]
    expect(all((signs(40, Draw(0, 0, 0, ALL_HEADS, 0, 0))[i] < 0) == bool(int(first[i // 32]) >> (i % 32) & 1) for i in range(40)), "signs are the words' bits, lowest first")
    expect(abs(signs(1 << 16, Draw(7, 3, 2, 1, 1, 1)).mean()) < 0.02, "signs are balanced")

    draw = Draw(5, 1, 2, ALL_HEADS, 3, 0)
    expect(np.array_equal(words(7, PURPOSE_SIGNS, Draw(0, 0, 0, ALL_HEADS, 0, 0))[:4], first), "the first words of a stream are its first block")
    expect(abs(normals(1 << 16, draw).var() - 1) < 0.02 and sorted(shuffled(97, draw)) == list(range(97)), "normals and permutations are such")
    even = (2, 8, 12, 20, 64, 80, 96, 112)
    taken = {"hadamard": (2, 8, 64), "hadamard(form=kronecker)": (2, 8, 12, 20, 64, 80, 96), "hadamard(form=blocks)": even, "bdr(block=4)": (8, 12, 20, 64, 80, 96, 112),
             "bdr(block=12)": (), "bdr": (64, 80, 96, 112), "rfft": (2, 3, 8, 12, 20, 63, 64, 80, 96, 112), "rffthash": even, "kronecker": (8, 12, 20, 63, 64, 80, 96, 112),
             "kronecker(a=4)": (8, 12, 20, 64, 80, 96, 112), "householder(k=3)": (3, 8, 12, 20, 63, 64, 80, 96, 112), "butterfly": (2, 8, 64),
             "butterfly(angles=hadamard)": (2, 8, 64), "givens": even, "rotor3": (3, 8, 12, 20, 63, 64, 80, 96, 112), "isoclinic4": (8, 12, 20, 64, 80, 96, 112),
             "isoclinic4(form=full)": (8, 12, 20, 64, 80, 96, 112)}
    taken["householder"] = taken["haar"] = taken["permutation"] = taken["dht"] = taken["dct"] = taken["rfft"]
    expect({parse_element(text)[0].name for text in taken} == set(FIXED) | set(DRAWN), "every matrix is looked at")
    for text, dimensions in taken.items():
        e = parse_element(text)[0]
        for d in (2, 3, 8, 12, 20, 63, 64, 80, 96, 112):
            takes = e.name not in TAKES or bool(TAKES[e.name](d, e))
            expect(takes == (d in dimensions), "%s at d = %d is taken or refused as the page says" % (text, d))
            if takes:
                m = FIXED[e.name](d, e) if e.name in FIXED else DRAWN[e.name](d, e, draw)
                expect(m.shape == (d, d) and np.abs(m @ m.T - np.eye(d)).max() < 1e-13, "%s is orthogonal at d = %d" % (text, d))
                if e.name in ("givens", "butterfly", "rotor3", "isoclinic4"):
                    expect(abs(np.linalg.det(m) - 1) < 1e-12, "%s is a rotation at d = %d" % (text, d))
    for d in (2, 3, 8, 12, 20, 63, 64, 80, 96, 112):
        x = np.random.RandomState(d).randn(d)
        y, h = np.fft.fft(x) / np.sqrt(d), (d - 1) // 2
        packed = np.concatenate([[y[0].real], np.sqrt(2) * y[1:h + 1].real, [y[d // 2].real] if d % 2 == 0 else [], np.sqrt(2) * y[1:h + 1].imag])
        expect(np.allclose(rfft_matrix(d) @ x, packed, atol=1e-13), "rfft is the packed transform at d = %d" % d)
        expect(np.allclose(dht_matrix(d) @ x, y.real - y.imag, atol=1e-13), "dht is real minus imaginary part at d = %d" % d)
    for p, row in ((12, "-+-+---+++-+"), (20, "-+-++----+-+-++++--+")):
        m = paley(p)
        expect(np.array_equal(m @ m.T, p * np.eye(p)) and np.array_equal(m + m.T, 2 * np.eye(p)) and "".join("+-"[int(v < 0)] for v in m[1]) == row, "P_%d is the page's" % p)
    g = normals(144, draw).reshape(12, 12)
    r = positive_q(g).T @ g
    expect(np.abs(np.tril(r, -1)).max() < 1e-13 and (np.diagonal(r) > 0).all(), "G = Q R with a positive diagonal")
    h = householder_matrix(12, 3, draw)
    expect(np.linalg.matrix_rank(np.eye(12) - h) == 3 and abs(np.linalg.det(h) + 1) < 1e-12, "three reflectors leave nine dimensions and turn the sign")
    expect(np.allclose(np.abs(butterfly_matrix(16, "hadamard", draw)), 0.25), "the butterfly at pi/4 is flat")
    q, v = quaternion_matrix([0, 1, 0, 0]), np.array([0, 0, 1, 0])
    expect(np.array_equal(q @ v, [0, 0, 0, 1]) and np.array_equal(quaternion_matrix([0, 1, 0, 0], right=True) @ v, [0, 0, 0, -1]), "i j = k and j i = -k")
    expect(list(zigzag([3, 8, 1, 8, 5, 2, 7, 0], 4)) == [1, 4, 0, 7, 3, 6, 5, 2], "channels are dealt in zigzag")

    rope = Rope("neox", 8, 1e4, 1.0, 0.0, 1.0, None)
    x, pos = np.random.RandomState(1).randn(2, 3, 8), np.array([[0, 1, 383], [5, 6, 70000]])
    turned = rotate(x, rope_tables(rope, pos), rope_pairs(rope, "native"), 1)
    expect(np.allclose(rotate(turned, rope_tables(rope, pos), rope_pairs(rope, "native"), -1), x, atol=1e-14) and np.array_equal(turned[0, 0], x[0, 0]),
           "unrope is undone, and nothing at position 0")

    rows = np.random.RandomState(2).randn(200, 64)
    rows[0] = 0
    for text in ("sym(bits=%d,group=%s,scale=%s)", "asym(bits=%d,group=%s,scale=%s)"):
        for bits in range(2, 9):
            for group in ("row", "16"):
                for scale in ("f32", "f16"):
                    q = parse_quantizer(text % (bits, group, scale))
                    g = rows.reshape(200, -1, q.group or 64)
                    step = np.abs(g).max(-1) / (2 ** (bits - 1) - 1) if q.name == "sym" else (g.max(-1) - g.min(-1)) / (2 ** bits - 1)
                    error = np.abs(quantize(rows, q, "k").reshape(g.shape) - g).max(-1)
                    room = np.abs(g).max(-1) * (2.0 ** -9 if scale == "f16" else 2.0 ** -22)  # what rounding the scale moves the ends by
                    expect((error <= step / 2 + room).all() and not error[0].any(), "error of %s is at most half a step" % (q,))
    expect(np.abs(quantize(rows, parse_quantizer("f16"), "k") - rows).max() < 2e-3 and np.array_equal(quantize(rows, parse_quantizer("exact"), "k"), rows.astype(F32)), "f16, exact")
    for text in ("mxfp4", "nvfp4(tensor=none)", "q4_0", "bf16", "sym(bits=4,group=16,search=true,scale=e8m0)", "sym(bits=8,levels=full,clip=0.8)",
                 "asym(bits=4,group=16,clip=0.9,scale=e4m3)", "asym(bits=2,zero=integer,search=true)", "asym(bits=3,zero=integer,rounding=half_away,group=8,scale=e8m0)"):
        q = parse_quantizer(text)
        width = BLOCKS.get(q.name, (q.group or 64,))[0]
        naive = np.array([np.concatenate([naive_group(list(r[i:i + width]), q) for i in range(0, 64, width)]) for r in rows[:40].astype(F32)])
        expect(np.array_equal(quantize(rows[:40], q, "k"), naive), "%s value by value" % text)
    half = quantize(np.array([[7.0, 0.5, 1.5, 2.5, -0.5, -1.5]]), parse_quantizer("sym(bits=4)"), "k")
    expect(np.array_equal(half, [[7, 0, 2, 2, 0, -2]]), "ties go to the even code")
    for text, size in (("sym(bits=3)", 28), ("sym(bits=4,group=32)", 40), ("asym(bits=4,scale=f16)", 36), ("f16", 128), ("exact", 256),
                       ("sym(bits=4,group=16,scale=e4m3)", 36), ("asym(bits=3,zero=integer)", 29), ("mxfp4", 34), ("nvfp4(tensor=none)", 36), ("q4_0", 36),
                       ("q5_0", 44), ("q8_0", 68), ("fp8", 68), ("bf16", 128), ("lloyd_max(bits=4)", 34), ("lloyd_max(bits=1,norm=f32)", 12)):
        q = parse_quantizer(text)
        expect(KINDS[q.name].payload(q, "k", 1, 64) * 64 == 8 * size, "%s takes %d bytes at d = 64" % (text, size))
    expect(np.abs(normal_codebook(4)[0][8:] - [0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326]).max() < 6e-5, "Max's sixteen levels")
    coded = quantize(rows, parse_quantizer("lloyd_max(bits=4)"), "k")
    expect(abs(((coded - rows) ** 2).sum() / (rows ** 2).sum() / 0.0092 - 1) < 0.04 and not coded[0].any(), "the error of lloyd_max on normal rows, and zeros")
    q = parse_quantizer("kivi")
    expect([KINDS["kivi"].payload(q, stream, 64, 128) for stream in STREAMS] == [3, 3] and KINDS["kivi"].payload(q, "k", 65, 128) * 65 == 64 * 3 + 16,
           "kivi takes 3 bits, 16 beyond the groups")
    turned = quantize(np.swapaxes(rows[:64].reshape(2, 32, 64), 1, 2), parse_quantizer("asym(bits=2,scale=f16)"), "v")
    expect(np.array_equal(quantize(rows[:70], q, "k"), np.concatenate([np.swapaxes(turned, 1, 2).reshape(64, 64), rows[64:70].astype(F16)])),
           "kivi is asym of the channels of 32 tokens, and binary16 beyond")
    for text in ("", "chain=[srht", "chain=[srht];quantizer=sym(bits=9)", "chain=[srht(x=1)];quantizer=exact", "chain=[nosuch];quantizer=exact"):
        try:
            parse_codec(text)
            expect(False, "'%s' is refused" % text)
        except Unusable:
            expect(True, "")

    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, n) for n in ("a.h5", "b.h5", "c.h5", "results.h5")]
        synthetic_capture(paths[0], "interleaved", "normal", 8, with_bias=False, window=9)
        synthetic_capture(paths[1], "halves", "neox", 16, with_bias=True)
        synthetic_capture(paths[2], "dozens", "neox", 12, with_bias=True)
        capture = Capture(paths[1])
        for answer in compute_group(Layer(capture, 0), {"k": parse_codec("chain=[srht];quantizer=exact")}, 0, [{"k": parse_quantizer("sym(bits=%d)" % b)} for b in (2, 3, 8)], 0):
            expect((answer.values["softmax_kl"] >= 0).all(), "KL is not negative")
        synthetic_results(paths[3], paths[:3])
        tally = check(paths[3], paths[:3], workers=1, quiet=True)
        for text in tally.failures:
            print(text)
        expect(not tally.failures and tally.passed > 50, "the loops and the twin agree on every cell")
        content = open(paths[3], "rb").read()
        for what, damage in damages(paths[3]):
            with open(paths[3], "wb") as out:
                out.write(content)
            with h5py.File(paths[3], "r+") as f:
                damage(f)
            tally = check(paths[3], paths[:3], workers=1, quiet=True)
            expect(len(tally.failures) == 1, "a wrong %s fails one cell (%d do)" % (what, len(tally.failures)))
    print("%d passed, %d failed" % (passed, len(failed)))
    return 1 if failed else 0


def main():
    def every(text):
        return 1 if text == "all" else max(1, int(text))
    parser = argparse.ArgumentParser(description="Gyre's vector-level results, computed again without Gyre.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("selftest", help="check the twin itself")
    p = verbs.add_parser("check", help="compare a results file with the captures")
    p.add_argument("results")
    p.add_argument("captures", nargs="+")
    p.add_argument("--cells", type=every, default=1, metavar="all|N", help="every N-th cell (default: all)")
    p.add_argument("--expect", choices=["demo"], help="the cells of the demonstration have to be there")
    p.add_argument("--split", choices=["default", "file"], default="default", help="the page's split (default), or the one that the results file names")
    p.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    p = verbs.add_parser("compute", help="compute the cells of a results file, write and compare nothing")
    p.add_argument("results")
    p.add_argument("captures", nargs="+")
    p.add_argument("--profile", action="store_true", help="show where the time goes")
    a = parser.parse_args()
    try:
        if a.verb == "selftest":
            return selftest()
        if a.verb == "compute":
            with cProfile.Profile() if a.profile else contextlib.nullcontext() as profile:
                compute(a.results, a.captures)
            if profile:
                pstats.Stats(profile).sort_stats("tottime").print_stats(5)
            return 0
        return 1 if check(a.results, a.captures, a.cells, a.expect, a.split, a.workers).failures else 0
    except (Unusable, OSError, KeyError, ValueError) as problem:
        print("twin.py: %s: %s" % (type(problem).__name__, problem), file=sys.stderr)
        print("0 passed, 1 failed")
        return 1


if __name__ == "__main__":
    sys.exit(main())
