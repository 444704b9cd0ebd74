"""A whole campaign, many ways: the demonstration with three seeds.

However a campaign is computed (one thread, two, three shards at once, killed again and again, stopped by a signal) its results are the same bytes outside
/provenance and /timing; a second run computes nothing; what is drawn from a file does not depend on when or where; other readers see every column that
docs/results-schema.md promises; and the value-code digest recomputes cells when a rotation's source changes, not when a figure's does.

Environment: GYRE (the program), GYRE_SOURCE. What it is not: a test of values (tests/oracle) or of bad input (tests/command.py).
"""
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

GYRE = os.path.abspath(os.environ["GYRE"])
SOURCE = os.path.abspath(os.environ["GYRE_SOURCE"])
WORK = tempfile.mkdtemp(prefix="gyre-campaign-")
ASK = ["run", "configs/demo.yaml", "--set", "seeds=3"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") and k != "GYRE_TRACE"}
KILLS, MERGE_KILLS = 16, 5
SEAL = 72
passed, failures = 0, []
facts = {}  # of the reference run, for those after it


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)
        print("campaign:", what, flush=True)
    return ok


def gyre(*args, program=GYRE, cwd=SOURCE, env=None):
    p = subprocess.run([program, *map(str, args)], cwd=cwd, env=env or ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900)
    check(p.returncode >= 0, f"gyre {' '.join(map(str, args))}: signal {-p.returncode}")
    return p


def place(name):
    return os.path.join(WORK, name)


def results(folder):
    return os.path.join(folder, "results.h5")


def digest(folder):
    p = gyre("verify", "--digest", results(folder))
    check(p.returncode == 0 and re.fullmatch(r"[0-9a-f]{64}\n", p.stdout), f"verify --digest {folder}: {p.returncode} {p.stderr}")
    return p.stdout.strip()


def cells(folder):
    path = os.path.join(folder, "cells")
    return sorted(n for n in os.listdir(path) if n.endswith(".h5")) if os.path.isdir(path) else []


def unfinished(folder):
    return [n for _, _, names in os.walk(folder) for n in names if n.endswith(".tmp")]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def sealed(path):
    content = read(path)
    return content[-SEAL:] == b"GYRESEAL" + hashlib.sha256(content[:-SEAL]).hexdigest().encode()


def counts(p):
    """(computed, found, skipped, failed) as the run tells them."""
    m = re.search(r"(\d+) cells computed, (\d+) found, (\d+) skipped, (\d+) failed", p.stderr)
    return tuple(map(int, m.groups())) if m else None


def told(p):
    """The report, without the time at which the plan was registered."""
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", p.stdout)


# ---- the same bytes ----

def plain(path):
    """Bytes of a results or cell file, with /timing and /provenance overwritten in place by fixed values of equal size, without the seal over them."""
    copy = place("plain.h5")
    content = read(path)[:-SEAL]
    with open(copy, "wb") as f:
        f.write(content)
    with h5py.File(copy) as f:
        when = f["provenance"].attrs["plan_time"] if "provenance" in f else ""
    if when:  # a text of fixed length, which HDF5 would write elsewhere
        with open(copy, "wb") as f:
            f.write(content.replace(when.encode(), b"0" * len(when)))
    with h5py.File(copy, "r+") as f:
        if "wall_s" in f["timing"].attrs:
            f["timing"].attrs.modify("wall_s", 0.0)
        else:
            f["timing/wall_s"][...] = 0.0
        if "provenance" in f:
            f["provenance"].attrs.modify("threads", np.uint32(0))  # the rest of it is the machine's and the program's
    content = read(copy)
    os.remove(copy)
    return content


def numbers(path):
    """The metrics, as stored."""
    with h5py.File(path) as f:
        return {name: f["metrics"][name][:].tobytes() for name in f["metrics"]}


def same_as_reference(folder, how):
    check(digest(folder) == facts["digest"], f"{how}: the digest is another")
    check(plain(results(folder)) == facts["plain"], f"{how}: results.h5 has other bytes outside /timing and /provenance")
    check(cells(folder) == facts["cells"], f"{how}: other cell files: {len(cells(folder))}, wanted {len(facts['cells'])}")
    check(not unfinished(folder), f"{how}: unfinished files are left: {unfinished(folder)[:3]}")


