"""What was planned before data were read, and what was changed after: DIR/analysis.plan, end to end.

A small run on a shipped capture; then other margins, seeds, documents and predictions in the same folder, folders of a program that registered nothing, shards, damaged plans; and what
`gyre plan` foresees from a pilot, against the run itself.

Environment: GYRE (the program), GYRE_SOURCE. What it is not: a test of statistics (tests/test_stats.c, test_honesty.c).
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

GYRE = os.path.abspath(os.environ["GYRE"])
SOURCE = os.path.abspath(os.environ["GYRE_SOURCE"])
WORK = tempfile.mkdtemp(prefix="gyre-honesty-")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") and k != "GYRE_TRACE"}
passed, failures = 0, []

CONFIG = """experiment: honest
source: {capture: data/smollm2-135m.h5, layers: [0]}
arms:
  plain: {k: {chain: [identity], quantizer: {sym: {bits: 4}}}}
  srht:  {k: {chain: [srht], quantizer: {sym: {bits: 4}}}}
  srft:  {k: {chain: [srft], quantizer: {sym: {bits: 4}}}}
seeds: 2
metrics: [nmse]
compare:
  - {arm: srht, against: plain, metric: nmse, margin: {ratio: 1.05}}
  - {arm: srft, against: srht, metric: nmse, margin: {ratio: 1.05}, predicts: EQUIVALENT}
  - {arm: srft, against: plain, metric: nmse, margin: {ratio: 1.05}, family: second}
