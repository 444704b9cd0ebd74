"""The command line: every good path once, and every bad input that the program itself must answer.

A bad input is answered by one error on stderr that says what, where and what to do, by the documented exit code (0 done, 1 a cell or check failed,
2 usage or configuration, 75 interrupted), and by nothing else: no word on stdout, no file added, changed or removed. Captures are small and made here
in the schema of docs/capture-schema.md, so that this runs under the sanitizers too; the shipped ones serve the good paths.

Environment: GYRE (the program), GYRE_PYTHON, GYRE_SOURCE. What it is not: a test of values (tests/oracle) or of whole campaigns (tests/campaign.py).
"""
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

GYRE = os.path.abspath(os.environ["GYRE"])
SOURCE = os.path.abspath(os.environ["GYRE_SOURCE"])
WORK = tempfile.mkdtemp(prefix="gyre-command-")
WAIT = 120  # seconds after which a command hangs
passed, failures = 0, []


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)
        print("command:", what, flush=True)
    return ok


# ---- running ----

class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err
        self.errors = [line for line in err.splitlines() if re.match(r"gyre: (?!warning: )", line)]


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") and k != "GYRE_TRACE"}
    env.update(changes)
    return env


def gyre(*args, cwd=WORK, env=None, **options):
    options.setdefault("stdout", subprocess.PIPE)
    p = subprocess.run([GYRE, *map(str, args)], cwd=cwd, env=env or environment(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=WAIT, **options)
    answer = Answer(p.returncode, (p.stdout or b"").decode(errors="replace"), p.stderr.decode(errors="replace"))
    sound(answer, args)
    return answer


def sound(answer, args):
    """No sanitizer spoke, no signal ended it, no library complained on its own."""
    noise = re.search(r"Sanitizer|runtime error:|HDF5-DIAG|double free|malloc\(\)|free\(\): ", answer.err)
    if noise or answer.code < 0:
        check(False, f"gyre {' '.join(map(str, args))}: {'signal %d' % -answer.code if answer.code < 0 else noise.group()}\n{answer.err[:3000]}")


def listing(top=WORK):
    """Every file and folder below top, hidden ones too, with what would change if it were written."""
    found = {}
    for folder, _, names in os.walk(top):
        found[folder] = None
        for name in names:
            info = os.lstat(os.path.join(folder, name))
            found[os.path.join(folder, name)] = (info.st_size, info.st_mtime_ns, info.st_ino)
    return found


def bad(what, args, code, *says, **options):
    """One error with these words (regular expressions), this exit code, a silent stdout, an untouched folder."""
    before = listing()
    a = gyre(*args, **options)
    shown = f"{what}: gyre {' '.join(map(str, args))[:300]}\n  exit {a.code}, stderr: {a.err[:1500]}"
    missing = [s for s in says if not re.search(s, a.err)]
    after = listing()
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k, 0) != after.get(k, 0))
    check(a.code == code and len(a.errors) == 1 and a.out == "" and not missing and not changed,
          f"{shown}\n  wanted exit {code}, one error, and {missing or 'the words it has'}; stdout {a.out[:200]!r}; changed: {changed}")
    return a


def good(what, args, *says, out=None, **options):
    """Exit 0, no error, these words on stdout."""
    a = gyre(*args, **options)
    missing = [s for s in says if not re.search(s, a.out)]
    check(a.code == 0 and not a.errors and not missing, f"{what}: gyre {' '.join(map(str, args))[:300]}\n  exit {a.code}, stderr: {a.err[:1500]}\n  stdout lacks {missing}: {a.out[:600]}")
    return a


# ---- captures in the schema, sealed ----

def seal(path):
    with open(path, "rb") as f:
        content = f.read()
    if content[-72:-64] == b"GYRESEAL":
        content = content[:-72]
    with open(path, "wb") as f:
        f.write(content + b"GYRESEAL" + hashlib.sha256(content).hexdigest().encode())


def strip_seal(path):
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) - 72)


TEXT = h5py.string_dtype("utf-8")


def scaled(group, name, data, *scales, dtype=None):
    d = group.create_dataset(name, data=data, dtype=dtype)
    for i, s in enumerate(scales):
        d.dims[i].attach_scale(s)
    return d


def scale(group, name, data, dtype=None):
    d = group.create_dataset(name, data=data, dtype=dtype)
    d.make_scale(name)
    return d


def capture(name, dim=64, documents=6, tokens=40, queries=4, layers=(0, 1), bias=False, spoil=None, model="tiny"):
    """A random capture of one query head per KV head; spoil(arrays of a layer) may change what is stored."""
    path = os.path.join(WORK, name)
    random = np.random.default_rng(len(name) + dim)
    heads = 2
    with h5py.File(path, "w", libver=("earliest", "v110"), track_order=True) as f:
        for key, text in {"schema": "gyre-capture", "schema_version": "1.0.0", "order": "native", "model_name": model, "architecture": "llama",
                          "model_sha256": "0" * 64, "model_file_type": "F32", "model_licence": "CC0-1.0", "tokenizer_note": "", "engine_version": "none",
                          "engine_flags": "", "command_line": "made by a test"}.items():
            f.attrs.create(key, text, dtype=TEXT)
        document = scale(f, "document", [f"text{i}" for i in range(documents)], TEXT)
        for key in ("document_sha256", "document_licence", "document_source"):
            scaled(f, key, ["-"] * documents, document, dtype=TEXT)
        token = scale(f, "token", np.arange(tokens, dtype="u4"))
        scaled(f, "pos", np.tile(np.arange(tokens, dtype="i4"), (documents, 1)), document, token)
        scaled(f, "token_id", np.ones((documents, tokens), "i4"), document, token)
        if queries:
            query = scale(f, "query", np.arange(queries, dtype="u4"))
            scaled(f, "query_pos", np.tile(np.arange(tokens - queries, tokens, dtype="i4"), (documents, 1)), document, query)
        scale(f, "layer", np.array(layers, "u4"))
        for layer in layers:
            g = f.create_group(f"layer_{layer:02d}")
            for key, value in {"layer": layer, "rope_n_rot": dim, "rope_n_ctx_orig": 2048, "sliding_window": 0}.items():
                g.attrs.create(key, value, dtype="u8")
            for key, value in {"rope_base": 10000.0, "rope_freq_scale": 1.0, "rope_ext_factor": 0.0, "rope_attn_factor": 1.0, "rope_beta_fast": 32.0,
                               "rope_beta_slow": 1.0, "score_scale": dim ** -0.5, "floor_nmse_centred": 0.0}.items():
                g.attrs.create(key, value, dtype="f8")
            g.attrs.create("rope_kind", "neox", dtype=TEXT)
            kv_head, q_head, d = (scale(g, key, np.arange(n, dtype="u4")) for key, n in (("kv_head", heads), ("q_head", heads), ("dim", dim)))
            arrays = {"k": random.standard_normal((documents, tokens, heads, dim)), "v": random.standard_normal((documents, tokens, heads, dim)),
                      "q": random.standard_normal((documents, queries, heads, dim))}
            if spoil:
                spoil(arrays)
            for stream, row, head in (("k", token, kv_head), ("v", token, kv_head), ("q", query if queries else None, q_head)):
                if stream != "q" or queries:
                    scaled(g, stream, arrays[stream].astype("f4"), document, row, head, d)
            if queries:
                scaled(g, "kv_head_of", np.arange(heads, dtype="u4"), q_head)
            if bias:
                scaled(g, "k_bias", random.standard_normal((heads, dim)).astype("f4"), kv_head, d)
    seal(path)
    return path


# ---- configurations ----

PLAIN = {
    "experiment": "experiment: tiny",
    "source": "source: {capture: tiny.h5, layers: [0]}",
    "arms": "arms:\n  identity: {k: {chain: [], quantizer: {sym: {bits: 4}}}}\n  srht: {k: {chain: [srht], quantizer: {sym: {bits: 4}}}}",
    "grid": "grid: {quantizer.bits: [4]}",
    "seeds": "seeds: 2",
    "metrics": "metrics: [nmse, softmax_kl]",
    "compare": "compare:\n  - {arm: srht, against: identity, metric: softmax_kl, margin: {ratio: 1.05}}",
}


def config(name="tiny.yaml", **parts):
    """The plain configuration with some of its parts replaced (None: left out)."""
    path = os.path.join(WORK, name)
    with open(path, "w") as f:
        f.write("\n".join(p for p in {**PLAIN, **parts}.values() if p is not None) + "\n")
    return path


def arm(text):
    return f"arms:\n  identity: {{k: {{chain: [], quantizer: {{sym: {{bits: 4}}}}}}}}\n  srht: {text}"


def bad_config(what, *says, sets=(), **parts):
    """Every verb that reads a configuration refuses it alike; the report names file, line and column where the text has the fault."""
    path = config("bad.yaml", **parts)
    options = [x for s in sets for x in ("--set", s)]
    bad(what, ["validate", path, *options], 2, *says)
    return path


def cells(folder):
    return sorted(os.listdir(os.path.join(folder, "cells"))) if os.path.isdir(os.path.join(folder, "cells")) else []


def unfinished(folder):
    return [n for _, _, names in os.walk(folder) for n in names if n.endswith(".tmp")]


def digest(path):
    a = good("digest", ["verify", "--digest", path], r"\A[0-9a-f]{64}\n\Z")
    return a.out.strip()


# ---- the tests ----

