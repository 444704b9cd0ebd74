"""Random streams (docs/random.md)."""
import collections

import numpy as np

from twin_common import F64

ALL_HEADS, PURPOSE_SIGNS, PURPOSE_ANGLES, PURPOSE_NORMALS, PURPOSE_PERMUTATION, PURPOSE_NOISE = 65535, 1, 3, 4, 5, 8


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


# head may be ALL_HEADS; stream is 0 for K, 1 for V; number counts draws where calibration chooses among several
Draw = collections.namedtuple("Draw", "campaign_seed seed layer head ordinal stream number", defaults=(0,))


def words(n, purpose, draw):
    """The first n words of a stream."""
    blocks = -(-n // 4)
    counters = np.empty((blocks, 4), np.uint64)
    counters[:, 0] = np.arange(blocks)
    counters[:, 1] = draw.number * 131072 + draw.seed
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


def normals(n, draw, purpose=PURPOSE_NORMALS):
    u = uniforms(n + n % 2, purpose, draw).reshape(-1, 2)
    radius, turn = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1).reshape(-1)[:n]


def shuffled(n, draw):
    drawn, p = words(n, PURPOSE_PERMUTATION, draw), list(range(n))
    for i in range(n - 1, 0, -1):
        j = int(drawn[n - 1 - i]) * (i + 1) >> 32
        p[i], p[j] = p[j], p[i]
    return np.array(p)
