"""Perplexity through the cache against llama.cpp's own program: tests/golden/perplexity.json holds what llama-perplexity 0.5.0 printed of shipped texts.

    tests/perplexity.py tiny         the model in tests/data
    tests/perplexity.py MODEL ...    models that scripts/fetch-model knows, fetched when they are not there: smollm2-135m (make check), gemma3-270m, qwen2.5-coder-0.5b (make check-models)

The exact arm has to print the same digits: perplexity after every chunk, the last estimate, its error. llama.cpp's own 4-bit cache (q4_0, keys and values, flash attention), with its rotation off
and on, has to come out of a q4_0 codec in the model's own coordinate order with queries rounded as its kernels round them: within NATIVE of ln PPL. And what the file says of a run must follow
from its own columns. Where scripts/setup --peers has built the program, it is run again on the tiny model, so that the stored numbers are known to be its own.

Environment: GYRE (the program), GYRE_SOURCE. Exit codes: 0 passed, 1 failed, 77 a model was not to be had. What it is not: a test of codecs (tests/oracle) or of bad input (tests/command.py).
"""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np

GYRE = os.path.abspath(os.environ["GYRE"])
SOURCE = os.path.abspath(os.environ["GYRE_SOURCE"])
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gyre")
WORK = tempfile.mkdtemp(prefix="gyre-perplexity-")
# Flash attention sums in another order, and a value near the middle of two codes then takes the other one. On SmolLM2 the logits of the first tokens are equal bit for bit (tests/test_native_cache.c);
# once a code has flipped, thirty layers carry it on until the two caches differ as two draws of the same rounding noise. Two such draws of 510 tokens lie about .4 / sqrt(510) = .018 nat apart where
# the cache has 4 bits (standard deviation; KL .08 and less a token), a sixth of that at 8 bits. What the caches cost is .157 (rotation off) and .068 nat (on).
NATIVE = {"smollm2-q4_0": 0.05, "smollm2-q4_0-rotated": 0.05, "smollm2-q8_0": 0.01}
# name of the case: codec of keys and of values
NATIVE_ARMS = {
    "smollm2-q4_0": "{chain: [], quantizer: q4_0, order: native}",
    "smollm2-q4_0-rotated": "{chain: [hadamard], quantizer: q4_0, order: native}",  # d = 64: one block of 64 for keys and for values
    "smollm2-q8_0": "{chain: [], quantizer: q8_0, order: native}",
}
passed, failures = 0, []
with open(os.path.join(SOURCE, "tests", "golden", "perplexity.json"), encoding="utf-8") as stored:
    GOLDEN = json.load(stored)


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)
        print("perplexity:", what, flush=True)
    return ok


def have(name):
    """The model file, fetched when it is not there, or None."""
    if os.path.isfile(os.path.join(SOURCE, name)):
        return os.path.join(SOURCE, name)
    path = os.path.join(CACHE, "models", name + ".gguf")
    if not os.path.isfile(path):
        p = subprocess.run([os.path.join(SOURCE, "scripts", "fetch-model"), name], capture_output=True, text=True)
        if p.returncode != 0:
            print(f"perplexity: {name} cannot be had, so nothing is known about it: {p.stderr.strip()}")
            return None
    return path if os.path.isfile(path) else None


