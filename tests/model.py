"""Models as sources, on tests/data/stories260K.gguf: every bad input that the program itself must answer, interruptions, and what stays the same whatever a run is cut into.

Helpers and their rules are those of tests/command.py: a bad input is one error that says what, where and what to do, the documented exit code, a silent stdout and an untouched folder.

Environment: GYRE (the program), GYRE_PYTHON, GYRE_SOURCE. What it is not: a test of values (tests/perplexity.py, tests/test_coded_cache.c).
"""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np

import command
from command import GYRE, SOURCE, WAIT, WORK, bad, cells, check, digest, environment, good, gyre, unfinished

MODEL = os.path.join(SOURCE, "tests", "data", "stories260K.gguf")
TEXTS = os.path.join(SOURCE, "data", "texts")
CALIBRATION = ("bible-kjv-ruth", "aptitude-trust", "exim-receiving-and-delivering", "jargon-file-hacker")
ARMS = {"exact": "{}", "same": "{both: {quantizer: exact}}", "sym": "{both: {quantizer: {sym: {bits: 3}}}}", "rot": "{both: {chain: [srht], quantizer: {sym: {bits: 3}}}}",
        "late": "{both: {quantizer: {sym: {bits: 3}}, window: 16}}", "edges": "{both: {quantizer: {sym: {bits: 3}}}, layers: {0: exact, 3-4: rot}}"}
SANITIZED = b"__asan_init" in open(GYRE, "rb").read()


def path_of(name):
    return os.path.join(WORK, name)