"""


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)
        print("honesty:", what, flush=True)
    return ok


def gyre(*args):
    return subprocess.run([GYRE, *map(str, args)], cwd=SOURCE, env=ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)


def place(name):
    return os.path.join(WORK, name)


def write(name, text):
    with open(place(name), "w", encoding="utf-8") as f:
        f.write(text)
    return place(name)


def run(folder, *more):
    p = gyre("run", place("honest.yaml"), "--out", folder, "--jobs", 1, "--quiet", *more)
    check(p.returncode == 0, f"gyre run {folder} {more}: {p.returncode} {p.stderr}")
    return p


def plan_of(folder):
    with open(os.path.join(folder, "analysis.plan"), "rb") as f:
        return f.read()


def stats(folder):
    with h5py.File(os.path.join(folder, "results.h5")) as f:
        out = {n: (f["stats"][n].asstr()[:] if h5py.check_string_dtype(f["stats"][n].dtype) else f["stats"][n][:]) for n in f["stats"]}
        out["plan"], out["time"] = f["config/plan_registered"].asstr()[()], f["provenance"].attrs["plan_time"]
        return out


def forget(folder):
    """The folder as a program that registers nothing would have left it."""
    os.remove(os.path.join(folder, "analysis.plan"))
    os.remove(os.path.join(folder, "results.h5"))


def copy(name):
    shutil.copytree(place("first"), place(name))  # times are kept
    return place(name)


# ---- the tests ----

def test_registered():
    before = time.time()
    p = run(place("first"))
    plan, s = plan_of(place("first")).decode(), stats(place("first"))
    check(re.search(r"^time \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", plan, re.M) and plan.count("\ncompare ") == 3 and "\nseeds 2\n" in plan and "12 documents: " in plan, f"the plan says what is compared on what: {plan}")
    cells = os.path.join(place("first"), "cells")
    check(before - 2 < os.stat(os.path.join(place("first"), "analysis.plan")).st_mtime <= min(os.stat(os.path.join(cells, n)).st_mtime for n in os.listdir(cells)), "the plan is older than the first cell")
    check(not s["exploratory"].any() and set(s["exploratory_why"]) == {""} and "EXPLORATORY" not in p.stdout, "what is registered is confirmatory")
    check(s["plan"] in plan and s["time"] in plan and s["time"] in p.stdout, "the results hold the plan and the report its time")
    check(set(s["verdict"]) <= {"EQUIVALENT", "BETTER", "WORSE", "INCONCLUSIVE"}, str(s["verdict"]))
    p = gyre("verify", os.path.join(place("first"), "results.h5"))
    check(p.returncode == 0, p.stdout + p.stderr)


def test_rerun():
    first, digest = plan_of(place("first")), gyre("verify", "--digest", place("first/results.h5")).stdout
    run(place("first"))
    check(plan_of(place("first")) == first and gyre("verify", "--digest", place("first/results.h5")).stdout == digest, "a second run changes neither plan nor digest")
    p = gyre("merge", place("first"))
    check(p.returncode == 0 and gyre("verify", "--digest", place("first/results.h5")).stdout == digest, f"nor does a merge: {p.stderr}")


def test_other_times():
    """The digest does not know when the plan was registered."""
    time.sleep(1.1)
    run(place("again"))
    check(plan_of(place("again")) != plan_of(place("first")), "another run registers at another time")
    check(gyre("verify", "--digest", place("again/results.h5")).stdout == gyre("verify", "--digest", place("first/results.h5")).stdout, "and has the same digest")


def exploratory(name, sets, which, why, keeps=True):
    """Runs the copy with other settings; `which` of the three comparisons are exploratory, for that reason."""
    folder = copy(name)
    registered = plan_of(folder)
    p = run(folder, *[a for s in sets for a in ("--set", s)])
    s, first = stats(folder), stats(place("first"))
    got = [i for i in range(len(s["exploratory"])) if s["exploratory"][i]]
    check(got == which, f"{name}: exploratory are {got}, not {which}")
    check(all(why in s["exploratory_why"][i] and s["family"][i].endswith(" (exploratory)") for i in got), f"{name}: {s['exploratory_why']} {s['family']}")
    lines = [line for line in p.stdout.split("\n") if " nmse " in line and " EXPLORATORY " in line]
    check(len(lines) == len(which) and p.stdout.count("exploratory: ") == len(which) and f"EXPLORATORY: {len(which)} of " in p.stdout, f"{name}: the report marks them: {p.stdout}")
    check(plan_of(folder) == registered, f"{name}: the plan is not rewritten")
    if keeps:
        check(np.array_equal(s["estimate"], first["estimate"]) and all(s["verdict"]), f"{name}: numbers and verdicts stay")
    return s, first


def test_margin():
    s, first = exploratory("margin", ["compare.0.margin={ratio: 1.06}"], [0], "not in the registered plan")
    check(np.allclose(s["p_adjusted"][0], s["p"][0], rtol=1e-12), "an exploratory comparison is adjusted alone")
    check(np.allclose(s["p_adjusted"][1], min(1.0, 2.0 * s["p"][1]), rtol=1e-12), "the registered one that is not made counts in the family with p = 1")
    run(place("margin"))
    check(not stats(place("margin"))["exploratory"].any(), "back to the registered margin, all is confirmatory")


def test_prediction():
    exploratory("prediction", ["compare.1.predicts=BETTER"], [1], "not in the registered plan")


def test_published():
    folder = copy("published")
    p = run(folder, "--set", "compare.0.published=x0.5 in table 3", "--set", "claim={id: c99, says: a, source: b, rule: c}")
    check(not stats(folder)["exploratory"].any() and "published: x0.5 in table 3" in p.stdout, "what others published is not part of the plan")


def test_seeds():
    exploratory("seeds", ["seeds=3"], [0, 1, 2], "sample changed: 2 seeds were registered", keeps=False)


def test_documents():
    with h5py.File(os.path.join(SOURCE, "data/smollm2-135m.h5")) as f:
        names = list(f["document"].asstr()[:])
    exploratory("documents", [f"source.evaluation=[{', '.join(names[-8:])}]"], [0, 1, 2], "12 documents", keeps=False)


def test_layers():
    exploratory("layers", ["source.layers=[0, 29]"], [0, 1, 2], "layers 0", keeps=False)


def test_calibration():
    """Other rows calibrate, the same are evaluated: fitted codecs are others, so the sample is another."""
    with h5py.File(os.path.join(SOURCE, "data/smollm2-135m.h5")) as f:
        names = list(f["document"].asstr()[:])
    exploratory("calibration", [f"source.calibration=[{names[0]}]", f"source.evaluation=[{', '.join(names[-12:])}]"], [0, 1, 2], "calibrate: ")


def test_arm_in_layers():
    """An arm that another takes over in some layers is part of what was registered."""
    text = CONFIG.replace("seeds: 2", "  mixed: {k: {chain: [srht], quantizer: {sym: {bits: 4}}}, layers: {0: part}}\n  part: {k: {chain: [srft], quantizer: {sym: {bits: 3}}}}\nseeds: 2")
    write("honest_layers.yaml", text + "  - {arm: mixed, against: plain, metric: nmse}\n")
    ask = ["run", place("honest_layers.yaml"), "--out", place("in_layers"), "--jobs", 1, "--quiet"]
    p = gyre(*ask)
    check(p.returncode == 0 and not stats(place("in_layers"))["exploratory"].any(), f"arms with layers: {p.stderr}")
    p = gyre(*ask, "--set", "arms.part.k.quantizer.sym.bits=4")
    check(p.returncode == 0 and list(stats(place("in_layers"))["exploratory"]) == [0, 0, 0, 1], f"the arm of a layer was changed: {p.stderr}")


def test_older_cells():
    """Cells of another folder: where those of both arms are older than the plan, the difference was there to be seen."""
    folder, cells = place("shared"), os.path.join(place("first"), "cells")
    run(folder, "--shard", "999999/1000000")  # registers, computes nothing
    with open(os.path.join(place("first"), "plan.tsv"), encoding="utf-8") as f:
        keys = {arm: key for key, _, _, arm, _, seed, _ in (line.rstrip("\n").split("\t") for line in f) if seed == "0"}
    for arms, expected in ((("srht",), [0, 0, 0]), (("plain",), [1, 0, 0])):  # then srht and plain
        for arm in arms:
            old = os.path.join(folder, "cells", keys[arm] + ".h5")
            shutil.copy(os.path.join(cells, keys[arm] + ".h5"), old)
            os.utime(old, (time.time() - 7200, time.time() - 7200))
        run(folder)
        s = stats(folder)
        check(list(s["exploratory"]) == expected, f"old cells of {arms}: {s['exploratory']} {s['exploratory_why']}")
        os.remove(os.path.join(folder, "cells", keys["plain"] + ".h5"))
    check("older than the registered plan" in s["exploratory_why"][0], "and says so")


def test_folder_of_a_size():
    """A short run before the long one must not register the short one's sample for the long one."""
    write("sized.yaml", CONFIG.replace("data/smollm2-135m.h5", os.path.join(SOURCE, "data/smollm2-135m.h5")) + "sizes: {smoke: [seeds=3]}\n")
    for size in (["--size", "smoke"], []):
        p = subprocess.run([GYRE, "run", "sized.yaml", "--jobs", "1", "--quiet", *size], cwd=WORK, env=ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        check(p.returncode == 0 and "EXPLORATORY" not in p.stdout, f"run {size}: {p.stdout[:300]} {p.stderr}")
    check(sorted(os.listdir(place("out"))) == ["honest", "honest-smoke"], f"a folder each: {os.listdir(place('out'))}")


def test_begun_with_lost_data():
    """What an old folder was begun with cannot be planned any more: what is run there now still runs, exploratory."""
    folder = copy("lost")
    forget(folder)
    config = os.path.join(folder, "config.yaml")
    then = os.stat(config)
    with open(config, encoding="utf-8") as f:
        text = f.read().replace("data/smollm2-135m.h5", "data/gone.h5")
    with open(config, "w", encoding="utf-8") as f:
        f.write(text)
    os.utime(config, ns=(then.st_atime_ns, then.st_mtime_ns))
    p = run(folder)
    check(stats(folder)["exploratory"].all() and "cannot be planned again" in p.stderr and "gone.h5" in p.stderr, f"{p.stderr}")


def test_campaign_seed():
    exploratory("campaign_seed", ["campaign_seed=7"], [0, 1, 2], "campaign_seed 0", keeps=False)


def test_arm():
    exploratory("arm", ["arms.srft.k.chain=[sdct]"], [1, 2], "arm srft was registered with another codec", keeps=False)


def test_new_comparison():
    write("more.yaml", CONFIG + "  - {arm: plain, against: srft, metric: nmse}\n")
    folder = copy("more")
    p = gyre("run", place("more.yaml"), "--out", folder, "--quiet", "--jobs", 1)
    check(p.returncode == 0 and list(stats(folder)["exploratory"]) == [0, 0, 0, 1], f"a comparison more is exploratory: {p.stderr}")


def test_dropped():
    write("fewer.yaml", "\n".join(line for line in CONFIG.split("\n") if "arm: srft, against: srht" not in line))
    folder = copy("fewer")
    p = gyre("run", place("fewer.yaml"), "--out", folder, "--quiet", "--jobs", 1)
    s = stats(folder)
    check(p.returncode == 0 and not s["exploratory"].any() and "1 registered comparisons are not made, or not as registered" in p.stdout, f"{p.stdout} {p.stderr}")
    check(np.allclose(s["p_adjusted"][0], min(1.0, 2.0 * s["p"][0]), rtol=1e-12) and np.allclose(s["p_adjusted"][1], s["p"][1], rtol=1e-12), "a comparison that was left out still counts in its family")


def test_old_folder():
    """Cells without a plan: config.yaml and run.txt stand for it where they are older than every cell."""
    folder = copy("old")
    forget(folder)
    p = run(folder, "--set", "compare.0.margin={ratio: 1.06}")
    s = stats(folder)
    check(list(s["exploratory"]) == [1, 0, 0] and "margin=1.05 " in s["plan"].replace("1.05000000000000004", "1.05"), f"the old configuration is the registered one: {s['exploratory']} {s['plan']}")
    folder = copy("old_merge")
    forget(folder)
    p = gyre("merge", folder)
    check(p.returncode == 0 and not stats(folder)["exploratory"].any(), f"merge registers it too: {p.stderr}")
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(os.stat(os.path.join(folder, n)).st_mtime for n in ("config.yaml", "run.txt"))))
    check(stats(folder)["time"] == begun, "as of the time it was written")