def run(name, case, model, arms, more=""):
    """A run of these arms on the model, the text and the chunks of the case: the folder's results file."""
    text = os.path.join(WORK, name + ".txt")
    with open(text, "wb") as f:
        for part in case["texts"]:
            with open(os.path.join(SOURCE, part), "rb") as g:
                f.write(g.read())
    config, out = os.path.join(WORK, name + ".yaml"), os.path.join(WORK, name)
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"experiment: {name}\nsource: {{model: {model}, text: {text}, context: {case['context']}, chunks: {len(case['chunks'])}{more}}}\narms:\n"
                + "".join(f"  {arm}: {codecs}\n" for arm, codecs in arms.items()) + "metrics: [nll, nll_change, token_kl]\n")
    p = subprocess.run([GYRE, "run", config, "--out", out, "--quiet"], cwd=SOURCE, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return os.path.join(out, "results.h5") if check(p.returncode == 0, f"{name}: gyre run: exit {p.returncode}: {p.stderr[-1500:]}") else None


def chunks(f, metric, arm):
    """A metric of an arm, chunk after chunk."""
    rows = [i for i, name in enumerate(f["cells/arm"].asstr()[:]) if name == arm]
    rows.sort(key=lambda i: f["cells/layer"][i])
    values = np.concatenate([f["metrics"][metric][i].ravel() for i in rows])
    return values[np.isfinite(values)]


def estimate(f, arm):
    """(ppl, ppl_error) of the table."""
    place = list(f["perplexity/arm"].asstr()[:]).index(arm)
    return f["perplexity/ppl"][place], f["perplexity/ppl_error"][place]


def follows(name, f, arms):
    """What the table says follows from the chunks; the exact arm changes nothing."""
    exact = chunks(f, "nll", "exact")
    for arm in arms:
        nll, change, kl = (chunks(f, metric, arm) for metric in ("nll", "nll_change", "token_kl"))
        check(abs(estimate(f, arm)[0] / math.exp(nll.mean()) - 1) < 1e-12, f"{name}: {arm}: ppl is not exp of the mean nll of its chunks: {estimate(f, arm)[0]} and {math.exp(nll.mean())}")
        check(np.abs(nll - exact - change).max() < 1e-12, f"{name}: {arm}: nll_change is not nll minus that of the exact arm")
        check((kl >= 0).all() and (arm != "exact" or (not kl.any() and not change.any())), f"{name}: {arm}: token_kl {kl}, nll_change {change}")


def same_digits(name, case, f):
    """The exact arm prints what llama-perplexity printed."""
    nll = chunks(f, "nll", "exact")
    running = [f"{math.exp(nll[:i + 1].mean()):.4f}" for i in range(len(nll))]
    check(running == [f"{x:.4f}" for x in case["chunks"]], f"{name}: after each chunk {running}, llama-perplexity {case['chunks']}")
    ppl, error = estimate(f, "exact")
    check((f"{ppl:.4f}", f"{error:.5f}") == (f"{case['ppl']:.4f}", f"{case['error']:.5f}"), f"{name}: {ppl:.4f} +/- {error:.5f}, llama-perplexity {case['ppl']:.4f} +/- {case['error']:.5f}")
    print(f"{name}: PPL {ppl:.4f} +/- {error:.5f} over {len(nll)} chunks", flush=True)


def exact_cases(model_name, more=""):
    """Every exact case of a model. False where there is no model."""
    model = have(model_name)
    if not model:
        return False
    coded = {f"sym{bits}": f"{{both: {{chain: [srht], quantizer: {{sym: {{bits: {bits}}}}}}}}}" for bits in (2, 4, 8)}
    for name, case in GOLDEN.items():
        if case["model"] != model_name or case["cache_type"] != "f32":
            continue
        arms = {"exact": "{}", **coded}
        results = run(name, case, model, arms, more)
        if results:
            with h5py.File(results) as f:
                same_digits(name, case, f)
                follows(name, f, arms)
                loss = [chunks(f, "token_kl", arm).mean() for arm in coded]
                check(loss[0] > loss[1] > loss[2] > 0, f"{name}: more bits lose less: 2, 4, 8 bits lose {loss} nat")
    return True


def native(model_name):
    """llama.cpp's own quantized caches of a model, where there are cases of it."""
    cases = {name: case for name, case in GOLDEN.items() if case["model"] == model_name and name in NATIVE_ARMS}
    if not cases:
        return True
    model = have(model_name)
    if not model:
        return False
    first = next(iter(cases.values()))
    check(all((c["texts"], c["context"], len(c["chunks"])) == (first["texts"], first["context"], len(first["chunks"])) for c in cases.values()), "the native cases are of one text")
    arms = {name.replace("-", "_"): "{both: " + NATIVE_ARMS[name] + "}" for name in cases}
    results = run("native", first, model, {"exact": "{}", **arms}, ", queries: q8_0")
    if results:
        with h5py.File(results) as f:
            for name, case in cases.items():
                arm = name.replace("-", "_")
                nll = chunks(f, "nll", arm)
                off = [math.log(case["chunks"][i]) - nll[:i + 1].mean() for i in range(len(nll))]
                check(abs(off[-1]) < NATIVE[name], f"{name}: ln PPL differs from llama.cpp's own cache by {off} after each chunk, {NATIVE[name]} is allowed after the last")
                print(f"{name}: PPL {estimate(f, arm)[0]:.4f}, llama.cpp's own cache {case['ppl']:.4f}", flush=True)
    return True


def peer_again():
    """The program itself, where it is installed."""
    for name, case in GOLDEN.items():
        if not case["model"].startswith("tests/"):
            continue
        p = subprocess.run([os.path.join(SOURCE, "scripts", "peers-perplexity"), case["model"], *case["texts"], "--context", str(case["context"]), "--chunks", str(len(case["chunks"]))],
                           cwd=SOURCE, capture_output=True, text=True)
        if p.returncode == 3:
            print("perplexity: llama-perplexity is not installed (scripts/setup --peers): its stored numbers are taken as they are")
            return
        check(p.returncode == 0 and json.loads(p.stdout) == case, f"{name}: llama-perplexity prints something else than tests/golden/perplexity.json: {p.stdout} {p.stderr}")


def main():
    if sys.argv[1:] == ["tiny"]:
        peer_again()
        done = [exact_cases("tests/data/stories260K.gguf", more=", block: 3")]  # a last block that is not full
    elif sys.argv[1:] and all(any(name == case["model"] for case in GOLDEN.values()) for name in sys.argv[1:]):
        done = [cases(name) for name in sys.argv[1:] for cases in (exact_cases, native)]
    else:
        sys.exit(__doc__)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0 if all(done) else 77


if __name__ == "__main__":
    try:
        code = main()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(code)
