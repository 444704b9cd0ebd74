"""Matrices of learned elements, from their parameters."""
import collections

import numpy as np

from twin_common import F32, F64
from twin_streams import PURPOSE_NOISE, angles, normals
from twin_transforms import balanced_factor, kronecker_factors, planar_matrix, positive_q, reflections

# count, freedom: of the dimension and the element. matrix: of dimension, element, parameters (double) and the draw of what they start from. orthogonal: its inverse is the transpose.
# start: the parameters before the first step, of the same draw, of as many normals of the noise as there are parameters, and of the largest magnitudes of the calibration rows
Learned = collections.namedtuple("Learned", "count freedom matrix orthogonal start")


def half(n):
    return n * (n - 1) // 2


def skew_below(n, entries):
    """A_ij = -A_ji from A_10, A_20, A_21, ..."""
    a = np.zeros((n, n))
    a[np.tril_indices(n, -1)] = entries
    return a - a.T


def skew_above(n, entries):
    """From the entries above the diagonal, row by row."""
    a = np.zeros((n, n))
    a[np.triu_indices(n, 1)] = entries
    return a - a.T


def exponential(a):
    """exp of a skew-symmetric matrix: i A is Hermitian, with A = -i U w U*."""
    w, u = np.linalg.eigh(1j * a)
    return ((u * np.exp(-1j * w)) @ u.conj().T).real


def cayley(a):
    eye = np.eye(len(a))
    return np.linalg.solve(eye - a, eye + a)


def polar(m):
    """The nearest orthogonal matrix."""
    u, _, v = np.linalg.svd(m)
    return u @ v


def split_factors(d, e):
    a = e.size or balanced_factor(d)
    return a, d // a


def reflectors(d, e):
    return d // 2 if e.size is None else e.size


def kronecker(d, e, theta, draw):
    a, b = split_factors(d, e)
    if e.form == "invertible":
        return np.kron(theta[:a * a].reshape(a, a), theta[a * a:].reshape(b, b))
    first, second = kronecker_factors(d, a, draw)
    return np.kron(cayley(skew_above(a, theta[:half(a)]) / 2) @ first, cayley(skew_above(b, theta[half(a):]) / 2) @ second)


def factors_count(d, e):
    a, b = split_factors(d, e)
    return a * a + b * b if e.form == "invertible" else half(a) + half(b)


def stages(d, e):
    return 1 if e.name == "givens" else d.bit_length() - 1


def planar(d, e, theta, draw):
    return planar_matrix(d, theta.reshape(stages(d, e), d // 2))


def angle_count(d, e):
    return stages(d, e) * (d // 2)


def start_skew(d, e, draw, noise, most):
    return e.noise * noise


def start_stiefel(d, e, draw, noise, most):
    return np.eye(d) if e.start == "identity" else positive_q(noise.reshape(d, d))


def start_reflectors(d, e, draw, noise, most):
    k = reflectors(d, e)
    v = normals(k * d, draw).reshape(k, d) if e.start == "random" else np.repeat(normals(k // 2 * d, draw).reshape(-1, d), 2, axis=0)
    return v.reshape(-1) + e.noise * noise


def start_angles(d, e, draw, noise, most):
    count = angle_count(d, e)
    return (angles(count, draw) if e.form == "random" else np.full(count, np.pi / 4 if e.form == "hadamard" else 0.0)) + e.noise * noise


def start_factors(d, e, draw, noise, most):
    a, b = split_factors(d, e)
    place = a * a if e.form == "invertible" else half(a)
    e_a, e_b = e.noise * noise[:place] / np.sqrt(a), e.noise * noise[place:] / np.sqrt(b)
    if e.form != "invertible":
        return np.concatenate([e_a, e_b])
    first, second = kronecker_factors(d, a, draw)
    return np.concatenate([first.reshape(-1) + e_a, second.reshape(-1) + e_b])


def start_scale(d, e, draw, noise, most):
    log = np.zeros(d) if e.by == "one" else -np.log(np.where(most == 0, 1.0, most))
    return log - log.mean()


LEARNED = {
    "expm": Learned(lambda d, e: half(d), lambda d, e: half(d), lambda d, e, theta, draw: exponential(skew_below(d, theta)), True, start_skew),
    "cayley": Learned(lambda d, e: half(d), lambda d, e: half(d), lambda d, e, theta, draw: cayley(skew_below(d, theta)), True, start_skew),
    "stiefel": Learned(lambda d, e: d * d, lambda d, e: half(d), lambda d, e, theta, draw: polar(theta.reshape(d, d)), True, start_stiefel),
    "householder": Learned(lambda d, e: reflectors(d, e) * d, lambda d, e: reflectors(d, e) * (2 * d - reflectors(d, e) - 1) // 2,
                           lambda d, e, theta, draw: reflections(theta.reshape(-1, d)), True, start_reflectors),
    "butterfly": Learned(angle_count, angle_count, planar, True, start_angles),
    "givens": Learned(angle_count, angle_count, planar, True, start_angles),
    "kronecker": Learned(factors_count, lambda d, e: factors_count(d, e) - (e.form == "invertible"), kronecker, False, start_factors),
    "scale": Learned(lambda d, e: d, lambda d, e: d - 1, lambda d, e, theta, draw: np.diag(np.exp(theta).astype(F32).astype(F64)), False, start_scale),
}


def start(d, e, draw, restart, most):
    """Parameters before the first step, in binary32."""
    kind = LEARNED[e.name]
    noise = normals(kind.count(d, e), draw._replace(number=restart), PURPOSE_NOISE)
    return np.asarray(kind.start(d, e, draw, noise, most), F64).reshape(-1).astype(F32)