def test_words():
    """The command line itself."""
    a = gyre()
    check(a.code == 2 and "gyre run" in a.err and a.out == "", "gyre alone tells its usage on stderr and exits with 2")
    a = good("help", ["--help"], "Exit codes: 0 done, 1 .*, 2 .*, 75 ")
    verbs = re.findall(r"^  gyre (\w+) ", a.out, re.M)
    check({"run", "plan", "validate", "list", "describe", "capture", "merge", "report", "export", "diff", "figures", "order", "verify"} <= set(verbs), f"the help lists the verbs: {verbs}")
    good("version", ["--version"], r"\Agyre \d+\.\d+\.\d+ ")
    for word, near in (("rnu", "run"), ("verfiy", "verify"), ("figure", "figures"), ("Merge", "merge")):
        bad("unknown verb", [word], 2, f"no verb '{word}'", f"did you mean '{near}'", "gyre --help")
    bad("unknown verb, nothing near", ["xyzzyx"], 2, "no verb 'xyzzyx'", "gyre --help")
    path = config()
    for args, near in (([ "run", path, "--job", "2"], "--jobs"), (["plan", path, "--sett", "a=1"], "--set"), (["merge", "x", "--partail"], "--partial"),
                       (["figures", "x.h5", "--oout", "y"], "--out"), (["verify", "x.h5", "--digset"], "--digest"), (["list", "--jsn"], "--json"),
                       (["describe", "rfft", "--jsno"], "--json"), (["validate", path, "--sets", "a=1"], "--set"), (["capture", "--tokenz", "4"], "--tokens")):
        bad("unknown option", args, 2, "unknown option", f"did you mean {near}", f"gyre {args[0]} --help")
    for verb in ("run", "plan", "validate", "describe", "merge", "report", "export", "diff", "figures", "order", "verify"):
        bad("no word", [verb], 2, "name a ", f"as in gyre {verb}")
    bad("one word too many", ["verify", "a.h5", "b.h5"], 2, "'b.h5' is one word too many", "--help")
    bad("value missing", ["run", path, "--out"], 2, "--out wants a value", "--help")
    bad("flag with a value", ["merge", "x", "--partial=yes"], 2, "--partial takes no value")
    bad("capture without anything", ["capture"], 2, "needs --model, --text and -o", "--help")
    for jobs in ("0", "-1", "two", "1.5", "1025", ""):
        bad("--jobs", ["run", path, "--out", "never", f"--jobs={jobs}"], 2, "--jobs", r"integer in \[1, 1024\]")
    for shard in ("2/2", "-1/3", "0/0", "a/b", "1", "1/", "/2", "1/2/3", "0.5/2"):
        bad("--shard", ["run", path, "--out", "never", "--shard", shard], 2, "--shard")
    bad("unknown variant", ["describe", "rftf"], 2, "no variant 'rftf'", "did you mean 'rfft'", "gyre list")
    bad("unknown variant as JSON", ["describe", "softmax_lk", "--json"], 2, "no variant 'softmax_lk'", "did you mean 'softmax_kl'")
    bad("unknown variant, nothing near", ["describe", "xyzzyx"], 2, "no variant 'xyzzyx': gyre list")
    bad("two variants", ["describe", "rfft", "sym"], 2, "'sym' is one word too many")
    bad("unknown family", ["list", "quantizer"], 2, "no family 'quantizer'", "did you mean 'quantizers'")
    bad("a variant for a family", ["list", "rfft"], 2, "no family 'rfft'", "gyre describe NAME")
    bad("two forms at once", ["list", "--json", "--markdown"], 2, "exclude each other")
    bad("a part of the page", ["list", "metrics", "--markdown"], 2, "leave out 'metrics'")
    bad("one file for an order", ["order", "x.h5"], 2, "a results file of captures and one of the model", "as in gyre order")
    bad("an order by another metric", ["order", "x.h5", "y.h5", "--against", "token_lk"], 2, "nll_change or token_kl", "did you mean token_kl")
    bad("one file for a difference", ["diff", "x.h5"], 2, "name a results file and another", "as in gyre diff")
    for verb in (["report", "x.h5"], ["export", "x.h5"], ["diff", "x.h5", "y.h5"]):
        bad("unknown format", [*verb, "--format", "markdwon"], 2, "--format markdwon", "did you mean markdown", "text, markdown, latex, csv or json")
        bad("two formats", [*verb, "--format", "csv", "--json"], 2, "exclude each other")
    bad("unknown table", ["report", "x.h5", "--only", "verdict"], 2, "--only verdict", "did you mean verdicts")
    bad("unknown export", ["export", "x.h5", "--what", "comparison"], 2, "--what comparison", "did you mean comparisons")
    for option in ("--rtol", "--atol"):
        for text in ("-1", "nan", "inf", "1e-9x", ""):
            bad("tolerance", ["diff", "x.h5", "y.h5", f"{option}={text}"], 2, option, "not negative")
    bad("unknown figure", ["figures", "x.h5", "--only", "forrest"], 2, "forrest", "forest")


def test_help():
    """Each verb's --help exits 0; its example line is a command that works."""
    run = os.path.join(WORK, "for_help")
    good("a run", ["run", config(), "--out", run, "--quiet"])
    for verb in re.findall(r"^  gyre (\w+) ", gyre("--help").out, re.M):
        a = good("help of a verb", [verb, "--help"], rf"gyre {verb}\b")
        known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", re.sub(r"(?s)\bexample:.*", "", a.out)))
        examples = re.findall(rf"^\s*(?:example: )?(gyre {verb} .*)$", a.out.split("example:")[-1], re.M) if "example:" in a.out else []
        check(len(examples) == 1, f"gyre {verb} --help has one example: {examples}")
        for words in (e.split() for e in examples):
            check(all(w.split("=")[0] in known for w in words if w.startswith("-")), f"the example of {verb} has only options that the help names: {words}, {known}")
            if verb in ("capture", "order"):
                continue  # they need a fetched model, or what was computed in one
            args = [w.replace("out/demo", run) for w in words[1:]] + (["--dry-run"] if verb == "run" else []) + (["--only", "forest"] if verb == "figures" else [])
            good("the example of a help", args, cwd=SOURCE)
        if verb not in ("list", "capture"):
            good("help behind other words", [verb, "a", "--help"], rf"gyre {verb}\b")


def registered_names(rooms=("transforms", "quant", "metrics")):
    """Names of the variants that the registries' tables list, read from their files."""
    found = []
    for room in rooms:
        table = open(os.path.join(SOURCE, room, "registry.c"), encoding="utf-8").read()
        found += re.findall(r"^    &gyre_[a-z]+_(\w+),", table, re.M)
    return found


def described(d, text):
    """One entry: complete in JSON, and the same told in words."""
    name = d["name"]
    fields = {"transform": {"dimensions", "flags", "needs", "takes_rows_in", "frame_afterwards", "folds_into_the_query"}, "alias": {"chain"},
              "quantizer": {"flags", "codes_together", "payload_bits_per_value"}, "metric": {"unit", "defined_for_arms_that_code", "reads_queries"},
              "objective": {"unit", "defined_for", "flags"}, "optimiser": set(), "fit": set()}
    check(fields[d["kind"]] <= d.keys() and d["summary"] and (d["source"] or d["kind"] == "alias"), f"{name}: what a {d['kind']} tells: {sorted(d)}")
    for o in d["options"]:
        check(o["key"] and o["domain"] and o["help"] and ("default" in o) != o["required"] and (o["type"] not in ("integer", "real") or None in (o["least"], o["most"]) or o["least"] <= o["most"]), f"{name}: option {o}")
        check(re.search(rf"^  option {o['key']}: {re.escape(o['domain'])}.*; {'required' if o['required'] else 'default ' + re.escape(o['default'])}; ", text, re.M), f"{name}: option {o['key']} in words")
    required = {o["key"] for o in d["options"] if o["required"]}
    check(required == {a.split("=")[0] for a in d["assumed"]} | set(d["wants"]), f"{name}: required options are assumed or wanted: {required}")
    check([s["with"] for s in d["applies"][:1]] == ([] if d["kind"] in ("metric", "objective", "optimiser", "fit") or d["wants"] else [""]), f"{name}: the default options come first: {d['applies']}")
    for s in d["applies"]:
        check([a["dim"] for a in s["at"]] == [64, 80, 96, 112, 128, 192, 256, 320, 576], f"{name}: applicability {s}")
        part = re.search(rf"^  applies{' with ' + re.escape(s['with']) if s['with'] else ''} at:.*\n(?:  not at .*\n)*", text, re.M)
        for a in s["at"]:
            line = "applies" if a["applies"] else "not at"
            check(part and a["applies"] == (a["why"] == "") and re.search(rf"^  {line}.* {a['dim']}\b.*{re.escape(a['why'])}$", part[0], re.M), f"{name} at {a['dim']}: {s['with']} {a}")
    if d["wants"]:
        check(f"\n  needs: {', '.join(d['wants'])}\n" in text, f"{name}: needs {d['wants']}, in words")
    if d["kind"] == "quantizer":
        rated, fixed = [r["dim"] for r in d["payload_bits_at"]], "fixed_size" in d["flags"]
        check(rated == [a["dim"] for s in d["applies"][:1] for a in s["at"] if a["applies"] and a["dim"] in (64, 128) and fixed], f"{name}: bits at {rated}")
        check(all(0 < r["bits"] <= 64 for r in d["payload_bits_at"]), f"{name}: bits {d['payload_bits_at']}")


def test_variants_page():
    """docs/variants.md is what the program prints, and what it points at is there."""
    printed = good("the page", ["list", "--markdown"], r"\A# Variants\n").out
    docs = os.path.join(SOURCE, "docs")
    with open(os.path.join(docs, "variants.md"), encoding="utf-8") as f:
        check(f.read() == printed, "docs/variants.md is not what gyre list --markdown prints: build/gyre list --markdown > docs/variants.md")
    with open(os.path.join(docs, "definitions.md"), encoding="utf-8") as f:
        definitions = f.read()
    for name in registered_names():
        check(re.search(rf"^\| \[{name}\]\(", printed, re.M) is not None, f"the page has {name}")
        check(re.search(rf"\b{name}\b", definitions), f"docs/definitions.md defines {name}")
    for name in [*registered_names(["calibrate"]), "fit"]:
        check(re.search(rf"^### {name}$", printed, re.M) is not None, f"the page has {name}")
    for page, anchor in set(re.findall(r"\]\(([\w./-]*)(?:#(\w+))?\)", printed)):
        text = open(os.path.join(docs, page), encoding="utf-8").read() if page else printed
        check(not anchor or re.search(rf"^#+ {anchor}$", text, re.M | re.I), f"the page points at {page}#{anchor}")


def test_show():
    """list, describe, validate, plan: and their JSON."""
    text, data = good("list", ["list"]).out, json.loads(good("list", ["list", "--json"]).out)
    check([line.split()[:2] for line in text.splitlines()] == [[d["kind"], d["name"]] for d in data], "list --json says what list says")
    names = [d["name"] for d in data]
    named = [(d["kind"], d["name"]) for d in data]
    check(len(set(named)) == len(named), f"a name has one meaning in its family: {sorted(n for n in named if named.count(n) > 1)}")
    registered = registered_names(["transforms", "quant", "metrics", "calibrate"]) + ["fit"]
    check(sorted(registered) == sorted(d["name"] for d in data if d["kind"] != "alias"), f"list shows the registries: {sorted(set(registered) ^ set(names))}")
    families = {"transforms": {"transform", "alias"}, "quantizers": {"quantizer"}, "metrics": {"metric"}, "objectives": {"objective"}, "optimisers": {"optimiser"}, "fits": {"fit"}}
    for family, kinds in families.items():
        part = json.loads(good("list of a family", ["list", family, "--json"]).out)
        check(part == [d for d in data if d["kind"] in kinds] and part, f"list {family} is that part of the list")
        check(good("list of a family", ["list", family]).out == "".join(line + "\n" for line in text.splitlines() if line.split()[0] in kinds), f"list {family}, as text")
    for d in data:
        family = next(f for f, kinds in families.items() if d["kind"] in kinds)
        word = d["name"] if names.count(d["name"]) == 1 else f"{family}.{d['name']}"
        check(json.loads(good("describe", ["describe", word, "--json"]).out) == d, f"describe {word} --json is its part of list --json")
        described(d, good("describe", ["describe", word], rf"\A{d['kind']} {re.escape(d['name'])}: {re.escape(d['summary'])}\n").out)
    a = good("describe of a name with two meanings", ["describe", "softmax_kl"], r"\Ametric softmax_kl: ", r"\nobjective softmax_kl: ")
    bad("a name with two meanings as JSON", ["describe", "softmax_kl", "--json"], 2, "more than one family", "metrics.softmax_kl")
    good("options of a fit", ["describe", "fit"], "option steps: an integer in .*default 300", "option leak: true or false")
    by_name = {d["name"]: d for d in data}
    check("learn=true: flags linear, orthogonal, seeded, learnable" in by_name["householder"]["by_option"] and "learn=true: flags " in by_name["sym"]["by_option"], "the option that learns is told")
    check([o["bits"] for o in by_name["sym"]["payload_bits_at"]] == [4.5, 4.25] and by_name["sym"]["assumed"] == ["bits=4"], "sym: 4 bits and one binary32 scale a row")
    check(all(a["applies"] for s in by_name["unrope"]["applies"] for a in s["at"]), "unrope applies where there is RoPE")
    check([a["dim"] for a in by_name["srht"]["applies"][0]["at"] if a["applies"]] == [64, 128, 256], "srht applies at powers of two")
    check("by=mean: needs calibration rows; takes rows in any frame" in by_name["centre"]["by_option"], f"what an option changes: {by_name['centre']['by_option']}")
    path = config()
    good("validate", ["validate", path], "valid; 2 arms")
    good("plan", ["plan", path], "3 cells, 1 comparisons", "to compute: 3 cells")
    told = json.loads(good("plan as JSON", ["plan", path, "--json"]).out)
    check((told["cells"], told["comparisons"], told["to_compute"], told["fits"], [x["arm"] for x in told["arms"]]) == (3, 1, 3, 0, ["identity", "srht"]), f"plan --json: {told}")
    good("plan with --set", ["plan", path, "--set", "seeds=5", "--set", "grid={quantizer.bits: [3, 4]}"], "12 cells, 2 comparisons")
    before = listing()
    a = good("dry run", ["run", path, "--out", "dry", "--dry-run"], "to compute: 3 cells")
    check(listing() == before and "computed" not in a.err, "--dry-run writes nothing")
    check(good("plan", ["plan", path]).out == a.out, "--dry-run prints the plan")


