#!/usr/bin/python3
"""Known answers of the Hadamard and Fourier families, by NumPy and SciPy: writes transforms.h beside this file.

The input is x_i = sin(1 + i^2), i from 0, in double precision. Nothing of Gyre is used; docs/definitions.md says what each name means.
"""
import numpy as np
import scipy
import scipy.fft
import scipy.linalg

import golden


def paley(q):
    """Paley's first construction: order q + 1, q a prime that is 3 modulo 4; rows (1, 1, ...), (-1, chi(i - j) with 1 on the diagonal)."""
    chi = -np.ones(q, int)
    chi[[i * i % q for i in range(1, q)]] = 1
    chi[0] = 0
    skew = scipy.linalg.circulant(chi)  # entry (i, j) is chi[(i - j) mod q]
    return np.eye(q + 1, dtype=int) + np.block([[np.zeros((1, 1), int), np.ones((1, q), int)], [-np.ones((q, 1), int), skew]])


def sylvester(n):
    return scipy.linalg.hadamard(n)


def kronecker(d):
    for p, first in ((1, np.eye(1, dtype=int)), (12, paley(11)), (20, paley(19))):
        if d % p == 0 and d // p & (d // p - 1) == 0:
            return np.kron(first, sylvester(d // p))
    raise ValueError(d)


def in_blocks(d, block):
    return np.kron(np.eye(d // block, dtype=int), sylvester(block))


def apply(matrix, x):
    assert np.array_equal(matrix @ matrix.T, (matrix[0] ** 2).sum() * np.eye(len(matrix), dtype=int))
    return matrix @ x / np.sqrt((matrix[0] ** 2).sum())


def rfft(x):
    d, y = len(x), np.fft.rfft(x) / np.sqrt(len(x))
    last = [y[d // 2].real] if d % 2 == 0 else []
    inner = np.sqrt(2) * y[1:(d - 1) // 2 + 1]
    return np.concatenate([[y[0].real], inner.real, last, inner.imag])


def dht(x):
    y = np.fft.fft(x)
    return (y.real - y.imag) / np.sqrt(len(x))


def dct(x):
    return scipy.fft.dct(x, type=2, norm="ortho")


CASES = [("hadamard", "form", "sylvester", d, lambda x: apply(sylvester(len(x)), x)) for d in (8, 64)]
CASES += [("hadamard", "form", "kronecker", d, lambda x: apply(kronecker(len(x)), x)) for d in (8, 12, 20, 24, 64, 80)]
CASES += [("hadamard", "form", "blocks", d, lambda x: apply(in_blocks(len(x), len(x) & -len(x)), x)) for d in (8, 12, 64, 80)]
CASES += [("bdr", "block", "4", d, lambda x: apply(in_blocks(len(x), 4), x)) for d in (8, 12)]
CASES += [("bdr", "block", "16", d, lambda x: apply(in_blocks(len(x), 16), x)) for d in (64, 80)]
CASES += [(f.__name__, "", "", d, f) for f in (rfft, dht, dct) for d in (8, 12, 64, 80)]


def main():
    lines = ["/* Known answers on x_i = sin(1 + i^2). */", "#include <stddef.h>", "", "enum { GOLDEN_DIM_MOST = %d };" % max(c[3] for c in CASES), "",
             "typedef struct golden {", "    const char *name, *option, *value;", "    size_t dim;", "    double y[GOLDEN_DIM_MOST];", "} golden;", "",
             "static const golden goldens[] = {"]
    for name, option, value, d, f in CASES:
        y = ["%.17g" % v for v in f(np.sin(1.0 + np.arange(d) ** 2))]
        y = [v if "." in v or "e" in v else v + ".0" for v in y]
        lines += ['    {"%s", "%s", "%s", %d,' % (name, option, value, d), "     {%s}}," % ",\n      ".join(", ".join(y[i:i + 6]) for i in range(0, d, 6))]
    golden.write("transforms.h", "make_transforms.py", "NumPy %s and SciPy %s" % (np.__version__, scipy.__version__), lines + ["};"])


if __name__ == "__main__":
    main()