def write(name, content):
    with open(path_of(name), "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    return path_of(name)


def source(model=MODEL, text="hack.txt", context=64, chunks=4, more=""):
    return f"{{model: {model}, text: {text}, context: {context}, chunks: {chunks}{more}}}"


def config(name="model.yaml", source=source(), arms=None, metrics="[nll, nll_change, token_kl]", more=""):
    arms = ARMS if arms is None else arms
    return write(name, f"experiment: model\nsource: {source}\narms:\n" + "".join(f"  {k}: {v}\n" for k, v in arms.items()) + f"metrics: {metrics}\n{more}")


def run(config, folder, *more, jobs=1):
    return ["run", config, "--out", folder, "--jobs", jobs, *more]


def results(folder):
    return path_of(os.path.join(folder, "results.h5"))


def counts(a):
    """Cells computed, found, skipped, failed."""
    m = re.search(r"(\d+) cells computed, (\d+) found, (\d+) skipped, (\d+) failed", a.err)
    return tuple(map(int, m.groups())) if m else None


def chunks(folder, metric, arm, seed=0):
    """A metric of an arm, chunk after chunk."""
    with h5py.File(results(folder)) as f:
        rows = [i for i, name in enumerate(f["cells/arm"].asstr()[:]) if name == arm and f["cells/seed"][i] == seed]
        rows.sort(key=lambda i: f["cells/layer"][i])
        values = np.concatenate([f["metrics"][metric][i].ravel() for i in rows])
        return values[np.isfinite(values)]


def reasons(folder):
    """Why cells were skipped, by arm."""
    with h5py.File(results(folder)) as f:
        status, arm, why = (f["cells"][k].asstr()[:] for k in ("status", "arm", "reason"))
        return {a: w for s, a, w in zip(status, arm, why) if s == "SKIPPED"}


# ---- configurations ----

def test_configuration():
    """What is wrong without looking at a model."""
    def fault(what, *says, **parts):
        bad(what, ["validate", config("bad.yaml", **parts)], 2, r"bad\.yaml:\d+", *says)
    fault("model without text", "'text' is missing", source=f"{{model: {MODEL}}}")
    fault("text without model", "'text' goes with 'model'", source="{capture: tiny.h5, text: hack.txt}", metrics="[nmse]", arms={"sym": ARMS["sym"]})
    fault("chunks without model", "'chunks' goes with 'model'", source="{capture: tiny.h5, chunks: 4}", metrics="[nmse]", arms={"sym": ARMS["sym"]})
    fault("one text twice", "'hack.txt' stands twice", source=source(text="[hack.txt, hack.txt]"))
    fault("odd context", r"source\.context", "even number", source=source(context=63))
    for context in ("6", "-64", "many", "1e3", "9999999999"):
        fault("context", r"source\.context", source=source(context=context))
    for count in ("0", "-1", "some", "1.5"):
        fault("chunks", r"source\.chunks", source=source(chunks=count))
    fault("first", r"source\.first", source=source(more=", first: -1"))
    fault("block", r"source\.block", source=source(more=", block: 0"))
    fault("layers of the source", r"source\.layers", "an arm's own `layers`", source=source(more=", layers: [0]"))
    fault("descriptive", r"source\.descriptive", "'maybe': one of false, true", source=source(more=", descriptive: maybe"))
    fault("queries", r"source\.queries", "'q4_0': one of exact, q8_0", source=source(more=", queries: q4_0"))
    fault("documents of a text", r"source\.evaluation", "its text", source=source(more=", capture: fit.h5, evaluation: [ruth]"))
    fault("documents of nothing", r"source\.calibration", r"source\.capture", source=source(more=", calibration: [ruth]"))
    fault("leak", r"source\.leak", "the only value is deliberate", source=source(more=", leak: true"))
    fault("metrics of rows", "nmse", "nll", metrics="[nmse]")
    fault("metrics of tokens", "nll", source="{capture: tiny.h5}", metrics="[nll]", arms={"sym": ARMS["sym"]})
    fault("an unknown key", "'context_size'", "context", source=source(more=", context_size: 3"))
    arm = "{both: {quantizer: {sym: {bits: 3}}}, layers: "
    for what, layers, says in (("overlap", "{0-2: exact, 2: other}", "layer 2 is named twice"), ("itself", "{0: self}", "'self' has layers of its own"), ("unknown", "{0: nobody}", "'nobody' is no arm"),
                               ("backwards", "{3-1: exact}", "'3-1' is no layer"), ("no number", "{first: exact}", "'first' is no layer"), ("not a map", "[0, 1]", r"arms\.self\.layers"),
                               ("one that has layers", "{0: chained}", "'chained' has layers of its own"), ("negative", "{-1: exact}", "'-1' is no layer"),
                               ("beyond any", "{99999999999999999999: exact}", "is no layer")):
        fault("layers of an arm: " + what, says, arms={"other": ARMS["sym"], "chained": arm + "{1: other}}", "self": arm + layers + "}"})
    fault("an arm that codes in its layers alone", "'sym' codes keys, and this arm does not", arms={"sym": "{k: {quantizer: q8_0}}", "only": "{layers: {0: sym}}"})
    fault("values in its layers alone", "'sym' codes values, and this arm does not", arms={"sym": ARMS["sym"], "only": "{k: {quantizer: exact}, layers: {0: sym}}"})


def test_files():
    """Models and texts that cannot be used; no run begins."""
    with open(MODEL, "rb") as f:
        whole = f.read()

    def refused(what, *says, code=1, arms=None, **parts):
        path = config("bad.yaml", source=source(**parts), arms=arms)
        bad(what, run(path, "never"), code, *says)
        check(not os.path.exists(path_of("never")), f"{what}: no folder is made")
    for what, content in (("empty", b""), ("a text", b"not a model at all\n" * 20), ("a capture", open(path_of("tiny.h5"), "rb").read()), ("four bytes", whole[:4])):
        write("broken.gguf", content)
        refused("not a GGUF: " + what, "broken.gguf", "GGUF|libllama", model="broken.gguf")
    for size in (100, 5000, len(whole) // 2, len(whole) - 64):
        write("broken.gguf", whole[:size])
        refused(f"a GGUF cut at {size}", "broken.gguf", "libllama|GGUF", model="broken.gguf")
    for place in (9, 17, 26, 40, 200, 3000):  # counts, lengths, types
        write("broken.gguf", whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1:])
        a = gyre("plan", config("bad.yaml", source=source(model="broken.gguf"), arms={"exact": "{}"}), "--jobs", "1")
        check(a.code == 0 and not a.errors or a.code == 1 and len(a.errors) == 1 and "broken.gguf" in a.err and a.out == "", f"bit flipped at {place}: exit {a.code}, {a.err}")
    write("broken.gguf", whole)
    write("broken.gguf.sha256", "0" * 64 + "\n")
    refused("another sum beside it", "broken.gguf", "SHA-256", "fetch", model="broken.gguf")
    os.remove(path_of("broken.gguf.sha256"))
    os.remove(path_of("broken.gguf"))
    refused("no such model", "nowhere", "fetch-model", model="nowhere")
    refused("no such file", "nowhere.gguf", model="./nowhere.gguf")
    refused("a folder for a model", re.escape(SOURCE), model=SOURCE + "/")
    refused("no such text", "nowhere.txt", text="nowhere.txt")
    os.makedirs(path_of("elsewhere"), exist_ok=True)
    write("elsewhere/hack.txt", "another text of the same name " * 100)
    refused("two texts of one name", r"hack\.txt and elsewhere/hack\.txt would both be called hack", code=2, text="[hack.txt, elsewhere/hack.txt]")
    refused("a folder for a text", re.escape(TEXTS), text=TEXTS)
    write("latin.txt", b"caf\xe9 " * 100)
    refused("a text that is not UTF-8", "latin.txt", "UTF-8", "byte 3", text="latin.txt")
    write("empty.txt", "")
    refused("an empty text", "empty.txt", "longer text", text="empty.txt")
    write("short.txt", "Once upon a time.")
    refused("a short text", "short.txt", r"\d+ tokens", "longer text", text="short.txt")
    refused("one of two texts is short", "short.txt", r"\d+ tokens", text="[hack.txt, short.txt]")
    refused("chunks beyond the text", "hack.txt", r"\d+ tokens: \d+ chunks of 64", "asks for 4000", chunks=4000)
    refused("first beyond the text", "hack.txt", "behind the first 4000", chunks="all", more=", first: 4000")
    refused("a context beyond the model's", r"source\.context asks for 4096 tokens", "at most 2048", context=4096)
    shutil.copy(path_of("hack.txt"), path_of("again.txt"))
    refused("two names of one text", "hack.txt and .*again.txt are the same text", code=2, text="[hack.txt, again.txt]")
    refused("one model twice", "stories260K", code=2, model=f"[{MODEL}, {MODEL}]")
    refused("a capture that is not there", "nowhere.h5", more=", capture: nowhere.h5")
    refused("layers beyond the model", "arm sym names layer 7", "layers 0 to 4", code=2, arms={"sym": "{both: {quantizer: {sym: {bits: 3}}}, layers: {5-7: exact}}"})


# ---- what arms are fitted to ----

FITTED = {"exact": "{}", "mean": "{k: {chain: [{centre: {by: mean}}], quantizer: {sym: {bits: 3}}}}", "pca": "{k: {chain: [pca], quantizer: {sym: {bits: 3}}}}"}


def test_skips():
    """Arms that cannot run are SKIPPED with the reason; the others run."""
    arms = {**FITTED, "sym": ARMS["sym"], "reads": "{k: {quantizer: alignedkv}}", "wide": "{k: {quantizer: q4_0}}", "learned": "{k: {chain: [expm], quantizer: {sym: {bits: 3}}}}",
            "inner": "{both: {quantizer: {sym: {bits: 3}}}, layers: {2: pca}}", "bias": "{k: {chain: [unrope, {centre: {by: bias}}], quantizer: {sym: {bits: 3}}}}"}
    ran = {"exact", "sym"}
    for name, more, says, fitted in (("skips", "", "name in source.capture a capture of this model", False), ("other", ", capture: tiny.h5", "name in source.capture a capture of this model", False),
                                     ("few", ", capture: few.h5", "the one named has not this layer", False), ("fits", ", capture: [tiny.h5, fit.h5]", None, True)):
        a = good("a run with arms that cannot run: " + name, run(config("skips.yaml", source=source(chunks=2, more=more), arms=arms), name))
        why = reasons(name)
        wanted = arms.keys() - ran - ({"mean", "pca", "inner"} if fitted else set())
        check(why.keys() == wanted and counts(a) == (len(arms) - len(wanted), 0, len(wanted), 0), f"{name}: skipped {why}, {counts(a)}")
        for arm, text in {"reads": "read by the query", "wide": "8|32", "learned": r"learns or draws.*fitted: RESULTS", "bias": "bias", **({} if fitted else {"mean": says, "pca": says, "inner": "layer 2: .*" + says})}.items():
            check(re.search(text, why.get(arm, "")), f"{name}: {arm} is skipped because: {why.get(arm)}")
        plan = json.loads(good("a plan of them", ["plan", path_of("skips.yaml"), "--json", "--jobs", "1"]).out)
        check({r["arm"]: r["reason"] for r in plan["reasons"]} == why and plan["skipped"] == len(wanted), f"{name}: the plan says the same: {plan['reasons']}")


def test_queries():
    """Queries are rounded behind the chain of the keys: what is no rotation of keys at all positions, or no whole block of q8_0, is SKIPPED."""
    command.gguf(path_of("wide.gguf"), embd=64)  # heads of 32
    write("wide.txt", "what is it that the keys are turned by? " * 20)
    write("more.txt", "and what are the queries, then? whoever knows may say so now. " * 10)
    good("a capture", ["capture", "--model", path_of("wide.gguf"), "--text", "wide.txt", "more.txt", "-o", "wide.h5", "--layers", "all", "--tokens", "64", "--queries", "4", "--threads", "1"])
    arms = {"pca": "{k: {chain: [pca], quantizer: exact}}", "plain": "{k: {quantizer: exact}}", "rope": "{k: {chain: [unrope], quantizer: exact}}", "mean": "{k: {chain: [{centre: {by: mean}}], quantizer: exact}}",
            "scaled": "{k: {chain: [{scale: {by: max}}], quantizer: exact}}", "values": "{v: {quantizer: exact}}", "inner": "{k: {quantizer: exact}, layers: {0: rope}}"}
    write("third.txt", "a third text that no arm has been fitted to, of which the model reads a little. " * 5)
    for queries in ("exact", "q8_0"):
        good("a run with queries " + queries, run(config("queries.yaml", source=source(model="wide.gguf", text="third.txt", chunks=3, more=f", capture: wide.h5, queries: {queries}"), arms=arms), queries))
    why = reasons("q8_0")
    check(why.keys() == {"rope", "mean", "scaled", "inner"} and all("linear, orthogonal and the same at every position" in w for w in why.values()) and not reasons("exact"), f"queries: q8_0 skips {why}")
    check(not chunks("exact", "token_kl", "plain").any() and not chunks("q8_0", "token_kl", "values").any(), "nothing is rounded where it should not be")
    plain, pca = (chunks("q8_0", "token_kl", arm) for arm in ("plain", "pca"))
    check((plain > 0).all() and (pca > chunks("exact", "token_kl", "pca") * 2).all() and (pca < 1e-3).all(), f"rounded queries change a little: {plain}, {pca}")
    good("a capture without queries", ["capture", "--model", path_of("wide.gguf"), "--text", "wide.txt", "more.txt", "-o", "mute.h5", "--layers", "all", "--tokens", "64", "--queries", "0", "--threads", "1"])
    good("a run fitted to it", run(config("mute.yaml", source=source(model="wide.gguf", text="third.txt", chunks=3, more=", capture: mute.h5, queries: q8_0"), arms={"plain": arms["plain"]}), "mute"))
    check(np.array_equal(chunks("mute", "token_kl", "plain"), plain), f"queries are rounded whatever the capture holds: {chunks('mute', 'token_kl', 'plain')}, {plain}")
    a = good("a plan of rounded queries that q8_0 does not code", ["plan", config("narrow.yaml", source=source(more=", queries: q8_0"), arms={"sym": ARMS["sym"], "v": "{v: {quantizer: {sym: {bits: 3}}}}"}), "--jobs", "1"], "skipped: arm sym on")
    check("arm v on" not in a.out and re.search("queries: .*q8_0.*32", a.out), f"why queries are not rounded: {a.out}")


def test_leak():
    """The text that judges may not be what arms are fitted to."""
    text = os.path.join(TEXTS, CALIBRATION[0] + ".txt")
    path = config("leak.yaml", source=source(text=text, chunks=2, more=", capture: fit.h5"), arms=FITTED)
    bad("a leak", run(path, "never"), 2, "document '" + CALIBRATION[0] + "'", "which arms are fitted to", "leak: deliberate")
    shutil.copy(text, path_of("renamed.txt"))
    bad("a leak under another name", run(path, "never", "--set", "source.text=renamed.txt"), 2, "document '" + CALIBRATION[0] + "'", "renamed.txt")
    a = good("a deliberate leak", run(path, "leak", "--set", "source.leak=deliberate"), "(?i)leak")
    with h5py.File(results("leak")) as f:
        flags = dict(zip(f["cells/arm"].asstr()[:], f["cells/flags"].asstr()[:]))
        check(flags == {"exact": "", "mean": "leak", "pca": "leak"}, f"arms that are fitted to the text are flagged, and no other: {flags}")
    other = good("the calibration names decide", run(path, "leakless", "--set", f"source.calibration=[{', '.join(CALIBRATION[2:])}]"))
    check("leak" not in other.out.lower(), f"documents that do not calibrate do not leak: {other.out[:500]}")


# ---- the same numbers ----

def test_same():
    """Whatever a run is cut into."""
    path = config("same.yaml", source=source(chunks=5, more=", block: 2"), more="seeds: 2\n")
    a = good("a run", run(path, "one"), "PPL")
    arms = len(ARMS) + 2  # rot and edges draw, so they have two seeds
    check(counts(a) == (3 * arms, 0, 0, 0), f"two seeds of an arm that draws nothing are one cell: {counts(a)}")
    wanted, report = digest(results("one")), a.out
    a = good("the same again", run(path, "one"))
    check(counts(a) == (0, 3 * arms, 0, 0) and a.out == report and digest(results("one")) == wanted, f"nothing is computed twice: {counts(a)}")
    few = config("few.yaml", source=source(chunks=1), arms={a: ARMS[a] for a in ("exact", "sym", "late")})  # threads that wait spin
    for jobs in (1, 2):
        good("jobs", run(few, f"jobs{jobs}", jobs=jobs))
    check(digest(results("jobs1")) == digest(results("jobs2")), "one job and two give the same bytes")
    good("shard 1", run(path, "shards", "--shard", "1/2"))
    a = gyre("merge", "shards")
    check(a.code == 1 and "missing" in a.err and "--partial" in a.err and not os.path.exists(results("shards")), f"merge of half: {a.code} {a.err}")
    good("status of half", ["status", "shards"], f"{3 * arms} cells: .* to go; no run is at work here")
    good("shard 0", run(path, "shards", "--shard", "0/2"))
    good("merge", ["merge", "shards"], f"{3 * arms} cells OK")
    check(digest(results("shards")) == wanted, "shards give the same bytes")
    for block in (1, 100):
        good("another block", run(path, f"block{block}", "--set", f"source.block={block}"))
        for arm in ARMS:
            same = all(np.array_equal(chunks("one", m, arm), chunks(f"block{block}", m, arm)) for m in ("nll", "nll_change", "token_kl"))
            check(same and len(chunks("one", "nll", arm)) == 5, f"blocks of {block} give other values for {arm}")
    a = good("more chunks", run(path, "one", "--set", "source.chunks=8"))
    check(counts(a) == (2 * arms, 2 * arms, 0, 0), f"two whole blocks of three stay: {counts(a)}")
    a = good("another start", run(path, "one", "--set", "source.first=2", "--set", "source.chunks=2"))
    check(counts(a) == (0, arms, 0, 0), f"the second block is known: {counts(a)}")
    a = good("a capture that no arm is fitted to", run(path, "one", "--set", "source.capture=fit.h5"))
    check(counts(a) == (0, 3 * arms, 0, 0), f"arms that are fitted to nothing stay what they are: {counts(a)}")
    good("back", run(path, "one"))
    check(digest(results("one")) == wanted, "back to the first configuration")

    check(not any(chunks("one", m, arm).any() for m in ("nll_change", "token_kl") for arm in ("exact", "same")), "exact arms change nothing at all")
    late, sym = chunks("one", "token_kl", "late"), chunks("one", "token_kl", "sym")
    check((late != sym).all() and late.mean() < sym.mean(), f"a window costs less than none: {late} {sym}")
    check((chunks("one", "nll", "rot", 0) != chunks("one", "nll", "rot", 1)).all(), "seeds differ")
    with h5py.File(results("one")) as f:
        payload = {a: f["cells/payload_bits"][i] for i, a in enumerate(f["cells/arm"].asstr()[:])}
        check(payload["sym"] == 7 and payload["exact"] == 32 and payload["edges"] == (16 + 4 * 7) / 5 and payload["late"] == (7 * 33 + 16 * 31) / 64, f"bits: {payload}")  # last batch at 48: rows 0..32


def test_bits():
    """Bits of a codec whose size depends on the rows are means over chunks, however these are cut into blocks."""
    arms = {"loose": "{k: {quantizer: {kvquant_mse: {bits: 3, outliers: 0.05}}}}", "sym": ARMS["sym"]}
    whole, single = {}, {}
    for block, bits in ((100, whole), (2, {}), (1, single)):
        path = config("bits.yaml", source=source(chunks=5, more=f", block: {block}, capture: fit.h5"), arms=arms)
        good(f"blocks of {block}", run(path, f"bits{block}"))
        with h5py.File(results(f"bits{block}")) as f:
            for arm, x in zip(f["cells/arm"].asstr()[:], f["cells/payload_bits"][:]):
                bits.setdefault(arm, []).append(x)
            side = dict(zip(f["cells/arm"].asstr()[:], f["cells/side_bits"][:]))
            total = dict(zip(f["perplexity/arm"].asstr()[:], f["perplexity/total_bits"][:]))
        check(abs(total["loose"] - side["loose"] - whole["loose"][0]) < 1e-12 and total["sym"] == 7, f"blocks of {block}: {total}, {whole}")
    check(len(set(single["loose"])) > 1 and abs(np.mean(single["loose"]) - whole["loose"][0]) < 1e-12, f"chunks differ, and their mean is the block's: {single}, {whole}")


def test_memory():
    """Rows of a chunk are held for one arm at a time."""
    most = {}
    for seeds in (2, 22):
        path = config("memory.yaml", source=source(chunks=1, context=512), arms={"rot": ARMS["rot"]}, more=f"seeds: {seeds}\n")
        code = f"import resource, subprocess; subprocess.run({[GYRE, *map(str, run(path, f'memory{seeds}'))]!r}, check=True, capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        most[seeds] = int(subprocess.run([sys.executable, "-c", code], cwd=WORK, env=environment(), capture_output=True, text=True, check=True).stdout)
    check(SANITIZED or most[22] - most[2] < 7000, f"20 arms more take 655 kB of rows each if all are held: {most} kB")


def started(path, folder, *more, **options):
    """A run at work that has left at least one cell."""
    p = subprocess.Popen([GYRE, *map(str, run(path, folder, *more))], cwd=WORK, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    end = time.monotonic() + WAIT
    while p.poll() is None and not cells(path_of(folder)) and time.monotonic() < end:
        time.sleep(0.005)
    return p


def test_interruption():
    """SIGTERM to the program alone, SIGINT to the terminal's group, SIGKILL: what is finished stays, and the same command goes on."""
    arms = {a: ARMS[a] for a in ("exact", "sym", "rot", "late")}
    path = config("long.yaml", source=source(chunks=10, context=96, text="[hack.txt, trust.txt]", more=", block: 4"), arms=arms)
    a = good("uninterrupted", run(path, "whole"))
    wanted, total = digest(results("whole")), counts(a)[0]
    check(not os.path.exists(os.path.join(WORK, "facts.h5")), "facts are gone")
    for name, number, group in (("term", signal.SIGTERM, False), ("int", signal.SIGINT, True), ("kill", signal.SIGKILL, False)):
        p = started(path, name, start_new_session=True)
        good("status of a run at work", ["status", name], rf"{total} cells: \d+ done, 0 skipped, 0 failed, \d+ to go; a run is at work here", "at that rate")
        check(p.poll() is None, f"{name}: still at work")
        os.killpg(p.pid, number) if group else p.send_signal(number)
        out, err = p.communicate(timeout=WAIT)
        there = len(cells(path_of(name)))
        if number == signal.SIGKILL:
            check(p.returncode == -number, f"killed: {p.returncode}")
        else:
            errors = [line for line in err.splitlines() if re.match("gyre: (?!warning)", line)]
            check(p.returncode == 75 and len(errors) == 1 and re.search(rf"stopped with \d+ of {total} cells to go; the same command goes on", err) and out == "", f"{name}: exit {p.returncode}, {err}")
            check(not unfinished(path_of(name)), f"{name}: {unfinished(path_of(name))} are left")
        check(0 < there < total and not os.path.exists(results(name)), f"{name}: {there} whole cells are there")
        good("status afterwards", ["status", name], rf"{there} done, .* {total - there} to go; no run is at work here")
        a = good("going on after " + name, run(path, name))
        check(counts(a) == (total - there, there, 0, 0) and digest(results(name)) == wanted, f"going on after {name}: {counts(a)}, {there} were there")
        good("status of a whole run", ["status", name], f"{total} done, 0 skipped, 0 failed, 0 to go$")
    # while the plan is made
    for number in (signal.SIGTERM, signal.SIGINT):
        before = set(os.listdir(os.environ.get("TMPDIR", "/tmp")))
        p = subprocess.Popen([GYRE, *map(str, run(path, "early"))], cwd=WORK, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        time.sleep(0.03)
        os.killpg(p.pid, number)
        out, err = p.communicate(timeout=WAIT)
        left = [n for n in set(os.listdir(os.environ.get("TMPDIR", "/tmp"))) - before if n.startswith("gyre.")]
        check(p.returncode in (75, -number) and out == "" and not left and not os.path.exists(results("early")), f"signal {number} early: exit {p.returncode}, {err}, left {left}")


def test_trouble():
    """Little memory, folders that cannot be written, cells that are damaged."""
    path = config("trouble.yaml", source=source(chunks=2), arms={"exact": "{}", "sym": ARMS["sym"]})
    if SANITIZED:
        print("model: sanitizers map memory freely: the checks with little memory are left out")
    for mib in () if SANITIZED else (90, 100, 110, 120, 140, 200):  # OpenBLAS takes 128 MiB a thread before main, and waits for ever where it gets none
        a = gyre(*run(path, f"memory{mib}"), env=environment(OPENBLAS_NUM_THREADS="1"), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20)))
        said = a.code == 1 and len(a.errors) == 1 and re.search("memory|alloc|mmap", a.err) and a.out == "" and not os.path.exists(results(f"memory{mib}")) and not unfinished(path_of(f"memory{mib}"))
        loaded = a.code != 127  # by the loader
        check(not loaded or (a.code == 0 and not a.errors) or said, f"with {mib} MiB: exit {a.code}, {a.err[:500]}")
    bad("a file for a folder", run(path, "hack.txt/out"), 1, "hack.txt")
    bad("a folder that cannot be written", run(path, "/proc/nowhere"), 1, "/proc/nowhere")
    a = gyre(*run(path, "full"), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)))
    check(a.code == 1 and len(a.errors) == 1 and a.out == "" and not unfinished(path_of("full")), f"files that cannot grow: exit {a.code}, {a.err[:500]}")
    a = good("TMPDIR elsewhere", run(path, "whole_again"), env=environment(TMPDIR=WORK))
    bad("TMPDIR nowhere", run(path, "never"), 1, "TMPDIR", env=environment(TMPDIR=path_of("nowhere")))
    name = cells(path_of("whole_again"))[0]
    cell = path_of(os.path.join("whole_again", "cells", name))
    with open(cell, "r+b") as f:
        f.seek(os.path.getsize(cell) // 2)
        f.write(b"\xff" * 40)
    good("status of a damaged cell", ["status", "whole_again"], "not usable, will be computed again", "1 to go")
    a = good("a damaged cell", run(path, "whole_again"))
    check(counts(a) == (1, 1, 0, 0), f"a damaged cell is computed again: {counts(a)}")
    if os.geteuid() != 0:
        os.chmod(path_of("whole_again/cells"), 0o555)
        bad("a folder that is read only", run(path, "whole_again", "--set", "source.first=1"), 1, "cells|write")
        os.chmod(path_of("whole_again/cells"), 0o755)
    bad("status of nothing", ["status", "nowhere"], 1, "nowhere is not a run folder")
    bad("status without a word", ["status"], 2, "name a run folder")


def test_library():
    """A libllama of another version than the program was built for."""
    with open(path_of("other.c"), "w") as f:
        f.write('const char *llama_version(void);\nconst char *llama_version(void) { return "9.9.9"; }\n')
    if SANITIZED or subprocess.run(["cc", "-shared", "-fPIC", "-o", path_of("other.so"), path_of("other.c")]).returncode != 0:
        print("model: no other libllama could be made up")
        return
    bad("another libllama", run(config(source=source(chunks=2)), "other"), 1, "libllama 9.9.9 is loaded", "built for", "build again", env=environment(LD_PRELOAD=path_of("other.so")))


def test_plan():
    """The plan counts what will run, and times a chunk."""
    path = config(source=source(chunks=5, more=", block: 2"), more="seeds: 2\n")
    plan = json.loads(good("a plan", ["plan", path, "--json", "--jobs", "1"]).out)
    own = plan["sources"][0]
    check((plan["cells"], plan["to_compute"], plan["skipped"], plan["chunks"]) == (24, 24, 0, 40), f"cells and chunks, an exact run of each among them: {plan}")
    check(own["name"] == "stories260K" and own["model"] == MODEL and "capture" not in own and own["evaluation"] == 5 and own["dim"] == 8, f"the source: {own}")
    check(0 < plan["chunk_seconds"] < 600 and 3 * 31 * 512 * 4 <= plan["bytes"] < 3.1 * 31 * 512 * 4, f"time and memory: {plan['chunk_seconds']} {plan['bytes']}")
    check([a.get("layers") for a in plan["arms"]] == [None] * 5 + ["0-0:exact,3-4:rot"], "the layers that an arm leaves to others")
    good("a plan in words", ["plan", path, "--jobs", "1"], r"\n  layers 0-0:exact,3-4:rot\n", "5 chunks of 64 tokens in 3 blocks, 155 tokens scored", "text hack.txt, SHA-256 [0-9a-f]{12}", "to run: 40 chunks")
    check(not os.path.exists(path_of("out")), "a plan makes no folder")


def test_order():
    """A capture's configuration becomes a model's by --size; both orders of arms are compared."""
    arms = {f"{name}{bits}": f"{{both: {{chain: {chain}, quantizer: {{sym: {{bits: {bits}}}}}}}}}" for name, chain in (("sym", "[]"), ("had", "[hadamard]")) for bits in (2, 3, 4, 6)}
    more = ("sizes:\n  model:\n    - 'source={model: " + MODEL + ", text: hack.txt, context: 64, chunks: 4, capture: fit.h5}'\n    - 'metrics=[nll, nll_change, token_kl]'\n")
    path = config("both.yaml", source="{capture: fit.h5}", arms=arms, metrics="[nmse, softmax_kl, output_error]", more=more)
    good("rows", run(path, "rows"), "nmse")
    good("the model", run(path, "inside", "--size", "model"), "PPL")
    check(chunks("inside", "token_kl", "had2").mean() > chunks("inside", "token_kl", "had6").mean(), "more bits, less loss")
    a = good("their order", ["order", results("rows"), results("inside"), "--against", "token_kl", "--out", "figures"], "softmax_kl", "stories260K")
    check("8" in a.out and os.path.isdir(path_of("figures")), f"the order of 8 arms: {a.out}")
    bad("a model for a capture", ["order", results("inside"), results("rows")], 1, "inside/results.h5|model")
    shutil.copy(results("rows"), path_of("rows.h5"))
    bad("an unknown size", run(path, "never", "--size", "modle"), 2, "modle", "model")


def main():
    command.capture("tiny.h5")
    for name, text in (("hack.txt", "jargon-file-hack"), ("trust.txt", "debian-policy-scope")):
        shutil.copy(os.path.join(TEXTS, text + ".txt"), path_of(name))
    for name, layers in (("fit.h5", "all"), ("few.h5", "0,1,3")):
        good("a capture of the model", ["capture", "--model", MODEL, "--text", *(os.path.join(TEXTS, t + ".txt") for t in CALIBRATION), "-o", name, "--layers", layers, "--tokens", "64", "--queries", "8", "--threads", "1"])
    wanted = sys.argv[1:]
    for name, test in list(globals().items()):
        if name.startswith("test_") and (not wanted or name[5:] in wanted):
            begin = time.monotonic()
            test()
            if "GYRE_TIMES" in os.environ:
                print(f"{name[5:]}: {time.monotonic() - begin:.1f} s", flush=True)
    print(f"{command.passed} passed, {len(command.failures)} failed")
    return bool(command.failures)


if __name__ == "__main__":
    try:
        code = main()
    finally:
        if "GYRE_KEEP" in os.environ:
            print("kept", WORK)
        else:
            shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(code)
