"""Sabotage of files and settings: each must be caught, and each test says by which guard.

Cells are forged well: values changed, digest and seal computed anew, so that no checksum can tell; then a canary has to. Sabotage of the program itself is in tests/test_sabotage.c.

Environment: GYRE (the program), GYRE_SOURCE.
"""
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import h5py
import numpy as np

GYRE = os.path.abspath(os.environ["GYRE"])
SOURCE = os.path.abspath(os.environ["GYRE_SOURCE"])
WORK = tempfile.mkdtemp(prefix="gyre-sabotage-")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") and k != "GYRE_TRACE"}
SEAL = 72
passed, failures = 0, []

CONFIG = """experiment: sabotage
source: {capture: CAPTURE, layers: [0]}
arms:
  none:  {}
  half:  {k: {chain: [identity], quantizer: f16}}
  plain: {k: {chain: [identity], quantizer: {sym: {bits: 4}}}}
  srht:  {k: {chain: [srht], quantizer: {sym: {bits: 4}}}}
grid: {srht.quantizer.bits: [3, 4]}
seeds: 2
metrics: [nmse]
compare: [{arm: srht, against: plain, metric: nmse, margin: {ratio: 1.05}}]
"""


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)
        print("sabotage:", what, flush=True)
    return ok


def gyre(*args, program=GYRE):
    return subprocess.run([program, *map(str, args)], cwd=SOURCE, env=ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)


def place(name):
    return os.path.join(WORK, name)


def run(folder, *more, program=GYRE, config="sabotage.yaml"):
    return gyre("run", place(config), "--out", folder, "--jobs", 1, *more, program=program)


def counts(p):
    m = re.search(r"(\d+) cells computed, (\d+) found", p.stderr)
    return tuple(map(int, m.groups())) if m else None


def copy(name):
    shutil.copytree(place("first"), place(name))
    return place(name)


def digest(folder):
    return gyre("verify", "--digest", os.path.join(folder, "results.h5")).stdout


def cell(folder, arm, point, seed):
    """The file of a cell, by the plan."""
    with open(os.path.join(folder, "plan.tsv"), encoding="utf-8") as f:
        for line in f:
            key, _, _, a, p, s, _ = line.rstrip("\n").split("\t")
            if (a, p, s) == (arm, point, str(seed)):
                return os.path.join(folder, "cells", key + ".h5")
    raise KeyError((arm, point, seed))


# ---- forging ----

def values(path):
    with h5py.File(path) as f:
        return f["values"][:]


def seal(path):
    with open(path, "rb") as f:
        content = f.read()
    content = content[:-SEAL] if content[-SEAL:-SEAL + 8] == b"GYRESEAL" else content
    with open(path, "wb") as f:
        f.write(content + b"GYRESEAL" + hashlib.sha256(content).hexdigest().encode())


def forge(path, new, key=None):
    """Gives the cell other values, or another key, with the digest and the seal that they would have."""
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) - SEAL)
    with h5py.File(path, "r+") as f:
        f["values"][...] = new
        if key is not None:
            f.attrs.modify("key", key)
        h = hashlib.sha256()
        for name in ("schema", "key", "status", "reason", "flags", "metrics"):
            text = f.attrs[name]
            h.update((text if isinstance(text, bytes) else text.encode()) + b"\0")
        h.update(struct.pack("<3Q", *f["values"].shape))
        for name in ("payload_bits", "side_bits", "total_bits", "read_bits"):
            h.update(struct.pack("<d", f["values"].attrs[name]))
        h.update(f["values"][:].astype("<f8").tobytes())
        f.attrs.modify("content_sha256", h.hexdigest())
    seal(path)


def caught_by(canary, folder, naming, how):
    """The run takes the forged cells, and the canary fails it, the report of the file too."""
    p = run(folder)
    check(counts(p) and counts(p)[0] == 0, f"{how}: the forged cells are taken for real: {p.stderr}")
    for again in (p, gyre("report", os.path.join(folder, "results.h5"))):
        line = [x for x in again.stdout.split("\n") if re.match(rf" *FAIL +{canary}  ", x)]
        check(again.returncode == 1 and len(line) == 1 and naming in line[0] and canary in again.stderr, f"{how}: canary '{canary}' names {naming}: exit {again.returncode}, {line}, {again.stderr}")
    others = re.findall(r"^ *FAIL +([a-z ]+?)  ", p.stdout, re.M)
    check(others == [canary], f"{how}: no other canary fails: {others}")