def test_old_folder_changed():
    for name in ("config.yaml", "run.txt"):
        folder = copy("old_" + name)
        forget(folder)
        os.utime(os.path.join(folder, name))
        p = run(folder)
        s = stats(folder)
        check(s["exploratory"].all() and set(s["exploratory_why"]) == {"cells were there before a plan was registered"} and "older than its configuration" in p.stderr, f"{name} is younger than cells: {p.stderr}")
        run(folder)
        check(stats(folder)["exploratory"].all(), "and it stays so")


def test_older_file():
    """A results file of a program that registered nothing shows no plan, and says so."""
    p = gyre("report", os.path.join(SOURCE, "tests/golden/results-1.3.h5"))
    check(p.returncode == 0 and p.stdout.count("no analysis plan is stored here") == 1, f"an older file: {p.stdout[:300]} {p.stderr}")
    check("no analysis plan is stored here" not in gyre("report", place("first/results.h5")).stdout, "not said where there is one")


def test_damaged():
    folder = copy("damaged")
    path = os.path.join(folder, "analysis.plan")
    text = plan_of(folder).replace(b"margin=1.05", b"margin=1.06")
    check(text != plan_of(folder), "the plan has that margin")
    with open(path, "wb") as f:
        f.write(text)
    run(folder, "--set", "compare.0.margin={ratio: 1.06}")
    s = stats(folder)
    check(s["exploratory"].all() and set(s["exploratory_why"]) == {"the registered plan is damaged or was changed"} and s["plan"] == "", f"{s['exploratory_why']}")


