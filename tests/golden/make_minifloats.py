"""Writes minifloats.h: what ml_dtypes makes of every code of the narrow formats and of hard inputs.

    python3 -m pip install --target DIR ml_dtypes==0.6.0 numpy==2.4.6 && PYTHONPATH=DIR python3 tests/golden/make_minifloats.py
"""
import ml_dtypes
import numpy as np

import golden

PINNED = "0.6.0"
FORMATS = (("bf16", ml_dtypes.bfloat16, np.uint16), ("e4m3", ml_dtypes.float8_e4m3fn, np.uint8), ("e5m2", ml_dtypes.float8_e5m2, np.uint8),
           ("e8m0", ml_dtypes.float8_e8m0fnu, np.uint8), ("e2m1", ml_dtypes.float4_e2m1fn, np.uint8))
CODES = (("e4m3", ml_dtypes.float8_e4m3fn, 256), ("e5m2", ml_dtypes.float8_e5m2, 256), ("e8m0", ml_dtypes.float8_e8m0fnu, 256), ("e2m1", ml_dtypes.float4_e2m1fn, 16))


def decoded(kind, count):
    return np.arange(count, dtype=np.uint8).view(kind).astype(np.float32)


def middles(values):
    """Between neighbours of the finite values, and one step of binary32 to either side."""
    values = np.unique(np.abs(values[np.isfinite(values)]))
    middle = ((values[1:].astype(np.float64) + values[:-1]) / 2).astype(np.float32)
    return np.concatenate([middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf))])


def hard():
    rng = np.random.RandomState(20260101)
    powers = 2.0 ** np.arange(-149, 128)
    edges = np.array([0, 1e-45, 1.1754944e-38, 3.4028235e38, 3.3895314e38, 3.3961775e38, 448, 464, 480, 57344, 61440, 65536, 6, 7, 8, np.inf])
    edges = np.concatenate([edges, np.nextafter(edges.astype(np.float32), np.float32(0)), np.nextafter(edges.astype(np.float32), np.float32(1e38))])
    bf16 = (rng.randint(0, 0x7F80, 60).astype(np.uint32) << 16 | np.uint32(0x8000)).view(np.float32)  # ties of bfloat16
    random = rng.randint(0, 0x7F800000, 150).astype(np.uint32).view(np.float32)
    usual = np.exp2(rng.uniform(-20, 18, 150))
    ties = [middles(decoded(kind, count)) for _, kind, count in CODES if kind is not ml_dtypes.float8_e8m0fnu]
    x = np.concatenate([edges, *ties,
                        powers[::9], 1.5 * powers[::9], np.nextafter((1.5 * powers[::9]).astype(np.float32), np.float32(0)), bf16, random, usual]).astype(np.float32)
    x = np.unique(x.view(np.uint32)).view(np.float32)
    return np.concatenate([x, -x[::3]])


def main():
    assert ml_dtypes.__version__ == PINNED, "this header is made with ml_dtypes %s" % PINNED
    lines = ["#include <stdint.h>", "", "/* Values of all codes, as bits of binary32; NaN as 7FC00000. */"]
    for name, kind, count in CODES:
        values = decoded(kind, count)
        bits = np.where(np.isnan(values), np.uint32(0x7FC00000), values.view(np.uint32))
        lines += golden.table("uint32_t", "golden_%s[%d]" % (name, count), ["0x%08X" % b for b in bits])
    x = hard()
    with np.errstate(all="ignore"):
        codes = [x.astype(kind).view(width) for _, kind, width in FORMATS]
    lines += ["", "/* Inputs (bits of binary32) and their codes. */", "typedef struct golden_minifloat {", "    uint32_t input;", "    uint16_t bf16;",
              "    uint8_t e4m3, e5m2, e8m0, e2m1;", "} golden_minifloat;"]
    lines += golden.table("golden_minifloat", "golden_inputs[]", ["{0x%08X, 0x%04X, 0x%02X, 0x%02X, 0x%02X, 0x%02X}" % row for row in zip(x.view(np.uint32), *codes)])
    golden.write("minifloats.h", "make_minifloats.py", "ml_dtypes %s, numpy %s" % (ml_dtypes.__version__, np.__version__), lines)


main()