# ---- the tests ----

def test_reference():
    """--jobs 2; then again."""
    one = place("reference")
    begin = time.monotonic()
    p = gyre(*ASK, "--out", one, "--jobs", 2)
    facts["seconds"] = time.monotonic() - begin
    done = counts(p)
    check(p.returncode == 0 and done and done[1] == 0 and done[3] == 0 and done[2] > 0, f"the reference run: {p.returncode} {p.stderr}")
    facts.update(folder=one, digest=digest(one), plain=plain(results(one)), cells=cells(one), computed=done[0], skipped=done[2], report=told(p))
    print(f"reference: {done[0]} cells in {facts['seconds']:.1f} s, digest {facts['digest'][:12]}", flush=True)
    with h5py.File(results(one)) as f:
        keys, ok = f["cells/key"].asstr()[:], f["cells/status"].asstr()[:] == "OK"
        check(sorted(set(keys[ok])) == [n[:-3] for n in cells(one)], "every OK cell has its file, and no other file is there")
        check(bool(np.isfinite(f["metrics/nmse"][:][ok][:, 0, 0]).all()), "every OK cell has numbers")
    check(all(sealed(os.path.join(one, "cells", n)) for n in cells(one)) and sealed(results(one)), "all files are sealed")
    before = {n: os.stat(os.path.join(one, "cells", n)).st_mtime_ns for n in cells(one)}
    begin = time.monotonic()
    p = gyre(*ASK, "--out", one, "--jobs", 2)
    facts["again"] = time.monotonic() - begin
    check(p.returncode == 0 and counts(p) == (0, done[0], done[2], 0), f"a second run computes nothing: {counts(p)}")
    check(told(p) == facts["report"], "a second run reports the same")
    check(before == {n: os.stat(os.path.join(one, "cells", n)).st_mtime_ns for n in cells(one)}, "a second run writes no cell")
    same_as_reference(one, "a second run")
    check(told(gyre("report", results(one))) == facts["report"], "the report of the file is that of the run")


def test_one_thread():
    one = place("jobs1")
    p = gyre(*ASK, "--out", one, "--jobs", 1)
    check(p.returncode == 0 and counts(p) == (facts["computed"], 0, facts["skipped"], 0), f"--jobs 1: {p.returncode} {p.stderr}")
    same_as_reference(one, "--jobs 1")
    other = [n for n in facts["cells"] if plain(os.path.join(one, "cells", n)) != plain(os.path.join(facts["folder"], "cells", n))]
    check(not other, f"--jobs 1: {len(other)} cell files have other bytes outside /timing: {other[:3]}")
    shutil.rmtree(one)


