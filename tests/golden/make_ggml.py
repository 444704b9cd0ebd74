"""Writes ggml.h: blocks of 32 and their bytes as llama.cpp's own Python package codes them.

    python3 -m pip install --target DIR gguf==0.19.0 numpy==2.4.6 && PYTHONPATH=DIR python3 tests/golden/make_ggml.py

Where the package and ggml's C reference (quantize_row_*_ref) differ: blocks whose 1/d overflows binary32 (largest value below about 1e-38), which C converts without
a defined result and the package by NumPy's; and blocks of negative zeros, where C's d is -0 and the package's +0. Neither kind is here, nor blocks whose d overflows
binary16, which both store as infinity. On all that is here the C reference of libllama 0.5.0 gives the same bytes; the vector code of its CPU backend does too but for
q8_0, where the ties (half to even there) and 3 of 640,000 normal variates differ by one code.
"""
import importlib.metadata

import gguf
import gguf.quants
import numpy as np

import golden

PINNED = "0.19.0"
TYPES = (("q4_0", gguf.GGMLQuantizationType.Q4_0), ("q5_0", gguf.GGMLQuantizationType.Q5_0), ("q8_0", gguf.GGMLQuantizationType.Q8_0))


def blocks():
    rng = np.random.RandomState(20260101)
    ramp = np.arange(32, dtype=np.float32)
    spike = np.zeros(32, np.float32)
    spike[17] = -3
    yield np.zeros(32)
    yield np.full(32, 0.7)
    yield np.full(32, -0.7)
    yield spike
    yield -spike
    yield np.where(ramp % 2 == 0, 5, -5)  # equal magnitudes: the first decides the sign
    yield np.where(ramp % 2 == 0, -5, 5)
    yield np.concatenate([[-8], (ramp[1:] - 16) / 2])  # ties of q4_0: d = 1
    yield np.concatenate([[8], (ramp[1:] - 16) / 2])
    yield np.concatenate([[-16], ramp[1:] - 16.5])  # of q5_0
    yield np.concatenate([[16], ramp[1:] - 16.5])
    yield np.concatenate([[127], (ramp[1:] - 16) * 8 + 0.5])  # of q8_0: half away from zero
    yield np.concatenate([[-127], (16 - ramp[1:]) * 7.5])
    for scale in (1, 1, 1, 1, 10, 1000, 40000, 1e-3, 1e-5, 3e-7, 1e-9, 1e-20, 1e-36):  # down to where d is a subnormal half, and 0
        yield scale * rng.randn(32)
    yield 100 + rng.randn(32)
    yield np.concatenate([rng.randn(31), [50]])
    yield np.concatenate([[2 ** 18, -2 ** 18], 1e4 * rng.randn(30)])  # d of q4_0 and q5_0 below binary16's largest
    yield np.round(rng.randn(32) * 4) / 2
    yield rng.randn(32).astype(np.float16)


def main():
    version = importlib.metadata.version("gguf")
    assert version == PINNED, "this header is made with gguf %s" % PINNED
    x = np.array([b.astype(np.float32) for b in blocks()], np.float32)
    lines = ["#include <stdint.h>", "", "/* Blocks as bits of binary32. */"]
    lines += golden.table("uint32_t", "golden_blocks[%d][32]" % len(x), ["{%s}" % ", ".join("0x%08X" % v for v in row) for row in x.view(np.uint32)])
    for name, kind in TYPES:
        coded = gguf.quants.quantize(x, kind)
        lines += golden.table("uint8_t", "golden_%s[%d][%d]" % (name, len(x), coded.shape[1]), ["{%s}" % ", ".join("%d" % v for v in row) for row in coded])
    golden.write("ggml.h", "make_ggml.py", "gguf %s, numpy %s" % (version, np.__version__), lines)


main()