def test_good():
    """A run on shipped captures; what is made of its results."""
    path = config("shipped.yaml", source="source: {capture: data/qwen2.5-coder-0.5b.h5, layers: [12]}")
    a = good("run", ["run", path, "--out", os.path.join(WORK, "shipped"), "--jobs", "2"], r"3 cells OK, 0 skipped", r"srht +identity", "BETTER|WORSE|EQUIVALENT|INCONCLUSIVE", cwd=SOURCE)
    check("3 cells computed, 0 found" in a.err, f"the run counts its cells: {a.err}")
    results = os.path.join(WORK, "shipped", "results.h5")
    check(good("report", ["report", results]).out == a.out, "report prints what the run printed")
    check(set(os.listdir(os.path.join(WORK, "shipped"))) == {".lock", "cells", "config.yaml", "analysis.plan", "plan.tsv", "run.txt", "results.h5"} and len(cells(os.path.join(WORK, "shipped"))) == 3,
          "a run folder holds what runner.h says")
    for file, kind in ((results, "results"), (os.path.join(WORK, "shipped", "cells", cells(os.path.join(WORK, "shipped"))[0]), "cell"), (os.path.join(SOURCE, "data", "qwen2.5-coder-0.5b.h5"), "capture")):
        a = good("verify", ["verify", file], f"a sound {kind} file, digest [0-9a-f]{{64}}")
        check(a.out.split()[-1] == digest(file), f"verify and verify --digest agree on the {kind} file")
    first = digest(results)
    a = good("run again", ["run", path, "--out", os.path.join(WORK, "shipped")], cwd=SOURCE)
    check("0 cells computed, 3 found" in a.err and digest(results) == first, f"a second run computes nothing: {a.err}")
    good("merge", ["merge", os.path.join(WORK, "shipped")], r"3 cells OK")
    check(digest(results) == first, "merge makes the same results")
    good("figures", ["figures", results, "--only", "forest"])
    drawn = os.listdir(os.path.join(WORK, "shipped", "figures"))
    check({n.rsplit(".", 1)[1] for n in drawn} >= {"png", "svg", "pdf", "csv"}, f"figures beside the file, in every format: {drawn}")
    out = os.path.join(WORK, "tiny")
    tiny = config()
    good("shard 0", ["run", tiny, "--out", out, "--shard", "0/2"])
    check(not os.path.exists(os.path.join(out, "results.h5")), "a shard does not merge")
    good("shard by Slurm", ["run", tiny, "--out", out], env=environment(SLURM_ARRAY_TASK_ID="8", SLURM_ARRAY_TASK_MIN="7", SLURM_ARRAY_TASK_COUNT="2"))
    check(len(cells(out)) == 3 and not os.path.exists(os.path.join(out, "results.h5")), "Slurm's array variables are a shard, counted from their minimum")
    good("merge of shards", ["merge", out], "3 cells OK")
    bad("Slurm variables that cannot be", ["run", tiny, "--out", "never"], 2, "SLURM_ARRAY_TASK_ID", env=environment(SLURM_ARRAY_TASK_ID="9", SLURM_ARRAY_TASK_MIN="7", SLURM_ARRAY_TASK_COUNT="2"))


def test_config():
    """Every fault of a configuration."""
    place = r"bad\.yaml:\d+:\d+: error: "
    bad_config("unknown key", place, "unknown key 'sedes'", "did you mean 'seeds'", seeds="sedes: 2")
    bad_config("unknown key below", place, "unknown key 'quantiser'", "did you mean 'quantizer'", arms=arm("{k: {chain: [srht], quantiser: {sym: {bits: 4}}}}"))
    bad_config("unknown option", place, "unknown key 'bit'|'bit'", "bits", arms=arm("{k: {chain: [srht], quantizer: {sym: {bit: 4}}}}"))
    bad_config("duplicate key", place, "seeds", "twice|duplicate|again", seeds="seeds: 2\nseeds: 3")
    bad_config("duplicate arm", place, "identity", "twice|duplicate|again", arms=PLAIN["arms"] + "\n  identity: {k: {chain: [], quantizer: {sym: {bits: 3}}}}")
    bad_config("wrong type: text for an integer", place, "seeds: 'many' is not an integer", seeds="seeds: many")
    bad_config("wrong type: quoted integer", place, "seeds: the text \"3\" is not an integer", seeds='seeds: "3"')
    bad_config("wrong type: list for a map", place, "arms", "map", arms="arms: [identity, srht]")
    bad_config("wrong type: map for a list", place, "chain", "list", arms=arm("{k: {chain: {srht: }, quantizer: {sym: {bits: 4}}}}"))
    bad_config("wrong type: value for a map", place, "source", "map", source="source: tiny.h5")
    for value in ("0", "-1", "99999999999999999999", "1e3", "4.5", "nan", "0x10", "true", "~", ""):
        bad_config("seeds: " + value, place if value else "bad", "seeds", seeds="seeds: " + value)
    for value in ("1", "9", "4.5", "nan", "-4"):
        bad_config("bits: " + value, place, "bits", re.escape(value), arms=arm("{k: {chain: [srht], quantizer: {sym: {bits: %s}}}}" % value))
        bad_config("grid of bits: " + value, place, "grid", re.escape(value), grid="grid: {quantizer.bits: [4, %s]}" % value)
    for value in ("1.0", "0.5", "nan", "inf", "-1", "wide"):
        bad_config("ratio: " + value, place, "compare|margin|ratio", compare=PLAIN["compare"].replace("1.05", value))
    bad_config("margin of two kinds", place, "either", compare=PLAIN["compare"].replace("ratio: 1.05", "ratio: 1.05, abs: 0.1"))
    bad_config("alpha: nan", place, "alpha|compare", compare=PLAIN["compare"].replace("margin", "alpha: nan, margin"))
    bad_config("unknown transform", place, "unknown transform 'shrt'", "did you mean 'srht'", arms=arm("{k: {chain: [shrt], quantizer: {sym: {bits: 4}}}}"))
    bad_config("unknown quantizer", place, "unknown quantizer 'syn'", "did you mean 'sym'", arms=arm("{k: {chain: [srht], quantizer: {syn: {bits: 4}}}}"))
    bad_config("unknown metric", place, "unknown metric 'softmaxkl'", "did you mean 'softmax_kl'", metrics="metrics: [nmse, softmaxkl]")
    bad_config("unknown arm", place, "unknown arm 'shrt'", "did you mean 'srht'", compare=PLAIN["compare"].replace("arm: srht", "arm: shrt"))
    bad_config("metric that is not computed", place, "flip", "metrics", compare=PLAIN["compare"].replace("softmax_kl", "flip"))
    bad_config("arm against itself", place, "itself", compare=PLAIN["compare"].replace("against: identity", "against: srht"))
    bad_config("grid that acts on nothing", place, "no arm has", grid="grid: {quantizer.bitz: [4]}")
    for chain, why in (("[unrope, unrope]", "unrope"), ("[srht, unrope]", "unrope"), ("[{centre: {by: bias}}]", "unrope|pre_rope"), ("[srht, {centre: {by: bias}}]", "centre")):
        bad_config("ill-typed chain " + chain, place, "ill-typed", why, arms=arm("{k: {chain: %s, quantizer: {sym: {bits: 4}}}}" % chain))
    bad_config("unrope of values", place, "ill-typed", "unrope", arms=arm("{v: {chain: [unrope], quantizer: {sym: {bits: 4}}}}"))
    bad_config("calibration is evaluated", place, "text0", "leak: deliberate", source="source: {capture: tiny.h5, calibration: [text0], evaluation: [text0, text1]}")
    bad_config("leak by another word", place, "leak", "deliberate", source="source: {capture: tiny.h5, leak: yes}")
    bad_config("nothing asked", "experiment", "source", "arms", "metrics", experiment="{}", source=None, arms=None, grid=None, seeds=None, metrics=None, compare=None)
    a = bad_config("all faults at once", seeds="seeds: 4.5", metrics="metrics: [nmsee]", compare=None) and gyre("validate", "bad.yaml")
    check("2 faults in" in a.err and len(re.findall(r": error: ", a.err)) == 2 and a.err.count("^") == 2, f"all faults at once, each with a caret: {a.err}")
    for nested in ("[" * 300, "[" * 300 + "]" * 300, "{a: " * 300, "\n  " + "- " * 300 + "a", "[" * 200000):
        bad_config("300 nested brackets", "nest|deep|levels", "32", seeds="seeds: " + nested)
    for what, text in (("not YAML", "a: [1, 2\nb: }"), ("empty", ""), ("anchors", "experiment: &a x\nsource: *a"), ("a tag", "experiment: !!int x"), ("two documents", "a: 1\n---\nb: 2"),
                       ("a tab", "a:\n\tb: 1"), ("a list", "- a\n- b"), ("too long", "# " + "x" * 300000), ("a stream without end", "a: 'x")):
        bad_config("configuration: " + what, "bad.yaml", experiment=text, source=None, arms=None, grid=None, seeds=None, metrics=None, compare=None)
    for what, data in (("binary", bytes(range(256))), ("not UTF-8", b"experiment: caf\xe9\n"), ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(200))):
        with open(os.path.join(WORK, "bad.yaml"), "wb") as f:
            f.write(data)
        bad("configuration: " + what, ["validate", "bad.yaml"], 2, "bad.yaml")
    bad("no configuration", ["run", "nowhere.yaml", "--out", "never"], 2, "nowhere.yaml", "No such file")
    bad("a folder for a configuration", ["run", WORK, "--out", "never"], 2, re.escape(WORK), "directory")
    path = config()
    for assignment, words in (("seeds", "path.to.key=value"), ("=3", "path.to.key=value"), ("sedes=3", "did you mean 'seeds'"), ("seeds=4.5", "4.5"), ("seeds=nan", "nan"), ("seeds=[", "not YAML"),
                              ("seeds.more=3", "plain value"), ("compare.7.margin=1", "name an existing item"), ("compare.x.margin=1", "name an existing item"),
                              ("arms.srht.k.quantizer.sym.bits=4.5", "4.5"), ("arms.srht.k.chain=[shrt]", "did you mean 'srht'"), ("metrics=" + "[" * 300, "."), ("compare.0.margin={ratio: 1}", "must exceed 1")):
        bad("--set " + assignment[:60], ["run", path, "--out", "never", "--set", assignment], 2, "--set", words)
    for verb in (["run", "--out", "never"], ["plan"], ["run", "--dry-run"]):
        config("bad.yaml", seeds="seeds: 4.5")
        bad("a bad configuration is refused by all", [verb[0], "bad.yaml", *verb[1:]], 2, place, "1 fault in bad.yaml")


