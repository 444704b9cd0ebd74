#!/usr/bin/python3
"""Wall time of the NumPy twin over that of Gyre: the same cells, one core each.

    cmake --preset release && cmake --build --preset release && bench/twin_ratio.py [--profile] [--rounds 3] [--gyre build/gyre] [--core 0]

Gyre: `gyre run bench/twin.yaml --jobs 1` into a fresh folder, with its statistics and its report. The twin (tests/oracle/twin.py compute): the same cells from
the same captures, whole arrays at a time, matrix products for the transforms, in double precision, one BLAS thread; it writes nothing and compares nothing. Both
as new processes, so start-up and reading of the captures count for both. Interleaved, the best of the rounds each. Pinned to one core where there is taskset.

Also printed: processor time, which other work on the machine disturbs less, and the BLAS that NumPy uses, on which the twin's time depends.
"""
import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CAPTURES = [os.path.join(ROOT, "data", name) for name in ("smollm2-135m.h5", "qwen2.5-coder-0.5b.h5")]
BLAS = "import numpy, re; numpy.ones((2, 2)) @ numpy.ones((2, 2)); print(' '.join(sorted(set(re.findall(r'\\S*/(\\S*blas\\S*)', open('/proc/self/maps').read())))))"


def timed(command, pin):
    """(wall, processor) seconds."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(pin + command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit("%s\n%s: exit %d" % (done.stdout, " ".join(command), done.returncode))
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description="Wall time of the NumPy twin over that of Gyre.")
    parser.add_argument("--gyre", default=os.path.join(ROOT, "build", "gyre"))
    parser.add_argument("--config", default=os.path.join(ROOT, "bench", "twin.yaml"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--profile", action="store_true", help="where the twin's time goes, after the timing")
    a = parser.parse_args()
    pin = ["taskset", "-c", str(a.core)] if shutil.which("taskset") else []
    with tempfile.TemporaryDirectory() as folder:
        twin = [sys.executable, os.path.join(ROOT, "tests", "oracle", "twin.py"), "compute", os.path.join(folder, "run-0", "results.h5")] + CAPTURES
        times = {"gyre": [], "twin": []}
        for i in range(a.rounds):
            out = os.path.join(folder, "run-%d" % i)
            times["gyre"].append(timed([os.path.abspath(a.gyre), "run", os.path.abspath(a.config), "--jobs", "1", "--quiet", "--out", out], pin))
            times["twin"].append(timed(twin, pin))
            print("round %d: Gyre %.1f s, twin %.1f s" % (i + 1, times["gyre"][-1][0], times["twin"][-1][0]), flush=True)
        best = {name: [min(column) for column in zip(*rounds)] for name, rounds in times.items()}
        for i, what in enumerate(("wall", "processor")):
            gyre, numpy = best["gyre"][i], best["twin"][i]
            print("%-9s time, best of %d: Gyre %6.2f s, twin %6.2f s, twin / Gyre %.2f" % (what, a.rounds, gyre, numpy, numpy / gyre))
        blas = subprocess.run([sys.executable, "-c", BLAS], capture_output=True, text=True).stdout.strip()
        print("one core each%s; NumPy's BLAS: %s" % ("" if pin else ", not pinned (no taskset)", blas))
        if a.profile:
            print(subprocess.run(twin + ["--profile"], cwd=ROOT, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
