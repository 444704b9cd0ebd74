#!/usr/bin/python3
"""The independent twin: vector-level results computed again, without Gyre.

    twin.py check RESULTS.h5 CAPTURE.h5 ... [--cells all|N] [--expect demo] [--split default|file] [--fitted RESULTS.h5] [--workers N]
    twin.py compute RESULTS.h5 CAPTURE.h5 ... [--profile]
    twin.py selftest

Written from docs/random.md and docs/definitions.md alone: nothing here was taken from, or compared with, Gyre's sources while it was written.
Transforms, attention and sums are in double precision; what the pages put in binary32 (angles, fitted values, quantizers) is in binary32.
NumPy and h5py only. Budgets: class Budget in twin_metrics.py; README.md says why they are what they are.

This file is the command line; README.md names the others.
"""
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # the work is spread over processes

import argparse
import contextlib
import cProfile
import pstats
import sys

from twin_check import check, compute
from twin_common import Unusable
from twin_selftest import selftest


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
    p.add_argument("--fitted", action="append", default=[], metavar="RESULTS.h5", help="a results file whose fits others took (`fitted`)")
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
        return 1 if check(a.results, a.captures, a.cells, a.expect, a.split, a.workers, fitted=a.fitted).failures else 0
    except (Unusable, OSError, KeyError, ValueError) as problem:
        print("twin.py: %s: %s" % (type(problem).__name__, problem), file=sys.stderr)
        print("0 passed, 1 failed")
        return 1


if __name__ == "__main__":
    sys.exit(main())
