"""The matrices of transforms, and rotary embedding."""
import numpy as np

from twin_common import F32, F64
from twin_streams import angles, normals, shuffled

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


def kronecker_factors(d, a, draw):
    b = d // a
    g = normals(a * a + b * b, draw)
    return positive_q(g[:a * a].reshape(a, a)), positive_q(g[a * a:].reshape(b, b))


def kronecker_matrix(d, a, draw):
    return np.kron(*kronecker_factors(d, a, draw))


def reflections(vectors):
    m = np.eye(vectors.shape[1])
    for v in vectors:
        m -= np.outer(v, v @ m) * (2 / (v @ v))
    return m


def householder_matrix(d, k, draw):
    return reflections(normals(k * d, draw).reshape(k, d))


def butterfly_matrix(d, form, draw, stages=None):
    stages = d.bit_length() - 1 if stages is None else stages
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


# ---- matrices fitted to calibration rows ----

def largest_positive(m):
    """Rows of m with the sign that makes the entry of largest magnitude, the first of equal ones, positive."""
    top = np.take_along_axis(m, np.abs(m).argmax(1)[:, None], 1)
    return m * np.where(top < 0, -1.0, 1.0)


def pca_matrix(rows):
    """Rows [n, d] of calibration to the axes of their covariance, by falling variance."""
    away = rows - rows.mean(0)
    _, axes = np.linalg.eigh(away.T @ away / len(rows))
    return largest_positive(axes.T[::-1])


def damped(s, damping):
    return s + damping * np.mean(np.diagonal(s)) * np.eye(len(s)) if s.any() else np.eye(len(s))


def wush_matrices(e, s_k, s_q):
    """T and its inverse from the second moments; s_q None: values."""
    d = len(s_k)
    c_k = np.linalg.cholesky(damped(s_k, e.size))
    c_q = np.eye(d) if s_q is None else np.linalg.cholesky(damped(s_q, e.size))
    _, sizes, v = np.linalg.svd(c_q.T @ c_k)
    p = np.sqrt(sizes)[:, None] * np.linalg.solve(c_k.T, v.T).T
    back = c_k @ v.T / np.sqrt(sizes)
    signed = largest_positive(p)
    back = back * np.sign((signed * p).sum(1))
    h = hadamard_matrix(d, "kronecker") if e.form == "hadamard" else np.eye(d)
    return h @ signed, back @ h.T


# the matrix of an element: of the dimension and the element, and where it is drawn of the draw
FIXED = {"hadamard": lambda d, e: hadamard_matrix(d, e.form), "bdr": lambda d, e: block_matrix(d, e.size), "rfft": lambda d, e: rfft_matrix(d),
         "dht": lambda d, e: dht_matrix(d), "dct": lambda d, e: dct_matrix(d)}
DRAWN = {"rffthash": lambda d, e, draw: rffthash_matrix(angles(d // 2, draw)), "haar": lambda d, e, draw: positive_q(normals(d * d, draw).reshape(d, d)),
         "kronecker": lambda d, e, draw: kronecker_matrix(d, e.size or balanced_factor(d), draw),
         "householder": lambda d, e, draw: householder_matrix(d, d // 2 if e.size is None else e.size, draw),
         "butterfly": lambda d, e, draw: butterfly_matrix(d, e.form, draw), "givens": lambda d, e, draw: butterfly_matrix(d, e.form, draw, 1),
         "rotor3": lambda d, e, draw: rotor3_matrix(d, draw), "isoclinic4": lambda d, e, draw: isoclinic4_matrix(d, e.form, draw),
         "permutation": lambda d, e, draw: np.eye(d)[shuffled(d, draw)]}
# the dimensions that an element takes; others take all
TAKES = {"hadamard": lambda d, e: d % 2 == 0 if e.form == "blocks" else hadamard_factor(d, e.form) is not None,
         "bdr": lambda d, e: is_power_of_two(e.size) and d % e.size == 0, "rffthash": lambda d, e: 2 <= d <= 4096 and d % 2 == 0,
         "kronecker": lambda d, e: d % (e.size or balanced_factor(d)) == 0 and (e.size or balanced_factor(d)) not in (1, d),
         "householder": lambda d, e: 1 <= (d // 2 if e.size is None else e.size) <= d, "butterfly": lambda d, e: d >= 2 and is_power_of_two(d),
         "givens": lambda d, e: d % 2 == 0, "rotor3": lambda d, e: d >= 3, "isoclinic4": lambda d, e: d % 4 == 0,
         "permutation": lambda d, e: e.form == "random" or d % e.size == 0}
TAKES.update(dict.fromkeys(("expm", "cayley", "stiefel"), lambda d, e: 2 <= d <= 1024))
TAKES["wush"] = lambda d, e: e.form == "none" or hadamard_factor(d, "kronecker") is not None
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