def test_captures():
    """Captures that cannot be used: nothing is made of them, not even a run folder."""
    with open(os.path.join(WORK, "tiny.h5"), "rb") as f:
        whole = f.read()

    def refused(what, content, *says, code=1, parts=None, verify=True):
        if content is not None:
            with open(os.path.join(WORK, "broken.h5"), "wb") as f:
                f.write(content)
        path = config("broken.yaml", **{"source": "source: {capture: broken.h5}", **(parts or {})})
        bad(what, ["run", path, "--out", "never"], code, "broken.h5", *says)
        bad(what, ["plan", path], code, "broken.h5", *says)
        if verify:
            a = gyre("verify", "broken.h5")
            check(a.code == 1 and len(a.errors) == 1 and "broken.h5" in a.err + a.out, f"{what}: verify refuses it too: {a.code} {a.err} {a.out}")
            bad(what, ["verify", "--digest", "broken.h5"], 1, "broken.h5")

    refused("missing capture", None, "not there")
    refused("empty capture", b"", "HDF5|not a")
    refused("text for a capture", b"keys and values\n" * 100, "HDF5|not a")
    refused("truncated capture", whole[:len(whole) // 2], "HDF5|truncated|damaged")
    for at in (100, len(whole) // 3, len(whole) // 2, len(whole) - 100, len(whole) - 10):
        refused(f"bit flipped at {at}", whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:], "damaged", "SHA-256|seal")
    with h5py.File(os.path.join(WORK, "broken.h5"), "w") as f:
        f["temperature"] = np.arange(10.0)
    refused("foreign HDF5", None, "schema")
    with h5py.File(os.path.join(WORK, "broken.h5"), "w") as f:
        f.attrs["schema"] = 7
    refused("HDF5 with a schema of another type", None, "schema")
    shutil.copy(os.path.join(WORK, "for_help", "results.h5"), os.path.join(WORK, "broken.h5"))
    refused("a results file for a capture", None, "gyre-results", "gyre-capture", verify=False)
    with open(os.path.join(WORK, "broken.h5"), "wb") as f:
        f.write(whole[:-72])
    with h5py.File(os.path.join(WORK, "broken.h5"), "r+") as f:
        f.attrs["schema_version"] = "2.0.0"
    refused("a capture of a later schema", None, "2.0.0", "1.0.0")
    for what, change in (("without keys", lambda f: f["layer_00"].__delitem__("k")), ("without a layer", lambda f: f.__delitem__("layer_01")), ("without documents", lambda f: f.__delitem__("document")),
                         ("positions that do not rise", lambda f: f["pos"].__setitem__((0, 5), 3)), ("a score scale of NaN", lambda f: f["layer_00"].attrs.__setitem__("score_scale", np.nan)),
                         ("query heads that read nothing", lambda f: f["layer_00/kv_head_of"].__setitem__(0, 9))):
        with open(os.path.join(WORK, "broken.h5"), "wb") as f:
            f.write(whole[:-72])
        with h5py.File(os.path.join(WORK, "broken.h5"), "r+") as f:
            change(f)
        refused("capture " + what, None)
    os.remove(os.path.join(WORK, "broken.h5"))

    capture("mute.h5", queries=0)
    bad("capture without queries", ["run", config("mute.yaml", source="source: {capture: mute.h5}"), "--out", "never"], 1, "mute.h5", "no queries", "softmax_kl", "--queries")
    good("capture without queries, rows only", ["run", config("mute.yaml", source="source: {capture: mute.h5}", metrics="metrics: [nmse]", compare=None), "--out", "mute"], "6 cells OK")
    capture("single.h5", documents=1)
    bad("capture of one document", ["run", config("single.yaml", source="source: {capture: single.h5}"), "--out", "never"], 1, "single.h5", "1 document", "at least 2")
    bad("a layer that is not there", ["run", config("layer.yaml", source="source: {capture: tiny.h5, layers: [7]}"), "--out", "never"], 2, "tiny.h5", "no layer 7")
    bad("a document that is not there", ["run", config("document.yaml", source="source: {capture: tiny.h5, evaluation: [text9]}"), "--out", "never"], 2, "tiny.h5", "no document 'text9'")

    def spoil(arrays):
        arrays["k"][3, 7, 1, 5] = np.nan
    capture("nan.h5", spoil=spoil, layers=(0,))
    for jobs in ("1", "2"):
        a = gyre("run", config("nan.yaml", source="source: {capture: nan.h5}"), "--out", "nan", "--jobs", jobs)
        check(a.code == 1 and len(a.errors) == 1 and re.search(r"nan\.h5", a.err) and re.search(r"layer 0, k: document 'text3', token 7, head 1, coordinate 5 is NaN", a.err) and a.out == "",
              f"NaN in a capture, --jobs {jobs}: exit {a.code}, {a.err}")
        check(not cells(os.path.join(WORK, "nan")) and not os.path.exists(os.path.join(WORK, "nan", "results.h5")) and not unfinished(os.path.join(WORK, "nan")), "NaN in a capture leaves no cell and no results")
    a = gyre("verify", "nan.h5")
    check(a.code == 1 and len(a.errors) == 1 and "nan.h5: 1 fault" in a.err and "token 7, head 1, coordinate 5 is NaN" in a.out, f"verify tells of NaN in a capture: {a.code} {a.err} {a.out}")


def test_skipped():
    """What does not apply is SKIPPED with its reason, and the rest is done."""
    capture("d96.h5", dim=96, model="wide")
    path = config("d96.yaml", source="source: {capture: d96.h5, layers: [0]}", arms=PLAIN["arms"] + "\n  srft: {k: {chain: [srft], quantizer: {sym: {bits: 4}}}}")
    good("plan of srht at d=96", ["plan", path], r"skipped: arm srht on wide: .*(96|power of 2|power of two)", r"to compute: 3 cells \(2 skipped\)")
    a = good("run of srht at d=96", ["run", path, "--out", "d96"], "3 cells OK, 2 skipped", r"srht .*SKIPPED: .*(96|power of 2|power of two)", r"srht +identity.* SKIPPED: ")
    check("3 cells computed, 0 found, 2 skipped, 0 failed" in a.err, f"skipped cells are counted: {a.err}")
    with h5py.File(os.path.join(WORK, "d96", "results.h5")) as f:
        status, reason, names = (f["cells/" + n].asstr()[:] for n in ("status", "reason", "arm"))
        check(all((s == "SKIPPED") == (n == "srht") and bool(r) == (n == "srht") for s, r, n in zip(status, reason, names)), f"the file says SKIPPED with the reason: {status} {reason}")
        check(np.isnan(f["metrics/nmse"][:][names == "srht"]).all() and np.isfinite(f["metrics/nmse"][:][names == "srft"]).all(), "a skipped cell has no numbers")
    good("verify of results with skipped cells", ["verify", "d96/results.h5"], "sound")
    good("figures of results with skipped cells", ["figures", "d96/results.h5"])
    centred = "arms:\n  identity: {k: {chain: [], quantizer: {sym: {bits: 4}}}}\n  srht: {k: {chain: [unrope, {centre: {by: bias}}], quantizer: {sym: {bits: 4}}}}"
    good("bias centring without a bias", ["run", config("nobias.yaml", arms=centred), "--out", "nobias"], "1 cells OK, 1 skipped", r"SKIPPED: .*bias")
    capture("bias.h5", bias=True)
    good("bias centring with a bias", ["run", config("bias.yaml", arms=centred, source="source: {capture: bias.h5, layers: [0]}"), "--out", "bias"], "2 cells OK, 0 skipped")
    fitted = "arms:\n  keys: {k: {chain: [wush], quantizer: {sym: {bits: 4}}}}\n  values: {v: {chain: [wush], quantizer: {sym: {bits: 4}}}}"
    capture("unasked.h5", queries=0)
    good("keys fitted to queries that are not there", ["run", config("unasked.yaml", arms=fitted, source="source: {capture: unasked.h5, layers: [0]}", metrics="metrics: [nmse]", compare=None), "--out", "unasked"],
         "1 cells OK, 1 skipped", r"keys .*SKIPPED: .*holds none: capture it again with --queries")


def test_bits():
    """Bits of arms with two codecs, with one for both streams, and with reads by the query: by each stream's own, whatever the other is."""
    path = config("bits.yaml", arms="arms:\n" + "\n".join(f"  {name}: {text}" for name, text in {
        "four": "{v: {quantizer: {sym: {bits: 4}}}}", "k": "{k: {quantizer: alignedkv}}", "v": "{v: {quantizer: alignedkv}}", "both": "{both: {quantizer: alignedkv}}",
        "mixed": "{k: {quantizer: alignedkv}, v: {quantizer: {sym: {bits: 4}}}}", "joint": "{both: {quantizer: packkv}}",
        "torn": "{k: {quantizer: {sym: {bits: 4}}}, v: {quantizer: packkv}}"}.items()), grid=None, compare=None, metrics="metrics: [nmse, output_error]")
    capture("long.h5", tokens=160, layers=(0,))
    good("reads by the query", ["run", path, "--out", "bits", "--set", "source.capture=long.h5"], r"torn +SKIPPED: .*packkv codes K and V together")
    with h5py.File(os.path.join(WORK, "bits", "results.h5")) as f:
        payload, read = ({n: b for n, b in zip(f["cells/arm"].asstr()[:], f["cells/" + x][:])} for x in ("payload_bits", "read_bits"))
    check(payload["k"] == payload["v"] == payload["both"] == 16 and payload["four"] == 4.5 and payload["mixed"] == 10.25, f"payload: {payload}")
    check(8 < read["k"] < 16 and 8 < read["v"] < 16 + 8 * 32 / 128 and read["four"] == 4.5 and read["joint"] == payload["joint"], f"read: {read}")
    check(abs(read["mixed"] - (read["k"] + 4.5) / 2) < 1e-12, f"K read by the query and V whole: {read}")
    good("reads that no metric asks for", ["run", path, "--out", "unread", "--set", "source.capture=long.h5", "--set", "metrics=[softmax_kl]", "--set", "arms.v={}", "--set", "arms.four={}"])
    with h5py.File(os.path.join(WORK, "unread", "results.h5")) as f:
        unread = dict(zip(f["cells/arm"].asstr()[:], f["cells/read_bits"][:]))
    check(abs(unread["both"] - (read["k"] + 16) / 2) < 1e-12, f"V that no metric reads counts whole: {unread}")


def test_failed():
    """A cell that fails is FAILED with its reason; the others are done; the exit code is 1."""
    def large(arrays):
        arrays["v"][4, 3, 0, 2] = 1e6
    capture("large.h5", spoil=large, layers=(0,))
    path = config("large.yaml", source="source: {capture: large.h5}", compare=None, metrics="metrics: [nmse]",
                  arms="arms:\n  half: {v: {chain: [], quantizer: f16}}\n  four: {v: {chain: [], quantizer: {sym: {bits: 4}}}}", grid=None)
    a = gyre("run", path, "--out", "large")
    check(a.code == 1 and len(a.errors) == 1 and "cell FAILED" in a.err and "1 cells computed, 0 found, 0 skipped, 1 failed" in a.err and "1 missing or failed" in a.out,
          f"a cell out of its format's range: exit {a.code}, {a.err}, {a.out}")
    a = gyre("run", path, "--out", "large")
    check(a.code == 1 and "0 cells computed, 1 found, 0 skipped, 1 failed" in a.err, f"a failed cell is tried again: {a.err}")


def test_leak():
    source = "source: {capture: tiny.h5, layers: [0], calibration: [text0], evaluation: [text0, text1, text2], leak: deliberate}"
    good("plan of a leak", ["plan", config("leak.yaml", source=source)], "LEAK")
    good("a deliberate leak marks the report", ["run", "leak.yaml", "--out", "leak"], "LEAK")
    good("a deliberate leak marks the report of the file", ["report", "leak/results.h5"], "LEAK")
    good("a leak without comparisons", ["run", config("leak2.yaml", source=source, compare=None), "--out", "leak2"], "LEAK")
    with h5py.File(os.path.join(WORK, "leak", "results.h5")) as f:
        check(f["sources/leak"][0] == 1, "the file says that calibration overlaps evaluation")
    check("LEAK" not in gyre("report", "for_help/results.h5").out, "no leak, no mark")


def test_layers():
    """Layers that an arm leaves exact: their errors and bits are the arm's, so no other arm's cell is taken for them; and what is learned there depends on who validates."""
    sym = "{quantizer: {sym: {bits: 4}}}"
    arms = f"arms:\n  exact: {{}}\n  keys: {{k: {sym}, layers: {{0: exact}}}}\n  both: {{both: {sym}, layers: {{0: exact}}}}\n  also: {{both: {sym}, layers: {{0: exact}}}}"
    path = config("layers.yaml", source="source: {capture: tiny.h5}", arms=arms, grid=None, compare=None, metrics="metrics: [nmse]")
    a = good("layers left exact", ["run", path, "--out", "layers"])
    wanted = digest(os.path.join(WORK, "layers", "results.h5"))
    b = good("the same again", ["run", path, "--out", "layers"])
    check(a.out == b.out and digest(os.path.join(WORK, "layers", "results.h5")) == wanted, f"a second run reads what the first computed: {a.out}, {b.out}")
    with h5py.File(os.path.join(WORK, "layers", "results.h5")) as f:
        bits = {(n, l): x for n, l, x in zip(f["cells/arm"].asstr()[:], f["cells/layer"][:], f["cells/payload_bits"][:])}
        keys = {(n, l): x for n, l, x in zip(f["cells/arm"].asstr()[:], f["cells/layer"][:], f["cells/key"].asstr()[:])}
    check([bits[n, 0] for n in ("exact", "keys", "both", "also")] == [32, 16, 16, 16], f"bits of layer 0: {bits}")
    check(len({keys["exact", 0], keys["keys", 0], keys["both", 0]}) == 3 and keys["both", 0] == keys["also", 0], f"keys of layer 0: {keys}")
    arms = f"arms:\n  plain: {{k: {sym}, layers: {{0: learned}}}}\n  learned: {{k: {{chain: [{{householder: {{k: 2, learn: true}}}}], quantizer: {{sym: {{bits: 4}}}}, fit: {{steps: 4, every: 2, batch: 40}}}}}}"
    first = config("layers.yaml", source="source: {capture: tiny.h5, calibration: [text0], validation: [text1], evaluation: [text4, text5]}", arms=arms, grid=None, compare=None, metrics="metrics: [nmse]")
    good("a layer that learns", ["run", first, "--out", "learning"])
    a = good("another validation document", ["run", first, "--set", "source.validation=[text2]", "--out", "learning"])
    check(re.search("6 cells computed, 2 found", a.err), f"all but the second layer of the plain arm learn, of two seeds each: {a.err}")


def test_fits():
    """Arms that learn: what they ask of documents, where they come from, what stops them."""
    learned = "{chain: [{householder: {k: 2, learn: true}}], quantizer: {sym: {bits: 4}}%s}"
    source = "source: {capture: tiny.h5, layers: [0], calibration: [text0, text1]}"

    def fits(name, fit="{steps: 4, every: 2, batch: 40}", source=source, extra="", **parts):
        text = "arms:\n  identity: {k: {chain: [], quantizer: {sym: {bits: 4}}}}\n  learned: {k: " + learned % extra + "}"
        return config(name, **{"source": source + ("\nfit: " + fit if fit else ""), "arms": text, "grid": None, "compare": None, **parts})

    place = r"bad\.yaml:\d+:\d+: error: "
    for fit, *says in (("{steps: many}", "fit.steps: 'many'"), ("{objective: msee}", "unknown objective 'msee'", "did you mean 'mse'"), ("{optimiser: adm}", "unknown optimiser 'adm'", "did you mean 'adam'"),
                       ("{stepps: 4}", "unknown key 'stepps'", "did you mean 'steps'"), ("{leak: true}", "say source.leak: deliberate too"), ("[4]", "fit: a map")):
        fits("bad.yaml", fit=fit)
        bad("fit: " + fit, ["validate", "bad.yaml"], 2, place, *says)
    for extra, *says in ((", fit: {rule: plane}", "'plane' is not one of", "plain"), (", fitted: 7", "a results file and what of it"), (", fitted: never.h5#a", "'never.h5' cannot be read", "No such file"),
                         (", fit: {draws: 2}", "leave out what learns")):
        fits("bad.yaml", extra=extra)
        bad("codec with" + extra, ["validate", "bad.yaml"], 2, place, *says)
    bad_config("a fit of nothing", place, "nothing to fit", arms=arm("{k: {chain: [srht], quantizer: {sym: {bits: 4}}, fit: {steps: 4}}}"))
    bad_config("parameters for nothing", place, "nothing of this codec is learned", r"where a draw was chosen: fit: \{draws: N\}", arms=arm("{k: {chain: [srht], quantizer: {sym: {bits: 4}}, fitted: tiny.h5#a}}"))
    bad_config("a closed form behind what is learned", place, "scale is fitted in closed form and stands behind householder", "put it before",
               arms=arm("{k: {chain: [{householder: {k: 2, learn: true}}, {scale: {by: max}}], quantizer: {sym: {bits: 4}}}}"))
    for fit, says in (("{tokens: 41, batch: 40}", "fit.tokens asks for 41 tokens, and the 1 calibration documents have 40"), ("{steps: 4}", "fit.batch asks for 1024 rows, and the calibration set has 80"),
                      ("{tokens: 10, batch: 21}", "the calibration set has 20"), ("{batch: 1}", "less than one for each of the 2 heads")):
        for verb in (["plan"], ["run", "--out", "never"]):
            bad("fit: " + fit, [verb[0], fits("asks.yaml", fit=fit), *verb[1:]], 2, "arm learned", says)
    one = source.replace("text0, text1", "text0")
    bad("nothing validates", ["plan", fits("asks.yaml", source=one)], 2, "no(ne| document)", "source.validation", "keep: last")
    bad("nothing validates, and patience waits for it", ["plan", fits("waits.yaml", source=one, fit="{steps: 4, batch: 40, keep: last, patience: 2}")], 2, "patience", "source.validation")
    good("nothing validates, the last state is kept", ["run", fits("last.yaml", source=one, fit="{steps: 4, batch: 40, keep: last}"), "--out", "last"], "3 cells OK")
    bad("validation is evaluated", ["plan", fits("asks.yaml", source="source: {capture: tiny.h5, layers: [0], calibration: [text0], validation: [text1], evaluation: [text1]}")], 2, "text1", "validates", "leak: deliberate")
    good("validation by name", ["plan", fits("named.yaml", source="source: {capture: tiny.h5, layers: [0], calibration: [text0], validation: [text3]}")], "4 documents evaluated, 1 calibrate, 1 validate")
    good("more reflectors than dimensions", ["run", config("wide.yaml", arms="arms:\n  identity: {k: {chain: [], quantizer: {sym: {bits: 4}}}}\n  learned: {k: {chain: [{householder: {k: 65, learn: true}}], quantizer: {sym: {bits: 4}}}}",
         source=source, grid=None, compare=None), "--out", "wide"], "1 cells OK, 2 skipped", "SKIPPED: .*65")
    a = good("plan of fits", ["plan", fits("learned.yaml")], "5 cells|3 cells", r"to fit: 2 fits, 8 steps or draws; about \d+ s on \d+ jobs? \(steps were timed\)", r"3 documents evaluated|4 documents evaluated, 1 calibrate, 1 validate")
    told = json.loads(good("plan of fits as JSON", ["plan", "learned.yaml", "--json", "--jobs", "2"]).out)
    check((told["fits"], told["steps"], told["jobs"]) == (2, 8, 2) and told["fit_seconds"] > 0 and told["sources"][0]["validation"] == 1, f"plan --json of fits: {told}")
    good("a run that learns", ["run", "learned.yaml", "--out", "learned"], "3 cells OK")
    with h5py.File(os.path.join(WORK, "learned", "results.h5")) as f:
        codec, flags = f["cells/codec_k"].asstr()[:], f["cells/flags"].asstr()[:]
        check([";fit=objective=mse()" in c for c in codec] == [False, True, True] and not any("leak" in x for x in flags), f"the fit is in the codec's text: {codec}")

    other = fits("taken.yaml", extra=", fitted: learned/results.h5#learned", fit="{batch: 40}")
    a = good("parameters of another run", ["run", other, "--out", "taken"], "3 cells OK")
    with h5py.File(os.path.join(WORK, "taken", "results.h5")) as f, h5py.File(os.path.join(WORK, "learned", "results.h5")) as g:
        check(np.array_equal(f["metrics/nmse"][:], g["metrics/nmse"][:], equal_nan=True), "parameters of another run give its numbers")
        check(re.search(r";fitted=sha256:[0-9a-f]{64}#learned$", f["cells/codec_k"].asstr()[1]), "the text of the codec says whose parameters it has")
    moved = os.path.join(WORK, "moved.h5")
    shutil.copy(os.path.join(WORK, "learned", "results.h5"), moved)
    a = good("the same file elsewhere", ["run", fits("taken.yaml", extra=", fitted: moved.h5#learned", fit="{batch: 40}"), "--out", "taken"])
    check("0 cells computed, 3 found" in a.err, f"a fitted file is known by its contents: {a.err}")
    capture("other.h5", layers=(0, 1), model="other")
    capture("narrow.h5", dim=32, layers=(0, 1))
    for what, change, *says in (("another layer", "source.layers=[1]", "layer 0", "layer 1"), ("another dimension", "source.capture=narrow.h5", "64", "32"),
                                ("another order", "arms.learned.k.order=native", "half_split", "native"), ("another chain", "arms.learned.k.chain=[{householder: {k: 4, learn: true}}]", "k=2", "k=4"),
                                ("an unknown arm", "arms.learned.k.fitted=learned/results.h5#lerned", "lerned", "did you mean 'learned'"),
                                ("an arm of another name", "arms.learned.k.fitted=learned/results.h5#nothing_like_it", "nothing_like_it", "arms with fits: learned"), ("an arm that learned nothing", "arms.learned.k.fitted=learned/results.h5#identity", "identity"),
                                ("values", "arms.learned={v: {chain: [{householder: {k: 2, learn: true}}], quantizer: {sym: {bits: 4}}, fitted: learned/results.h5#learned}}", "learned and drew nothing for values")):
        for verb in (["plan"], ["run", "--out", "never"]):
            bad("parameters for " + what, [verb[0], other, *verb[1:], "--set", change], 1, "arm learned", *says)
    bad("parameters of a capture", ["plan", other, "--set", "arms.learned.k.fitted=tiny.h5#learned"], 1, "tiny.h5", "gyre-results")

    a = good("parameters of another run before a quantizer without a straight-through rule", ["run", other, "--out", "kivi", "--set", "arms.learned.k.quantizer={kivi: {bits: 4}}"], "3 cells OK")
    for axis in ("fit.objective: {a: mse, b: absmax}", "fit.steps: [4, 8]", "fit.optimiser.rate: [0.01, 0.1]"):
        bad("a grid over a fit that is not made", ["plan", fits("grid.yaml", extra=", fitted: learned/results.h5#learned", grid="grid: {" + axis + "}")], 2, axis.split(":")[0], "acts on no arm")
    good("a grid over the rows of closed forms", ["plan", fits("grid.yaml", extra=", fitted: learned/results.h5#learned", grid="grid: {fit.tokens: [20, 40]}")], "arm learned tokens=20", "arm learned tokens=40")
    seen = ["--set", "source.calibration=[text2, text3]", "--set", "source.evaluation=[text0, text4, text5]"]
    for verb in (["plan"], ["run", "--out", "never"]):
        bad("parameters from what is evaluated", [verb[0], other, *verb[1:], *seen], 2, "arm learned, K", "moved.h5#learned were found on document 'text0', which is evaluated here", "leak: deliberate")
        bad("parameters chosen by what is evaluated", [verb[0], other, *verb[1:], seen[0], seen[1], "--set", "source.evaluation=[text1, text4]"], 2, "'text1', which is evaluated here")
    good("parameters from what is evaluated, deliberately", ["run", other, *seen, "--set", "source.leak=deliberate", "--out", "seen"], "3 cells OK", "LEAK: 2 cells")
    with h5py.File(os.path.join(WORK, "seen", "results.h5")) as f:
        check(f["cells/flags"].asstr()[:].tolist() == ["", "leak", "leak"], f"cells with parameters from what is evaluated are flagged: {f['cells/flags'][:]}")
    good("a second such run", ["run", other, *seen, "--set", "source.leak=deliberate", "--out", "seen"], "LEAK: 2 cells")

    wild = config("wild.yaml", source=source + "\nfit: {steps: 40, batch: 40, optimiser: {sgd: {rate: 1e6}}, schedule: constant}", grid=None, compare=None, seeds=None,
                  arms="arms:\n  identity: {k: {chain: [], quantizer: {sym: {bits: 4}}}}\n  learned: {k: {chain: [{scale: {by: one, learn: true}}], quantizer: {sym: {bits: 4}}}}")
    a = gyre("run", wild, "--out", "wild")
    check(a.code == 1 and re.search(r"cell FAILED: tiny, layer 0, arm learned, seed 0: the fit fails at step \d+ of 40", a.err) and "1 cells computed, 0 found, 0 skipped, 1 failed" in a.err and "1 missing or failed" in a.out,
          f"a fit that diverges: exit {a.code}, {a.err}")

    leak = "source: {capture: tiny.h5, layers: [0], calibration: [text0, text1], leak: deliberate}"
    good("an arm that calibrates on what is evaluated", ["run", fits("leaks.yaml", source=leak, fit=None, extra=", fit: {steps: 4, batch: 40, leak: true}"), "--out", "leaks"], "3 cells OK", "LEAK")
    with h5py.File(os.path.join(WORK, "leaks", "results.h5")) as f:
        check(f["cells/flags"].asstr()[:].tolist() == ["", "leak", "leak"], f"cells of a leaking arm are flagged: {f['cells/flags'][:]}")


def test_results():
    """Results files that cannot be read; folders that are no run folders."""
    with open(os.path.join(WORK, "for_help", "results.h5"), "rb") as f:
        whole = f.read()
    broken = os.path.join(WORK, "results_broken.h5")

    def refused(what, content, *says):
        if content is not None:
            with open(broken, "wb") as f:
                f.write(content)
        for verb in (["report"], ["export"], ["export", "-o", "never.csv"], ["diff", "for_help/results.h5"], ["figures", "--out", "never"], ["verify", "--digest"]):
            bad(what, [verb[0], broken, *verb[1:]], 1, "results_broken.h5", *says)
        a = gyre("verify", broken)
        check(a.code == 1 and len(a.errors) == 1, f"{what}: verify: {a.code} {a.err} {a.out}")

    refused("missing results", None)
    refused("empty results", b"")
    refused("truncated results", whole[:len(whole) // 2])
    for at in (60, len(whole) // 3, len(whole) - 200):
        refused(f"results with a bit flipped at {at}", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:], "damaged")
    with h5py.File(broken, "w") as f:
        f["x"] = 1
    refused("foreign HDF5 as results", None, "schema")
    shutil.copy(os.path.join(WORK, "tiny.h5"), broken)
    for verb in ("report", "figures"):
        bad("a capture as results", [verb, broken], 1, "gyre-capture", "gyre-results")
    with open(broken, "wb") as f:
        f.write(whole[:-72])
    with h5py.File(broken, "r+") as f:
        del f["stats/verdict"]
    for verb in ("report", "figures"):
        bad("results without a column", [verb, broken], 1, "results_broken.h5", "damaged or was changed")
    a = gyre("verify", broken)
    check(a.code == 1 and len(a.errors) == 1 and "/stats/verdict is missing" in a.out, f"verify names the column that is missing: {a.code} {a.err} {a.out}")
    for folder in ("nowhere", os.path.join(WORK, "configs"), os.path.join(WORK, "tiny.h5")):
        if folder.endswith("configs"):
            os.makedirs(folder, exist_ok=True)
        bad("merge of what is no run folder", ["merge", folder], 1, re.escape(folder), "run folder")
    # a damaged cell is told, computed again, and the results are the same
    run = os.path.join(WORK, "damaged")
    path = config()
    good("run", ["run", path, "--out", run])
    first = digest(os.path.join(run, "results.h5"))
    for name, spoil in zip(cells(run), (lambda b: b[:50] + bytes([b[50] ^ 1]) + b[51:], lambda b: b[:200], lambda b: b"")):
        with open(os.path.join(run, "cells", name), "r+b") as f:
            content = f.read()
            f.seek(0)
            f.truncate()
            f.write(spoil(content))
    a = gyre("merge", run)
    check(a.code == 1 and "3 of 3 cells are missing" in a.err and a.err.count("gyre: warning: ") == 3, f"damaged cells are missing cells: {a.code} {a.err}")
    a = good("run with damaged cells", ["run", path, "--out", run])
    check("3 cells computed, 0 found" in a.err and a.err.count("computing the cell again") == 3 and digest(os.path.join(run, "results.h5")) == first, f"damaged cells are computed again: {a.err}")
    os.remove(os.path.join(run, "cells", cells(run)[0]))
    os.remove(os.path.join(run, "results.h5"))
    bad("merge with a missing cell", ["merge", run], 1, "1 of 3 cells are missing", "layer 0", "seed", "--partial")
    a = gyre("merge", run, "--partial")
    check(a.code == 0 and "1 missing or failed" in a.out and "INCOMPLETE" in a.out and "1 of 3 cells are missing" in a.err, f"merge --partial: {a.code} {a.out} {a.err}")


def tables(text):
    """What gyre prints as JSON: rows by the name of their table."""
    found = {}
    for t in json.loads(text):
        found.setdefault(t["table"], []).extend(t["rows"])
    return found


def test_tables():
    """report, export and diff: the numbers of the file in every format, and what differs between two files."""
    path, run = config(seeds="seeds: 3"), os.path.join(WORK, "tables")
    good("run", ["run", path, "--out", run])
    file = os.path.join(run, "results.h5")
    with h5py.File(file) as f:
        arms, verdicts = f["cells/arm"].asstr()[:], f["stats/verdict"].asstr()[:]
        own = {name: f["cells"][name][:] if f["cells"][name].dtype.kind in "uif" else f["cells"][name].asstr()[:] for name in f["cells"]}
        metrics, documents = {name: f["metrics"][name][:] for name in f["metrics"]}, f["sources/document_name"].asstr()[0]
        estimate, p = f["stats/estimate"][0], f["stats/p_adjusted"][0]
        stats = sorted(f["stats"])
    # report
    of = tables(good("a report as JSON", ["report", file, "--json"]).out)
    check(len(of["arms"]) == 2 and of["experiment"][0]["cells_ok"] == len(arms), f"arms of a report: {of['arms']}")
    v = of["verdicts"][0]
    check(v["verdict"] == verdicts[0] and abs(v["estimate"] / np.exp(estimate) - 1) < 1e-15 and v["p_adjusted"] == p and v["n_documents"] == len(documents) and v["margin"] == 1.05, f"a verdict of a report: {v}")
    rows = list(csv.reader(io.StringIO(good("one table as CSV", ["report", file, "--format", "csv", "--only", "verdicts"]).out, newline=""), strict=True))
    check(len({len(r) for r in rows}) == 1 and len(rows) == 2 and dict(zip(*rows))["verdict"] == verdicts[0] and float(dict(zip(*rows))["p_adjusted"]) == p, f"verdicts as CSV: {rows}")
    good("a report as Markdown", ["report", file, "--format", "markdown"], rf"\| srht \| identity \|.*\| {verdicts[0]} \|", r"\|:--\|", "Results file [0-9a-f]{12}; build")
    good("a report as LaTeX", ["report", file, "--format", "latex"], r"\A% needs \\usepackage{booktabs,graphicx}", r"\\toprule", rf"srht & identity & .*{verdicts[0]}", "Results file [0-9a-f]{12}; build")
    # export: every column of /cells and of /stats, every number of every metric
    def exported(what, *more):
        return list(csv.DictReader(io.StringIO(good("an export", ["export", file, "--what", what, *more]).out, newline=""), strict=True))
    rows = exported("cells")
    check(set(own) <= set(rows[0]) and len(rows) == len(arms) and all(str(r[n]) == str(own[n][i]) or float(r[n]) == float(own[n][i]) for i, r in enumerate(rows) for n in own), f"exported cells: {rows[0]}")
    check(set(stats) <= set(exported("comparisons")[0]), f"exported comparisons have {stats}")
    rows = exported("values")
    wanted = {(own["arm"][c], own["layer"][c], own["seed"][c], documents[j], h, m): x[c, j, h] for m, x in metrics.items() for c in range(len(arms)) for j in range(x.shape[1]) for h in range(x.shape[2])
              if not np.isnan(x[c, j, h])}
    got = {(r["arm"], int(r["layer"]), int(r["seed"]), r["document_name"], int(r["head"]), r["metric"]): float(r["value"]) for r in rows}
    check(got == wanted and len(rows) == len(wanted), f"exported values: {len(rows)} of {len(wanted)}")
    a = good("an export to a file", ["export", file, "--what", "arms", "-o", "arms.csv"])
    with open(os.path.join(WORK, "arms.csv"), encoding="utf-8", newline="") as f:
        check(a.out == "" and f.read() == good("the same to stdout", ["export", file, "--what", "arms"]).out, "an export to a file is that to stdout")
    for what in ("perplexity", "fits", "points", "parameters", "sources"):
        check(len(exported(what)) == (what == "sources"), f"export of {what}")
    bad("an export over its own file", ["export", file, "-o", file], 2, "the results file itself")
    bad("an export into no folder", ["export", file, "-o", "nowhere/x.csv"], 1, "nowhere/x.csv")
    a = gyre("export", file, "--what", "values", "-o", "small.csv", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))
    check(a.code == 1 and len(a.errors) == 1 and not os.path.exists(os.path.join(WORK, "small.csv")) and not unfinished(WORK), f"an export without room: {a.code} {a.err}")
    # diff
    before = os.path.join(SOURCE, "tests", "golden", "results-1.3.h5")
    check("canaries" not in {r["what"] for r in tables(gyre("diff", before, file, "--json").out)["counts"]}, "canaries, which a file of the release before cannot have, are no difference")
    good("a file against itself", ["diff", file, file], "the same, digest and all")
    def differ(other, *more, code=1):
        a = gyre("diff", file, other, "--json", *more)
        check(a.code == code and len(a.errors) == code, f"diff {other} {more}: exit {a.code} {a.err}")
        return tables(a.out)
    other = os.path.join(WORK, "tables2")
    good("another margin", ["run", path, "--out", other, "--set", "compare.0.margin={ratio: 1000.0}"])
    of = differ(os.path.join(other, "results.h5"))
    check([r["what"] for r in of["questions"]] == ["analysis plan"] and not of["only"] and of["counts"][1]["different"] == 0 and (verdicts[0] == "EQUIVALENT" or of["verdicts"][0]["b"] == "EQUIVALENT"), f"another margin: {of}")
    good("fewer seeds", ["run", path, "--out", other, "--set", "seeds=2"])
    of = differ(os.path.join(other, "results.h5"), "--rtol", "1e300")
    check([r["name"] for r in of["only"]] == ["tiny, layer 0, arm srht, point bits=4, seed 2"] and of["only"][0]["only_in"] == "a" and of["counts"][0]["in_both"] == len(arms) - 1, f"fewer seeds: {of}")
    changed = os.path.join(WORK, "spelt.h5")  # the canonical text of two codecs, of the second a number too
    with open(file, "rb") as f, open(changed, "wb") as g:
        g.write(f.read()[:-72])
    with h5py.File(changed, "r+") as f:
        f["cells/codec_k"][1] = f["cells/codec_k"].asstr()[1] + ";more=said"
    good_digest(changed)
    of = differ(changed, code=0)
    check(of["result"][0]["same"] == 1 and not of["texts"] and of["counts"][0]["different"] == 0, f"a codec in other words is the same: {of}")
    check(any(r["what"] == "codec_k" and r["b"] == r["a"] + ";more=said" for r in of["provenance"]), f"and is told: {of['provenance']}")
    good("of how many cells", ["diff", file, changed], "codec_k is in other words in 1 cells whose numbers are the same, the first: tiny, layer 0")
    strip_seal(changed)
    with h5py.File(changed, "r+") as f:
        f["metrics/nmse"][1, 0, 0] *= 2
    good_digest(changed)
    of = differ(changed)
    check([r["column"] for r in of["texts"]] == ["codec_k"] and of["counts"][0]["different"] == 1 and not any(r["what"].startswith("codec") for r in of["provenance"]), f"where a number differs, so does the codec: {of}")
    changed = os.path.join(WORK, "changed.h5")  # two numbers changed, one by a billionth; the file's own digest made anew
    with open(file, "rb") as f, open(changed, "wb") as g:
        g.write(f.read()[:-72])
    with h5py.File(changed, "r+") as f:
        x = f["metrics/nmse"]
        x[1, 2, 1] *= 1 + 1e-9
        x[2, 3, 0] *= 1.5
    good_digest(changed)
    of = differ(changed)
    worst = of["differences"]
    check(of["counts"][1]["different"] == 2 and [r["place"] for r in worst] == ["document 3, head 0", "document 2, head 1"] and abs(worst[0]["relative"] - 1 / 3) < 1e-12 and worst[0]["column"] == "nmse", f"two changed numbers: {worst}")
    check(float(worst[0]["a"]) == metrics["nmse"][2, 3, 0], f"numbers are told in full: {worst[0]}")
    check(differ(changed, "--rtol", "1e-8")["counts"][1]["different"] == 1, "a relative tolerance")
    check(differ(changed, "--rtol", "0.34", code=0)["result"][0]["same"] == 1, "a larger one")
    check(differ(changed, "--atol", "1e3", code=0)["result"][0]["same"] == 1, "an absolute tolerance")
    with h5py.File(changed, "r+") as f:
        f.attrs.modify("schema_version", "2.0.0")
    good_digest(changed)
    bad("another MAJOR version", ["diff", file, changed], 1, "changed.h5 has schema version 2.0.0")


def good_digest(path):
    """Writes the stored digest of a changed results file anew, as gyre computes it."""
    seal(path)
    own = gyre("verify", "--digest", path).out.strip()
    strip_seal(path)
    with h5py.File(path, "r+") as f:
        f.attrs.modify("content_sha256", own)
    seal(path)


def test_folders():
    """Where nothing can be written."""
    path = config()
    for folder, says in (("/proc/nowhere", "/proc/nowhere"), (os.path.join(WORK, "tiny.h5"), "not a folder"), (os.path.join(WORK, "tiny.h5", "below"), "tiny.h5")):
        bad("unwritable output folder", ["run", path, "--out", folder], 1, re.escape(folder), says, "--out")
        bad("unwritable figures folder", ["figures", "for_help/results.h5", "--out", folder], 1, re.escape(folder))
    with mounted("ro") as folder:
        if folder:
            bad("read-only output folder", ["run", path, "--out", os.path.join(folder, "run")], 1, re.escape(folder), "[Rr]ead-only", "--out")
            bad("read-only output folder", ["run", path, "--out", folder], 1, re.escape(folder), "[Rr]ead-only", "--out")
            bad("read-only figures folder", ["figures", "for_help/results.h5", "--out", folder], 1, re.escape(folder), "[Rr]ead-only")


@contextlib.contextmanager
def mounted(options):
    """A small file system of its own, or None where this process may not mount."""
    folder = os.path.join(WORK, "mount")
    os.makedirs(folder, exist_ok=True)
    there = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "gyre-test", folder], capture_output=True).returncode == 0 if shutil.which("mount") else False
    if not there:
        print("command: this user may not mount: the checks on a small or read-only file system are left to RLIMIT_FSIZE, /proc and files as folders")
    try:
        yield folder if there else None
    finally:
        if there:
            subprocess.run(["umount", folder], check=True)


def whole_cells(folder):
    """Every cell file ends with the seal of its bytes."""
    for name in cells(folder):
        with open(os.path.join(folder, "cells", name), "rb") as f:
            content = f.read()
        if content[-72:] != b"GYRESEAL" + hashlib.sha256(content[:-72]).hexdigest().encode():
            return False
    return True


def test_full():
    """A full disk: one error, whole files only, and the same command goes on once there is room."""
    path = config("many.yaml", seeds="seeds: 12")
    reference = os.path.join(WORK, "many")
    good("run", ["run", path, "--out", reference])
    wanted = digest(os.path.join(reference, "results.h5"))

    def limited(size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    cell = max(os.path.getsize(os.path.join(reference, "cells", n)) for n in cells(reference))
    for what, size, made in (("configuration", 64, 0), ("cells", cell - 100, 0), ("results", cell + 100, 13)):
        folder = os.path.join(WORK, "limit_" + what)
        a = gyre("run", path, "--out", folder, preexec_fn=limited(size))
        check(a.code == 1 and len(a.errors) == 1 and folder in a.err and a.out == "" and "too large" in a.err, f"no room for {what}: exit {a.code}, {a.err} {a.out}")
        check(len(cells(folder)) == made and not unfinished(folder) and not os.path.exists(os.path.join(folder, "results.h5")) and whole_cells(folder), f"no room for {what}: left {listing(folder)}")
        good(f"room for {what} again", ["run", path, "--out", folder])
        check(digest(os.path.join(folder, "results.h5")) == wanted, f"after no room for {what} the results are the same")
    before = listing(reference)
    a = gyre("merge", reference, preexec_fn=limited(cell))
    check(a.code == 1 and len(a.errors) == 1 and listing(reference) == before, f"merge without room leaves the old results: {a.code} {a.err}")
    a = gyre("figures", "many/results.h5", "--out", os.path.join(WORK, "small_figures"), preexec_fn=limited(2000))
    check(a.code == 1 and len(a.errors) == 1 and not unfinished(os.path.join(WORK, "small_figures")), f"figures without room: {a.code} {a.err}")
    with mounted(f"size={max(6 * (cell // 4096 + 1), 16) * 4096}") as folder:
        if folder:
            run = os.path.join(folder, "run")
            a = gyre("run", path, "--out", run, "--jobs", "2")
            check(a.code == 1 and len(a.errors) == 1 and "No space left" in a.err and a.out == "", f"a full disk: exit {a.code}, {a.err}")
            check(0 < len(cells(run)) < 13 and not unfinished(run) and whole_cells(run), f"a full disk: left {listing(run)}")
            subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
            a = good("room again", ["run", path, "--out", run])
            check(re.search(r"[1-9]\d* cells found", a.err) and digest(os.path.join(run, "results.h5")) == wanted, f"room again: {a.err}")


def test_streams():
    """stdout or stderr full, closed, or read by nobody."""
    # a report longer than the buffer of stdout
    path = config("streams.yaml", grid="grid: {quantizer.bits: [2, 3, 4, 5, 6, 7, 8]}", metrics="metrics: [nmse, nmse_centred, logit_error, softmax_kl, flip]")
    run = os.path.join(WORK, "streams")
    a = good("run", ["run", path, "--out", run])
    check(len(a.out) > 4096, "the report is longer than the buffer of stdout")
    for args in (["list"], ["list", "--json"], ["describe", "sym"], ["plan", path], ["validate", path], ["report", run + "/results.h5"], ["verify", run + "/results.h5"], ["run", path, "--out", run], ["--help"], ["--version"]):
        with open("/dev/full", "w") as full:
            a = gyre(*args, stdout=full)
        check(a.code == 1 and len(a.errors) == 1 and "standard output" in a.err and "full" in a.err, f"stdout is full: gyre {args}: {a.code} {a.err}")
    for closed in ((1,), (2,), (0, 1, 2)):
        folder = os.path.join(WORK, "closed%d" % sum(closed))

        def close(fds=closed):
            for fd in fds:
                os.close(fd)
        code = subprocess.run([GYRE, "run", path, "--out", folder], cwd=WORK, env=environment(), timeout=WAIT, preexec_fn=close, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL).returncode
        check(code == (1 if 1 in closed else 0), f"descriptors {closed} closed: exit {code}")
        check(os.path.getsize(os.path.join(folder, ".lock")) == 0 and not unfinished(folder) and whole_cells(folder), f"descriptors {closed} closed: words went into files of the run")
        check(digest(os.path.join(folder, "results.h5")) == digest(os.path.join(run, "results.h5")), f"descriptors {closed} closed: the results are whole")
    p = subprocess.Popen([GYRE, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=WORK, env=environment())
    p.stdout.close()
    err = p.stderr.read().decode()
    check(p.wait(WAIT) in (0, 1, -signal.SIGPIPE) and "Sanitizer" not in err, f"nobody reads stdout: {p.returncode} {err}")


def started(path, folder, *options):
    """A run in the background, back when its first cell is there."""
    p = subprocess.Popen([GYRE, "run", path, "--out", folder, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=WORK, env=environment())
    end = time.monotonic() + WAIT
    while p.poll() is None and not cells(folder) and time.monotonic() < end:
        time.sleep(0.002)
    return p


def halt(p):
    """Stops a run in its tracks: back when all its threads stand still."""
    p.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(p.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        p.returncode = os.waitstatus_to_exitcode(status)


def ended(p, args):
    out, err = p.communicate(timeout=WAIT)
    answer = Answer(p.returncode, out.decode(), err.decode())
    sound(answer, args)
    return answer


def test_together():
    """Two runs on one folder; signals."""
    path = config("long.yaml", seeds="seeds: 120")
    first = os.path.join(WORK, "first")
    p = started(path, first, "--jobs", "2")
    halt(p)
    try:
        running = p.poll() is None and not os.path.exists(os.path.join(first, "results.h5"))
        check(running, "the first run is at work when the second comes")
        bad("two runs on one folder", ["run", path, "--out", first], 1, "another gyre run works in", re.escape(first), "--out")
        bad("a run of another configuration on the folder", ["run", config("other.yaml", seeds="seeds: 3"), "--out", first], 1, "another gyre run works in")
        bad("a shard beside a whole run", ["run", path, "--out", first, "--shard", "0/2"], 1, "another gyre run works in")
    finally:
        p.send_signal(signal.SIGCONT)
    a = ended(p, ["first"])
    check(a.code == 0 and "121 cells OK" in a.out and not a.errors, f"the first of two runs is unharmed: {a.code} {a.err}")
    wanted = digest(os.path.join(first, "results.h5"))
    for number in (signal.SIGINT, signal.SIGTERM):
        folder = os.path.join(WORK, f"signal{number:d}")
        p = started(path, folder, "--jobs", "2")
        p.send_signal(number)
        a = ended(p, [f"signal {number}"])
        check(a.code == 75 and len(a.errors) == 1 and re.search(r"stopped with \d+ of 121 cells to go; the same command goes on", a.err) and a.out == "", f"signal {number}: exit {a.code}, {a.err}")
        check(0 < len(cells(folder)) < 121 and not unfinished(folder) and not os.path.exists(os.path.join(folder, "results.h5")), f"signal {number}: {len(cells(folder))} whole cells are there")
        there = len(cells(folder))
        a = good(f"going on after signal {number}", ["run", path, "--out", folder])
        check(f"{121 - there} cells computed, {there} found" in a.err and digest(os.path.join(folder, "results.h5")) == wanted, f"going on after signal {number}: {a.err}")
    folder = os.path.join(WORK, "shards")
    p = started(path, folder, "--shard", "0/2", "--jobs", "1")
    halt(p)
    try:
        bad("one shard twice", ["run", path, "--out", folder, "--shard", "0/2"], 1, "another gyre run works in")
        before = {n: i for n, i in listing(folder).items() if n.endswith((".h5", ".yaml", ".txt"))}
        a = gyre("run", "other.yaml", "--out", folder, "--shard", "1/2")
        check(a.code == 1 and len(a.errors) == 1 and "another configuration" in a.err and "--out" in a.err and a.out == "", f"shards of two configurations: {a.code} {a.err}")
        check(before == {n: i for n, i in listing(folder).items() if n.endswith((".h5", ".yaml", ".txt"))}, "a refused shard changes nothing")
        good("the sibling shard", ["run", path, "--out", folder, "--shard", "1/2", "--jobs", "1"])
        a = gyre("merge", folder)
        check(a.code == 1 and "cells are missing" in a.err and "--partial" in a.err, f"merge before the shards are done: {a.code} {a.err}")
    finally:
        p.send_signal(signal.SIGCONT)
    check(ended(p, ["shard 0"]).code == 0, "the first shard is unharmed")
    good("merge of both shards", ["merge", folder], "121 cells OK")
    check(digest(os.path.join(folder, "results.h5")) == wanted, "two shards give the same results")


def test_gnuplot():
    """No gnuplot, no fonts: the package to install is named, no folder is left."""
    tools = os.path.join(WORK, "tools")
    os.makedirs(tools)
    bad("no gnuplot", ["figures", "for_help/results.h5", "--out", "never"], 1, "gnuplot", "install", "gnuplot-nox", env=environment(PATH=tools))
    os.symlink(shutil.which("gnuplot"), os.path.join(tools, "gnuplot"))
    bad("no fontconfig", ["figures", "for_help/results.h5", "--out", "never"], 1, "fc-match", "install", "fontconfig", env=environment(PATH=tools))
    with open(os.path.join(tools, "fc-match"), "w") as f:
        f.write("#!/bin/sh\nprintf 'Comic Sans'\n")
    os.chmod(os.path.join(tools, "fc-match"), 0o755)
    bad("no font", ["figures", "for_help/results.h5", "--out", "never"], 1, "DejaVu", "Comic Sans", "install", "fonts-dejavu", env=environment(PATH=tools))
    os.remove(os.path.join(tools, "gnuplot"))
    with open(os.path.join(tools, "gnuplot"), "w") as f:
        f.write("#!/bin/sh\necho 'no such terminal' >&2\nexit 1\n")
    os.chmod(os.path.join(tools, "gnuplot"), 0o755)
    bad("a gnuplot that fails", ["figures", "for_help/results.h5", "--out", "never"], 1, "gnuplot", "gnuplot-nox", env=environment(PATH=tools))
    config("nognuplot.yaml")
    good("a run needs no gnuplot", ["run", "nognuplot.yaml", "--out", "nognuplot"], "3 cells OK", env=environment(PATH=tools))


# ---- gyre capture ----

def gguf(path, architecture="llama", tensors=True, embd=32):
    """A llama of one layer, 2 heads of embd / 2, a vocabulary of bytes, random weights."""
    random = np.random.default_rng(1)
    ff, vocabulary = 64, 259
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()
    pairs = []
    def pair(key, kind, payload):
        pairs.append(text(key) + struct.pack("<I", kind) + payload)
    pair("general.architecture", 8, text(architecture))
    pair("general.name", 8, text("tiny"))
    for key, value in {"context_length": 128, "embedding_length": embd, "feed_forward_length": ff, "block_count": 1, "attention.head_count": 2, "attention.head_count_kv": 2,
                       "rope.dimension_count": embd // 2, "vocab_size": vocabulary}.items():
        pair(f"{architecture}.{key}", 4, struct.pack("<I", value))
    pair(f"{architecture}.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    pair("tokenizer.ggml.model", 8, text("llama"))
    pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, vocabulary) + b"".join(text(t) for t in tokens))
    pair("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, vocabulary) + bytes(4 * vocabulary))
    pair("tokenizer.ggml.token_type", 9, struct.pack("<IQ", 5, vocabulary) + struct.pack(f"<{vocabulary}i", 2, 3, 3, *[6] * 256))
    for key, value in {"unknown": 0, "bos": 1, "eos": 2}.items():
        pair(f"tokenizer.ggml.{key}_token_id", 4, struct.pack("<I", value))
    pair("tokenizer.ggml.add_bos_token", 7, b"\1")
    shapes = {"token_embd.weight": (embd, vocabulary), "output_norm.weight": (embd,), "output.weight": (embd, vocabulary)}
    shapes |= {f"blk.0.{n}.weight": s for n, s in {"attn_norm": (embd,), "attn_q": (embd, embd), "attn_k": (embd, embd), "attn_v": (embd, embd), "attn_output": (embd, embd), "ffn_norm": (embd,),
                                                   "ffn_gate": (embd, ff), "ffn_up": (embd, ff), "ffn_down": (ff, embd)}.items()}
    infos, data = b"", b""
    for name, shape in shapes.items():
        infos += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        values = random.standard_normal(int(np.prod(shape))) * embd ** -0.5 if len(shape) > 1 else np.ones(shape)
        data += values.astype("<f4").tobytes()
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(pairs)) + b"".join(pairs) + infos
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % 32) + (data if tensors else b""))
    return len(head)


def test_capture():
    model, text = os.path.join(WORK, "model.gguf"), os.path.join(WORK, "long.txt")
    header = gguf(model)
    for name, words in (("long.txt", 40), ("longer.txt", 50), ("short.txt", 2)):
        with open(os.path.join(WORK, name), "w") as f:
            f.write("some words " * words)
    ask = ["--tokens", "64", "--queries", "4", "--layers", "0", "--threads", "1"]  # libllama is not built for the thread sanitizer
    a = gyre("capture", "--model", model, "--text", text, "longer.txt", "-o", "made.h5", *ask)
    if a.code == 1 and "built without libllama" in a.err:
        check(not os.path.exists(os.path.join(WORK, "made.h5")) and len(a.errors) == 1 and "scripts/setup" in a.err, f"a build without libllama says so: {a.err}")
        print("gyre capture: this build has no engine, and says so")
        return
    check(a.code == 0 and "2 documents of 64 tokens" in a.err, f"capture of a tiny model: exit {a.code}, {a.err}")
    good("verify of a fresh capture", ["verify", "made.h5"], "a sound capture file")
    good("a run on a fresh capture", ["run", config("made.yaml", source="source: {capture: made.h5}"), "--out", "made"], "3 cells OK")
    os.remove(os.path.join(WORK, "made.h5"))

    def refused(what, *says, model=model, code=1, texts=(text,), out="never.h5", more=()):
        bad(what, ["capture", "--model", model, "--text", *texts, "-o", out, *ask, *more], code, *says)
    with open(model, "rb") as f:
        whole = f.read()
    for what, content in (("empty", b""), ("text", b"not a model at all\n" * 20), ("HDF5", open(os.path.join(WORK, "tiny.h5"), "rb").read()), ("a short GGUF", whole[:4])):
        with open(os.path.join(WORK, "broken.gguf"), "wb") as f:
            f.write(content)
        refused("not a GGUF: " + what, "broken.gguf", "GGUF|libllama", model="broken.gguf")
    for size in (12, 100, header // 2, header + 1, header + 5000, len(whole) - 64):
        with open(os.path.join(WORK, "broken.gguf"), "wb") as f:
            f.write(whole[:size])
        refused(f"a GGUF cut at {size}", "broken.gguf", "libllama|GGUF", model="broken.gguf")
    gguf(os.path.join(WORK, "broken.gguf"), architecture="nonesuch")
    refused("unknown architecture", "broken.gguf", "nonesuch", model="broken.gguf")
    refused("no such model", "nowhere", "fetch-model", model="nowhere")
    refused("no such model file", "nowhere.gguf", model="./nowhere.gguf")
    refused("text shorter than asked", "short.txt", r"\d+ tokens, 64 were asked", "longer text|--tokens", texts=(text, "short.txt"))
    refused("no such text", "nowhere.txt", texts=("nowhere.txt",))
    with open(os.path.join(WORK, "latin.txt"), "wb") as f:
        f.write(b"caf\xe9 " * 100)
    refused("text that is not UTF-8", "latin.txt", "UTF-8", texts=("latin.txt",))
    refused("one text twice", "named 'long'", code=2, texts=(text, text))
    refused("a layer that the model has not", "no layer 5", code=2, more=("--layers", "5"))
    refused("tokens out of range", "--tokens", r"integer in \[2, ", code=2, more=("--tokens", "4.5"))
    refused("more tokens than the model's context", "broken|model.gguf", "128", more=("--tokens", "4096"))
    refused("an unwritable place", "/proc/nowhere", out="/proc/nowhere/a.h5")
    refused("a file for a folder", "tiny.h5", out="tiny.h5/a.h5")
    a = gyre("capture", "--model", model, "--text", text, "longer.txt", "-o", "never.h5", *ask, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    check(a.code == 1 and len(a.errors) == 1 and not os.path.exists(os.path.join(WORK, "never.h5")) and not unfinished(WORK), f"no room for a capture: {a.code} {a.err}")


def main():
    capture("tiny.h5")
    wanted = sys.argv[1:]
    for name, test in list(globals().items()):
        if name.startswith("test_") and (not wanted or name[5:] in wanted or name == "test_help"):
            begin = time.monotonic()
            test()
            if "GYRE_TIMES" in os.environ:
                print(f"{name[5:]}: {time.monotonic() - begin:.1f} s")
    good("the library of tests leaves its capture whole", ["verify", "tiny.h5"], "sound")
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
