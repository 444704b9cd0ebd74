#!/usr/bin/python3
"""Time of a step of gradient calibration: PyTorch's over Gyre's, the same mathematics, one thread each, interleaved, the best of the rounds.

    scripts/setup --torch; cmake --preset release -DGYRE_BENCH=ON && cmake --build --preset release && bench/fit_ratio.py [--rounds 3] [--core 0]

PyTorch is Debian's python3-torch, for this benchmark only; its products use the machine's libblas. Householder in PyTorch is timed twice: reflectors one after another, and compact WY, which
its author would have to derive.
"""
import argparse
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAIRS = [("expm", "expm"), ("cayley", "cayley"), ("householder", "householder"), ("householder", "householder-wy")]


def milliseconds(command, pin):
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    return float(subprocess.run(pin + command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description="PyTorch's time per step over Gyre's.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    a = parser.parse_args()
    pin = ["taskset", "-c", str(a.core)] if shutil.which("taskset") else []
    print("%-12s %-15s %4s %10s %10s %8s" % ("Gyre", "PyTorch", "d", "Gyre ms", "torch ms", "ratio"))
    for gyre, torch in PAIRS:
        for dim in (64, 128, 256):
            best = [1e300, 1e300]
            for _ in range(a.rounds):
                best[0] = min(best[0], milliseconds([os.path.join(a.build, "bench", "bench_fit_step"), gyre, str(dim)], pin))
                best[1] = min(best[1], milliseconds([sys.executable, os.path.join(ROOT, "bench", "fit_torch.py"), torch, str(dim)], pin))
            print("%-12s %-15s %4d %10.3f %10.3f %8.2f" % (gyre, torch, dim, best[0], best[1], best[1] / best[0]), flush=True)


main()