def test_shards():
    """Three shards at once, and what merge says before the last is done."""
    one = place("shards")
    shards = [subprocess.Popen([GYRE, *ASK, "--out", one, "--shard", f"{i}/3", "--jobs", "1"], cwd=SOURCE, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in range(3)]
    answers = [s.communicate(timeout=900) for s in shards]
    counted = [re.search(r"(\d+) cells computed", err) for _, err in answers]
    check(all(s.returncode == 0 for s in shards) and all(counted), f"three shards: {[s.returncode for s in shards]} {[err[-300:] for _, err in answers]}")
    check(sum(int(m.group(1)) for m in counted if m) == facts["computed"] and all(int(m.group(1)) > 0 for m in counted if m), "the shards share the cells")
    check(not os.path.exists(results(one)), "shards do not merge")
    gone = random.Random(3).sample(cells(one), 7)
    for n in gone:
        os.rename(os.path.join(one, "cells", n), place(n))
    p = gyre("merge", one)
    check(p.returncode == 1 and p.stdout == "" and re.search(r"7 of \d+ cells are missing: \S+ layer \d+, \w+ at bits=\d, seed \d.*--partial", p.stderr) and not os.path.exists(results(one)),
          f"merge refuses while cells are missing, and names them: {p.returncode} {p.stderr}")
    p = gyre("merge", one, "--partial")
    check(p.returncode == 0 and "7 missing or failed" in p.stdout and "INCOMPLETE" in p.stdout and "7 of " in p.stderr, f"merge --partial marks the report: {p.returncode} {p.stderr}")
    with h5py.File(results(one)) as f:
        status = f["cells/status"].asstr()[:]
        check(f.attrs["missing_cells"] == 7 and (status == "MISSING").sum() == 7 and "INCOMPLETE" in f["stats/status"].asstr()[:], "merge --partial marks the file")
    check(gyre("verify", results(one)).returncode == 0, "a partial file is sound")
    for n in gone:
        os.rename(place(n), os.path.join(one, "cells", n))
    p = gyre("merge", one)
    check(p.returncode == 0 and told(p) == facts["report"], f"merge of three shards reports the same: {p.returncode} {p.stderr}")
    same_as_reference(one, "three shards and merge")
    shutil.rmtree(one)


def test_killed():
    """kill -9 at random moments, in computing and in merging; every file that has its final name is whole, always."""
    one, dice, kills, lost, first = place("killed"), random.Random(9), 0, 0, facts["again"]
    while kills < KILLS + MERGE_KILLS:
        merging = kills >= KILLS
        if merging:
            gyre(*ASK, "--out", one) if len(cells(one)) < len(facts["cells"]) else None
            if os.path.exists(results(one)):
                os.remove(results(one))
        p = subprocess.Popen([GYRE, *ASK, "--out", one, "--jobs", "2"], cwd=SOURCE, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            p.wait(dice.uniform(0.2 * first, 1.1 * first) if merging else dice.uniform(0, first + 0.12 * facts["seconds"]))
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            kills += 1
        check(p.returncode in (0, -signal.SIGKILL), f"a run after a kill ends with {p.returncode}")
        torn = [n for n in cells(one) if not sealed(os.path.join(one, "cells", n))]
        check(not torn and (not os.path.exists(results(one)) or sealed(results(one))), f"kill {kills} left torn files: {torn[:3]}")
        if p.returncode == 0 and not merging:  # done too early: lose some cells and go on
            lost += 1
            os.remove(results(one))
            for n in dice.sample(cells(one), len(cells(one)) // 2):
                os.remove(os.path.join(one, "cells", n))
    p = gyre(*ASK, "--out", one)
    check(p.returncode == 0 and told(p) == facts["report"], f"the run after {kills} kills: {p.returncode} {p.stderr}")
    print(f"killed {kills} times (finished early {lost} times)", flush=True)
    same_as_reference(one, f"killed {kills} times")
    other = [n for n in facts["cells"] if plain(os.path.join(one, "cells", n)) != plain(os.path.join(facts["folder"], "cells", n))]
    check(not other, f"killed {kills} times: {len(other)} cell files have other bytes outside /timing")
    shutil.rmtree(one)


def test_signals():
    """SIGINT and SIGTERM: exit 75, whole cells, and the same command goes on."""
    one, there = place("stopped"), 0
    for number, share in ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.6)):
        p = subprocess.Popen([GYRE, *ASK, "--out", one, "--jobs", "2"], cwd=SOURCE, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while p.poll() is None and len(cells(one)) < share * len(facts["cells"]):
            time.sleep(0.01)
        p.send_signal(number)
        out, err = p.communicate(timeout=120)
        check(p.returncode == 75 and out == "" and re.search(r"gyre: interrupted: stopped with \d+ of \d+ cells to go; the same command goes on from here", err), f"signal {number}: {p.returncode} {err}")
        check(there < len(cells(one)) < len(facts["cells"]) and not unfinished(one) and not os.path.exists(results(one)), f"signal {number}: {len(cells(one))} cells are there")
        there = len(cells(one))
    p = gyre(*ASK, "--out", one)
    check(p.returncode == 0 and counts(p)[1] >= there and told(p) == facts["report"], f"the run after both signals: {p.returncode} {p.stderr}")
    same_as_reference(one, "stopped twice")
    shutil.rmtree(one)


FITS = """experiment: fits
source: {capture: data/smollm2-135m.h5, layers: [0]}
fit: {steps: 12, every: 4, batch: 192, tokens: 384}
arms:
  identity: {k: {chain: [], quantizer: {sym: {bits: 4}}}}
  learned:  {k: {chain: [{householder: {k: 8, learn: true}}], quantizer: {sym: {bits: 4}}}}
  heads:    {k: {chain: [unrope, {centre: {by: mean}}, {householder: {k: 2, per: head, learn: true}}], quantizer: {sym: {bits: 4}}, fit: {restarts: 2}},
             v: {chain: [srht], quantizer: {sym: {bits: 4, learn: true}}}}
  drawn:    {k: {chain: [srht], quantizer: {sym: {bits: 4}}, fit: {draws: 3}}}
grid: {learned.fit.objective: {rows: mse, scores: logit}}
seeds: 2
metrics: [nmse, softmax_kl]
compare: [{arm: learned, against: identity, metric: softmax_kl}]
"""


def fits_reported(text, path):
    """The report's lines on fits are means over the rows of /fits, which are counted here again."""
    with h5py.File(path) as f:
        own = {name: f["fits"][name][:] for name in ("cell", "n_parameters", "freedom", "step", "draw", "start_calibration", "end_calibration", "start_validation", "end_validation")}
        stream = f["fits/stream"].asstr()[:]
        arm, point, codec = (f["cells"][name].asstr()[:][own["cell"]] for name in ("arm", "point", "codec_k"))
        codec = np.where(stream == "k", codec, f["cells/codec_v"].asstr()[:][own["cell"]])
    sections = {"k": [], "v": []}
    for s, block in re.findall(r", fits of ([KV])\n((?:  .*\n)+)", text):
        sections[s.lower()] = [line.split() for line in block.splitlines()[1:]]
    groups = sorted({(s, a, p) for s, a, p in zip(stream, arm, point)})
    check(sum(len(lines) for lines in sections.values()) == len(groups), f"the report has a line for each of {groups}: {sections}")
    for s, a, p in groups:
        rows = (stream == s) & (arm == a) & (point == p)
        mean = {k: own[k][rows].mean() for k in own}
        drawn = mean["n_parameters"] == 0
        kept = f"draw {np.median(own['draw'][rows]) + 1:g}" if drawn else f"step {np.median(own['step'][rows]):g}"
        objective = re.search(r";fit=objective=(\w+)\(", codec[rows][0]).group(1)
        change = [w for k in ("calibration", "validation") for start, end in [(mean["start_" + k], mean["end_" + k])] for w in (f"{start:.3g}", "->", f"{end:.3g}", f"(x{end / start:.3g})")]
        sizes = ["-", "-"] if drawn else [f"{mean['n_parameters']:g}", f"{mean['freedom']:g}"]
        wanted = [a, *([p] if p else []), objective, str(rows.sum()), *sizes, *change, *kept.split(), "of", "3" if drawn else "12"]
        check(wanted in [line[:len(wanted)] for line in sections[s]], f"the report on the fits of {a} {p}: {wanted} is not among {sections[s]}")


def test_fits():
    """Arms that learn: again, on one thread, and stopped in the middle of a fit."""
    config, one, two, three = place("fits.yaml"), place("fits1"), place("fits2"), place("fits3")
    with open(config, "w") as f:
        f.write(FITS)
    p = gyre("run", config, "--out", one, "--jobs", 2)
    done = counts(p)
    check(p.returncode == 0 and done == (9, 0, 0, 0), f"a run with fits: {p.returncode} {done} {p.stderr}")
    fits_reported(p.stdout, results(one))
    p = gyre("run", config, "--out", one, "--jobs", 2)
    check(p.returncode == 0 and counts(p) == (0, 9, 0, 0), f"a second run with fits computes nothing: {counts(p)}")
    p = gyre("run", config, "--out", two, "--jobs", 1)
    check(p.returncode == 0 and counts(p) == done and digest(two) == digest(one) and plain(results(two)) == plain(results(one)), f"fits on one thread give the same bytes: {counts(p)} {p.stderr}")
    check([plain(os.path.join(two, "cells", n)) for n in cells(two)] == [plain(os.path.join(one, "cells", n)) for n in cells(one)], "fits on one thread give the same cells")

    ask = ["run", config, "--out", three, "--jobs", "2", "--set", "grid={}", "--set",
           "arms={identity: {k: {quantizer: {sym: {bits: 4}}}}, learned: {k: {chain: [{householder: {k: 8, learn: true}}], quantizer: {sym: {bits: 4}}}}}"]
    p = subprocess.Popen([GYRE, *ask, "--set", "fit.steps=100000"], cwd=SOURCE, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and not cells(three):  # the arm that learns nothing comes first
        time.sleep(0.01)
    time.sleep(0.5)
    begin = time.monotonic()
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=120)
    check(p.returncode == 75 and out == "" and re.search(r"stopped with 2 of 3 cells to go; the same command goes on from here", err), f"a fit that is stopped: {p.returncode} {err}")
    check(len(cells(three)) == 1 and not unfinished(three) and time.monotonic() - begin < 20, f"a fit that is stopped leaves no cell: {cells(three)}")
    p = gyre(*ask)
    check(p.returncode == 0 and counts(p) == (2, 1, 0, 0), f"the run after the signal: {counts(p)} {p.stderr}")
    for folder in (one, two, three):
        shutil.rmtree(folder)


def test_margin():
    """Another margin is another analysis of the same cells."""
    def analysis(folder):
        with h5py.File(results(folder)) as f:
            return f.attrs["analysis_sha256"], f.attrs["config_sha256"], f["stats/margin"][0]
    one = place("margin")
    shutil.copytree(facts["folder"], one)
    before = analysis(one)
    p = gyre(*ASK, "--set", "compare.0.margin={ratio: 1.06}", "--out", one)
    after = analysis(one)
    check(p.returncode == 0 and counts(p) == (0, facts["computed"], facts["skipped"], 0), f"another margin computes nothing: {counts(p)} {p.stderr}")
    check(before[0] != after[0] and before[1] != after[1] and (before[2], after[2]) == (1.05, 1.06), f"another margin is another analysis plan: {before} {after}")
    check(after[0][:12] in p.stdout and after[0][:12] not in facts["report"], "the report names the analysis plan")
    check(numbers(results(one)) == numbers(results(facts["folder"])), "another margin leaves the metrics")
    with h5py.File(results(one)) as f:
        changed, all_of_it = f["stats/margin"][:] == 1.06, f["stats/exploratory"][:].astype(bool)
    check(bool(changed.any()) and np.array_equal(changed, all_of_it), "what has another margin than was registered is exploratory, and nothing else")
    p = gyre("merge", one)
    check(p.returncode == 0 and analysis(one) == after, "merge takes the configuration of the last run")
    p = gyre(*ASK, "--out", one)
    check(p.returncode == 0 and counts(p)[0] == 0, "back to the first margin")
    same_as_reference(one, "another margin and back")
    shutil.rmtree(one)


def test_figures():
    """Drawn twice, and from a copy elsewhere in another environment: the same bytes."""
    file, elsewhere = results(facts["folder"]), place("else where")
    os.makedirs(elsewhere)
    shutil.copy(file, os.path.join(elsewhere, "renamed.h5"))
    p = gyre("figures", file)
    check(p.returncode == 0, f"figures: {p.returncode} {p.stderr}")
    shutil.move(os.path.join(facts["folder"], "figures"), place("figures1"))
    gyre("figures", file, "--out", place("figures2"))
    gyre("figures", "renamed.h5", cwd=elsewhere, env={**ENVIRONMENT, "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "HOME": elsewhere, "COLUMNS": "40"})
    drawn = sorted(os.listdir(place("figures1")))
    kinds = {k: sum(n.endswith(k) for n in drawn) for k in (".png", ".svg", ".pdf", ".csv")}
    check(kinds[".png"] >= 2 and kinds[".png"] == kinds[".svg"] == kinds[".pdf"] and kinds[".csv"] >= 2, f"figures in every format: {kinds}")
    for other in (place("figures2"), os.path.join(elsewhere, "figures")):
        if check(os.path.isdir(other) and sorted(os.listdir(other)) == drawn, f"the same figures in {other}"):
            for n in drawn:
                check(read(os.path.join(place("figures1"), n)) == read(os.path.join(other, n)), f"{n} has other bytes in {other}")
    check(digest(facts["folder"]) == facts["digest"], "drawing leaves the file")


# ---- what others see ----

def promised():
    """Objects of the tables in docs/results-schema.md: path -> row."""
    with open(os.path.join(SOURCE, "docs", "results-schema.md"), encoding="utf-8") as f:
        return dict(re.findall(r"^\| `(/[^`]*)` \| ([^|]*?) \|", f.read(), re.M))


def seen_by_ncdump(path):
    """Paths of variables and attributes in ncdump's listing."""
    text = subprocess.run(["ncdump", "-h", path], check=True, capture_output=True, text=True).stdout
    found, where = set(), []
    for line in text.splitlines():
        line = line.strip()
        if m := re.fullmatch(r"group: (\S+) \{", line):
            where.append(m.group(1))
        elif re.fullmatch(r"\} // group .*", line):
            where.pop()
        elif m := re.match(r"(?:string )?:(\w+) = ", line):
            found.add("/" + "/".join(where) + "@" + m.group(1) if where else "/@" + m.group(1))
        elif m := re.fullmatch(r"\w+ (\w+)(?:\([^)]*\))? ;", line):
            found.add("/" + "/".join([*where, m.group(1)]))
    return found


def test_readers():
    import xarray
    path, rows = results(facts["folder"]), promised()
    check(len(rows) > 90, f"the page lists its objects: {len(rows)}")
    with h5py.File(path) as f:
        metrics = list(f["metrics"])
        shapes = {}
        f.visititems(lambda name, item: shapes.__setitem__("/" + name, item.shape) if isinstance(item, h5py.Dataset) else None)
        wanted = {p for p in rows if "@" not in p and "*" not in p} | {"/metrics/" + m for m in metrics}
        check(set(shapes) == wanted, f"the file has the objects of the page, no more and no less: {sorted(set(shapes) ^ wanted)}")
        for p in sorted(shapes):
            f[p][()]
        check({"/metrics/" + m for m in ("nmse", "nmse_centred", "logit_error", "softmax_kl", "flip", "output_error")} <= wanted, "all metrics of the demonstration are there")
        check(len(f["cells/key"]) == facts["computed"] + facts["skipped"], "h5py reads every row")
    visible = seen_by_ncdump(path)
    for p in sorted(rows):
        if p != "/compat/table":  # compound: the page says that netCDF readers do not see it
            names = ["/metrics/" + m for m in metrics] if p == "/metrics/*" else [p]
            for name in names:
                check(name in visible, f"ncdump -h does not list {name}")
    text = subprocess.run(["h5dump", "-H", path], capture_output=True, text=True)
    check(text.returncode == 0 and all(f'"{p.rsplit("/", 1)[1]}"' in text.stdout for p in shapes), f"h5dump -H lists every dataset: {text.returncode} {text.stderr[:300]}")
    for engine in ("netcdf4", "h5netcdf"):
        for group in ("cells", "metrics", "stats"):
            with xarray.open_dataset(path, group=group, engine=engine) as data:
                columns = {p.rsplit("/", 1)[1]: s for p, s in shapes.items() if p.startswith(f"/{group}/")}
                check(columns.items() <= {name: data[name].shape for name in data.variables}.items(), f"xarray with {engine} sees every column of /{group}")
                for name in columns:
                    data[name].load()
                if group == "metrics":
                    with h5py.File(path) as f:
                        check(np.array_equal(data["softmax_kl"].values, f["metrics/softmax_kl"][:], equal_nan=True), f"xarray with {engine} reads the same numbers")


# ---- which sources make values ----

def change_a_comment(path):
    """One character of the file's first comment."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    at = text.index("/* ") + 3
    with open(path, "w", encoding="utf-8") as f:
        f.write(text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1:])


def test_value_code():
    """Builds a copy of the sources with one character changed: in a rotation, then in a figure."""
    tree, one = place("tree"), place("value_code")
    folder = os.path.join(tree, "build")  # where it is in every tree, so that a compiler cache knows the files again
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=SOURCE, capture_output=True, text=True)
    names = listed.stdout.split("\n") if listed.returncode == 0 else [os.path.relpath(os.path.join(d, n), SOURCE) for d, _, ns in os.walk(SOURCE) for n in ns]
    for name in names:
        if name.endswith((".c", ".h", ".cmake", "CMakeLists.txt")) and not name.startswith(("build", "out/")) and os.path.isfile(os.path.join(SOURCE, name)):
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            shutil.copy(os.path.join(SOURCE, name), os.path.join(tree, name))

    def value_code():
        header = place("info.h")
        subprocess.run(["cmake", f"-DSOURCE={tree}", f"-DOUT={header}", "-DVERSION=0", "-DCOMPILER=any", "-DFLAGS=any", "-P", os.path.join(tree, "cmake", "build_info.cmake")], check=True, capture_output=True)
        with open(header) as f:
            return re.search(r'GYRE_VALUE_CODE "([0-9a-f]{64})"', f.read()).group(1)

    def build():
        p = subprocess.run(["cmake", "--build", folder, "--target", "gyre", "--parallel", "2"], capture_output=True, text=True)
        check(p.returncode == 0, f"the copy does not build: {p.stdout[-2000:]} {p.stderr[-2000:]}")
        return os.path.join(folder, "gyre")
    with h5py.File(results(facts["folder"])) as f:
        mine = f.attrs["value_code"]
    check(value_code() == mine, "the program's value-code digest is that of the sources beside it (is it built?)")
    change_a_comment(os.path.join(tree, "results", "figures.c"))
    check(value_code() == mine, "a figure's source is not in the value-code digest")
    seen = {mine}
    for name in ("core/random.c", "kernels/divergence.c", "quant/sym.c", "codec/codec.c", "metrics/attention.c", "tensors/capture.c", "calibrate/calibrate.c", "experiments/cell.c",
                 "experiments/layer.c"):
        change_a_comment(os.path.join(tree, *name.split("/")))
        check(value_code() not in seen, f"{name} is in the value-code digest")
        seen.add(value_code())
    change_a_comment(os.path.join(tree, "transforms", "hadamard.c"))
    other = value_code()
    check(other not in seen, "a rotation's source is in the value-code digest")
    begin = time.monotonic()
    p = subprocess.run(["cmake", "-G", "Ninja", "-S", tree, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DGYRE_TESTS=OFF", "-DGYRE_LLAMA=OFF"], capture_output=True, text=True)
    check(p.returncode == 0, f"the copy does not configure: {p.stderr[-2000:]}")
    program = build()
    print(f"a copy was built in {time.monotonic() - begin:.1f} s", flush=True)
    shutil.copytree(facts["folder"], one)
    p = gyre(*ASK, "--out", one, program=program)
    check(p.returncode == 0 and counts(p) == (facts["computed"], 0, facts["skipped"], 0), f"another rotation recomputes every cell: {counts(p)} {p.stderr}")
    check(len(cells(one)) == 2 * len(facts["cells"]), "cells of both programs lie side by side")
    with h5py.File(results(one)) as f:
        check(f.attrs["value_code"] == other, "the results name the value code that made them")
    check(numbers(results(one)) == numbers(results(facts["folder"])), "a comment changes no number")
    change_a_comment(os.path.join(tree, "results", "figures.c"))
    p = gyre(*ASK, "--out", one, program=build())
    check(p.returncode == 0 and counts(p) == (0, facts["computed"], facts["skipped"], 0), f"another figure recomputes nothing: {counts(p)} {p.stderr}")
    p = gyre(*ASK, "--out", one)
    check(p.returncode == 0 and counts(p) == (0, facts["computed"], facts["skipped"], 0) and digest(one) == facts["digest"], f"the first program finds its own cells again: {counts(p)} {p.stderr}")


def main():
    wanted = sys.argv[1:]
    for name, test in list(globals().items()):
        if name.startswith("test_") and (not wanted or name[5:] in wanted or name == "test_reference"):
            begin = time.monotonic()
            test()
            print(f"{name[5:]}: {time.monotonic() - begin:.1f} s", flush=True)
    print(f"{passed} passed, {len(failures)} failed")
    return bool(failures)


if __name__ == "__main__":
    try:
        code = main()
    finally:
        if "GYRE_KEEP" in os.environ:
            print("kept", WORK)
        else:
            shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(code)