# ---- the tests ----

def test_honest_run():
    """Nothing is caught where nothing is wrong; the exact arm and binary16 of a binary16 capture are exactly 0 and declared so."""
    p = run(place("first"))
    check(p.returncode == 0 and len(re.findall("^ *PASS  ", p.stdout, re.M)) == 5 and "FAIL" not in p.stdout, f"{p.returncode} {p.stdout} {p.stderr}")
    check("5 lossy cells, none without an error; 1 exact ones, all exactly 0; 1 of 16 bits or more, of which 1 are exactly 0" in p.stdout, p.stdout)
    with h5py.File(place("first/results.h5")) as f:
        check(list(f["canaries/status"].asstr()[:]) == ["PASS"] * 5 and "zero drift" in f["canaries/name"].asstr()[:], "the canaries are in the results")


def test_rotation_switched_off():
    """Guard: canary `duplicates`. What a rotation that is off computes are the errors of the arm without one."""
    folder = copy("rotation")
    for seed in (0, 1):
        forge(cell(folder, "srht", "bits=4", seed), values(cell(folder, "plain", "", 0)))
    with_seeds = copy("rotation_of_one_seed")
    forge(cell(with_seeds, "srht", "bits=4", 1), values(cell(with_seeds, "plain", "", 0)))
    caught_by("duplicates", with_seeds, "srht at bits=4, seed 1", "rotation off")
    p = run(folder)
    check(p.returncode == 1 and all(re.search(rf"^ *FAIL +{c}  ", p.stdout, re.M) for c in ("duplicates", "seed sensitivity")), f"off for all seeds, both canaries see it: {p.stdout[-900:]}")


def test_dead_quantizer():
    """Guard: canary `zero drift` where nothing is lost, `duplicates` where bits are not read."""
    folder = copy("lossless")
    forge(cell(folder, "plain", "", 0), 0.0 * values(cell(folder, "plain", "", 0)))
    caught_by("zero drift", folder, "plain, seed 0", "a quantizer that loses nothing")
    folder = copy("bits")
    for seed in (0, 1):
        forge(cell(folder, "srht", "bits=3", seed), values(cell(folder, "srht", "bits=4", seed)))
    caught_by("duplicates", folder, "srht at bits=", "bits that are not read")


def test_swapped_seeds():
    """Guard: the key inside a cell, so that renamed ones are computed again; canary `seed sensitivity` where one seed was computed twice."""
    folder = copy("renamed")
    a, b = cell(folder, "srht", "bits=4", 0), cell(folder, "srht", "bits=4", 1)
    os.rename(a, a + ".x")
    os.rename(b, a)
    os.rename(a + ".x", b)
    p = run(folder)
    check(p.returncode == 0 and counts(p)[0] == 2 and p.stderr.count("computing the cell again") == 2 and digest(folder) == digest(place("first")), f"renamed cells are computed again: {p.stderr}")
    folder = copy("one_seed")
    forge(cell(folder, "srht", "bits=3", 1), values(cell(folder, "srht", "bits=3", 0)))
    caught_by("seed sensitivity", folder, "srht at bits=3, seed 1", "one seed for all")


def test_changed_cell():
    """Guard: seal and digest. A value that was changed without them makes the cell no cell."""
    for name, resealed in (("unsealed", False), ("resealed", True)):
        folder = copy(name)
        path = cell(folder, "plain", "", 0)
        with open(path, "r+b") as f:
            f.truncate(os.path.getsize(path) - SEAL)
        with h5py.File(path, "r+") as f:
            f["values"][...] = f["values"][:] * 0.5
        if resealed:
            seal(path)
        p = run(folder)
        check(p.returncode == 0 and counts(p)[0] == 1 and digest(folder) == digest(place("first")), f"{name}: {p.stderr}")