def test_shards():
    folder = place("shards")
    ask = [GYRE, "run", place("honest.yaml"), "--out", folder, "--jobs", "1", "--quiet"]
    running = [subprocess.Popen([*ask, "--shard", f"{i}/3"], cwd=SOURCE, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for i in range(3)]
    for p in running:
        _, err = p.communicate(timeout=300)
        check(p.returncode == 0, f"a shard: {err}")
    p = gyre("merge", folder)
    check(p.returncode == 0 and not stats(folder)["exploratory"].any(), f"shards share one plan: {p.stderr}")
    check([n for n in os.listdir(folder) if "plan" in n] == [n for n in os.listdir(folder) if n in ("analysis.plan", "plan.tsv")], f"nothing else is left: {os.listdir(folder)}")
    check(gyre("verify", "--digest", place("shards/results.h5")).stdout == gyre("verify", "--digest", place("first/results.h5")).stdout, "and the digest is that of one run")


def test_figures():
    p = gyre("figures", place("margin/results.h5"), "--only", "forest")
    check(p.returncode == 0, p.stderr)
    with open(place("margin/figures/forest_smollm2-135m.csv")) as f:
        rows = [line.rstrip("\n").split(",") for line in f if not line.startswith("#")]
    check([r[-1] for r in rows] == ["exploratory", "0", "0", "0"], f"the table of the figure has the mark: {rows}")
    run(place("margin"), "--set", "compare.0.margin={ratio: 1.06}")
    p = gyre("figures", place("margin/results.h5"), "--only", "forest")
    svg = [n for n in os.listdir(place("margin/figures")) if n.startswith("forest") and n.endswith(".svg")]
    with open(place("margin/figures/" + svg[0])) as f:
        check(p.returncode == 0 and f.read().count("exploratory") >= 1, "the figure has the mark")


def test_pilot():
    p = gyre("plan", place("honest.yaml"))
    check(p.returncode == 0 and p.stdout.count("no pilot stated") == 1, p.stdout + p.stderr)
    p = gyre("plan", place("honest.yaml"), "--pilot", place("first/results.h5"), "--json")
    told, s = json.loads(p.stdout)["foreseen"], stats(place("first"))
    for i, row in enumerate(told):  # the same shape and spreads: what the run itself says
        for name in ("mde", "power", "seeds_needed", "documents_needed"):
            mine, its = row[name], s[name][i]
            check(mine is None and np.isnan(its) or mine is not None and abs(mine - its) <= 1e-9 * abs(its), f"{name} of comparison {i}: {mine}, the run says {its}")
    write("piloted.yaml", CONFIG + f"pilot: {place('first/results.h5')}\n")
    p = gyre("plan", place("piloted.yaml"), "--set", "seeds=16")
    check(p.returncode == 0 and "sees x" in p.stdout, p.stdout + p.stderr)
    p = gyre("plan", place("piloted.yaml"), "--set", "seeds=1")
    check(p.returncode == 0 and "not known" in p.stdout, "one seed tells nothing of others")
    p = gyre("plan", place("honest.yaml"), "--set", "pilot=nowhere.h5")
    check(p.returncode != 0 and "nowhere.h5" in p.stderr, "a pilot that is not there is an error")


def main():
    write("honest.yaml", CONFIG)
    tests = [f for n, f in globals().items() if n.startswith("test_")]
    try:
        for f in tests:
            f()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"honesty: {passed} checks passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