def test_stale_capture():
    """Guard: the seal of the capture; then its digest, which is in every key; then the registered plan."""
    folder, path = copy("stale"), place("capture.h5")
    honest = shutil.copy(path, place("honest.h5"))
    with open(path, "r+b") as f:
        old_seal = f.read()[-SEAL:]
        f.truncate(os.path.getsize(path) - SEAL)
    with h5py.File(path, "r+") as f:
        k = f[[n for n in f if n.startswith("layer_")][0]]["k"]
        k[0, 0, 0, 0] = k[0, 0, 0, 0] + np.float16(1.0)
    with open(path, "ab") as f:
        f.write(old_seal)
    p = run(folder)
    check(old_seal[:8] == b"GYRESEAL" and p.returncode == 1 and "capture.h5" in p.stderr and "computed" not in p.stderr, f"a capture under the seal of another is refused: {p.returncode} {p.stderr}")
    seal(path)
    p = run(folder)
    check(counts(p) == (7, 0) and "sample changed" in p.stdout, f"no cell of the old capture is taken, and what was planned on it is exploratory: {p.stderr}")
    shutil.move(honest, path)
    p = run(folder)
    check(p.returncode == 0 and counts(p) == (0, 7) and digest(folder) == digest(place("first")), f"with the capture back, so are its cells: {p.stderr}")


def test_calibration_leak():
    """Guard: refusal; where it is said to be deliberate, a mark in the report, in the cells and in the figure."""
    with h5py.File(os.path.join(SOURCE, "data/smollm2-135m.h5")) as f:
        names = list(f["document"].asstr()[:])
    leaks = ["--set", f"source.calibration=[{names[0]}, {names[1]}]", "--set", f"source.evaluation=[{names[1]}, {names[2]}, {names[3]}]"]
    fitted = ["--set", "arms.srht.k.chain=[{centre: {by: mean}}, srht]"]
    p = run(place("leak"), *leaks, *fitted)
    check(p.returncode == 2 and names[1] in p.stderr and "computed" not in p.stderr, f"an overlap is refused: {p.returncode} {p.stderr}")
    p = run(place("leak"), *leaks, *fitted, "--set", "source.leak=deliberate")
    check(p.returncode == 0 and "LEAK: calibration overlaps evaluation, deliberately" in p.stdout, f"a deliberate one is marked: {p.returncode} {p.stderr}")
    with h5py.File(place("leak/results.h5")) as f:
        check(f["sources/leak"][0] == 1, "in the results too")


def test_edited_code():
    """Guard: the digest of the sources that make values, which is in every key. A program with another digest takes no old cell."""
    with h5py.File(place("first/results.h5")) as f:
        code = f.attrs["value_code"].encode()
    with open(GYRE, "rb") as f:
        program = f.read()
    check(program.count(code) >= 1, "the program holds the digest of its sources")
    other = hashlib.sha256(b"edited").hexdigest().encode()
    with open(place("edited"), "wb") as f:
        f.write(program.replace(code, other))
    os.chmod(place("edited"), 0o755)
    folder = copy("edited_run")
    p = run(folder, program=place("edited"))
    check(p.returncode == 0 and counts(p) == (7, 0), f"edited code takes no old cell: {p.stderr}")
    with h5py.File(os.path.join(folder, "results.h5")) as f:
        check(f.attrs["value_code"].encode() == other, "and says whose numbers these are")
    p = run(folder)
    check(counts(p) == (0, 7) and digest(folder) == digest(place("first")), f"the cells of both lie side by side: {p.stderr}")


def main():
    shutil.copy(os.path.join(SOURCE, "data/smollm2-135m.h5"), place("capture.h5"))
    with open(place("sabotage.yaml"), "w", encoding="utf-8") as f:
        f.write(CONFIG.replace("CAPTURE", place("capture.h5")))
    tests = [f for n, f in globals().items() if n.startswith("test_")]
    try:
        for f in tests:
            f()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"sabotage: {passed} checks passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
