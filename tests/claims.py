"""The claims of configs/claims: every file validates and plans on the shipped captures, two run in their smallest size, and what the report says of them is what the files foretell by arithmetic.

    claims.py [files] [runs]        all without a word; runs: the smallest runs and the published page

Also: the page docs/findings.md is the one that data/published makes, byte for byte, where results are published.

Environment: GYRE (the program), GYRE_SOURCE. What it is not: a run of the claims (scripts/run-claims), nor a test of the rules (tests/test_claims.c).
"""
import csv
import glob
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile

GYRE = os.path.abspath(os.environ["GYRE"])
SOURCE = os.path.abspath(os.environ["GYRE_SOURCE"])
WORK = tempfile.mkdtemp(prefix="gyre-claims-")
FOLDER = os.path.join(SOURCE, "configs", "claims")
passed, failures = 0, []


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)
        print("claims:", what, flush=True)
    return ok


def gyre(*args, code=0):
    p = subprocess.run([GYRE, *args], cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=300)
    check(p.returncode == code, f"gyre {' '.join(args)}: exit code {p.returncode}, not {code}: {p.stderr.decode()[-400:]}")
    return p.stdout.decode(), p.stderr.decode()


def sizes_of(text):
    tail = text[text.index("\nsizes:"):]
    return {m.group(1): m.end() for m in re.finditer(r"\n  ([a-z]+):", tail)}, tail


def size_text(tail, at):
    return re.split(r"\n  [a-z]+:", tail[at:])[0]


def every_file():
    names = sorted(os.path.basename(f) for f in glob.glob(os.path.join(FOLDER, "*.yaml")))
    check(names == [f"c{i:02}.yaml" for i in range(1, 19)], f"eighteen claims, not {names}")
    for name in names:
        path = f"configs/claims/{name}"
        text = open(os.path.join(SOURCE, path), encoding="utf-8").read()
        check(f"\nclaim:\n  id: {name[:3]}\n" in text and f"\nexperiment: {name[:3]}\n" in text, f"{name}: its name, the experiment and the claim's id agree")
        for key in ("says", "source", "rule"):
            check(re.search(rf'\n  {key}: "[^"]+"\n', text), f"{name}: the claim has {key}")
        check("# What would change our mind" in text and "Against it would speak: " in text, f"{name}: says what would change our mind")
        # what is predicted of an arm is published somewhere, or declared as ours; what cannot be decided has a reason
        check("predicts:" in text or "  exact:" in text or "  open:" in text, f"{name}: foretells something, or says why it cannot")
        sizes, tail = sizes_of(text)
        # a claim about perplexity is not decided by rows: open until a size that runs in a model takes that away
        body = re.sub(r"\n  open: .*", "", text[text.index("\nclaim:"):text.index("\nsizes:")])
        if "perplexity" in body and name != "c08.yaml":
            check(re.search(r'\n  open: \["[^\n]*perplexity', text), f"{name}: rows alone do not decide a perplexity")
        for size, at in sizes.items():
            part = size_text(tail, at)
            check("source={model" not in part or "claim.open=" in part or "perplexity" not in body or name == "c08.yaml", f"{name}: size {size} runs in a model and leaves perplexity open")
        check("smoke" in sizes, f"{name}: has a size smoke")
        out, _ = gyre("plan", path, "--size", "smoke")
        check("to compute:" in out, f"{name}: plans its smallest size")
        out, _ = gyre("run", path, "--dry-run")
        check("to compute:" in out and ("smollm2-135m" in out or "qwen2.5" in out), f"{name}: plans on the shipped captures")
        for size, at in sizes.items():
            part = size_text(tail, at)
            if "fitted:" not in part:  # those want another run's results
                gyre("validate", path, "--size", size)


def report(folder, *more):
    out, _ = gyre("report", "--claims", folder, "--format", "csv", *more)
    return list(csv.DictReader(io.StringIO(out)))


def smallest_runs():
    folder = os.path.join(WORK, "results")
    os.mkdir(folder)
    for claim in ("c12", "c13", "c16"):
        gyre("run", f"configs/claims/{claim}.yaml", "--size", "smoke", "--out", os.path.join(WORK, claim), "--jobs", "1", "--quiet")
        shutil.copy(os.path.join(WORK, claim, "results.h5"), os.path.join(folder, claim + ".h5"))
    words = {row["claim"]: row for row in report(folder, "--only", "claims")}
    check(set(words) == {"C12", "C13", "C16"}, f"three claims, not {sorted(words)}")
    # 16 bits over 4 + 32/64 and over 4 + 32/32: arithmetic, whatever the rows are
    row = words["C12"]  # of speed nothing is measured: bytes alone do not make it PARTLY
    check((row["by_its_rule"], row["as_predicted"], row["contradict"], row["undecided"], row["measured_on"]) == ("NOT DECIDABLE HERE", "0", "0", "0", "rows"), f"C12: {row}")
    for claim, n in (("C16", "5"),):
        row = words[claim]
        check((row["by_its_rule"], row["as_predicted"], row["contradict"], row["undecided"]) == ("PARTLY", n, "0", "0"), f"{claim}: {row}")
        check(row["not_decidable_here"] != "", f"{claim}: says what is not decidable here")
    parts = report(folder, "--only", "claim_parts")
    exact = [p for p in parts if p["claim"] == "C16"]
    check({(p["arm"], p["metric"], float(p["measured"])) for p in exact} >= {("srft", "payload_bits", 4.5), ("srft_g32", "payload_bits", 5.0), ("srft_g32", "compression", 3.2)}, f"bits: {exact}")
    check(any(abs(float(p["measured"]) - 32 / 9) < 1e-12 and p["published"] == "3.56" for p in exact), "16 over 4.5 bits is 3.56")
    judged = [p for p in parts if p["claim"] == "C13"]
    check(len(judged) == 9 and all(p["seeds"] != "" and p["p"] != "" and p["margin"] != "" and p["measured_low"] != "" for p in judged), "no word without n, interval, corrected p and margin")
    counts = {s: sum(p["so"] == s for p in judged) for s in ("as predicted", "contradicts", "undecided", "control")}
    row = words["C13"]
    check([row["as_predicted"], row["contradict"], row["undecided"], row["controls"]] == [str(n) for n in counts.values()], f"counts of C13: {row}, {counts}")
    check(all((p["so"] == "control") == (p["predicted"] == "") for p in judged), "controls predict nothing")

    runs = [os.path.join(WORK, claim, "results.h5") for claim in ("c12", "c16")]
    out, _ = gyre("report", "--claims", *runs, "--format", "csv", "--only", "claim_parts")
    check({(p["claim"], p["file"]) for p in csv.DictReader(io.StringIO(out))} == {("C12", "c12/results.h5"), ("C16", "c16/results.h5")}, f"run folders are told apart by their names: {out[:300]}")

    page, _ = gyre("report", "--findings", folder)
    again, _ = gyre("report", "--findings", *sorted(glob.glob(folder + "/*.h5"), reverse=True))
    check(page == again, "the page is a function of the files, not of their order")
    for line in page.split("\n"):
        if " is better than " in line or " is worse than " in line or " is the same within " in line:
            check(re.search(r"\[[-.e0-9]+, [-.e0-9]+\].*p [<.e0-9-]+.*margin .*seeds?, \d+ \w+", line), f"a sentence without n, interval, p or margin: {line}")
    for answer, word in ((gyre("report", "--claims", folder, folder + "/c12.h5", code=1), "one name"), (gyre("report", "--claims", WORK, code=1), "holds no results file"),
                         (gyre("report", "--claims", folder, "--only", "verdicts", code=2), "claim_parts"), (gyre("report", folder + "/c12.h5", folder + "/c13.h5", code=2), "too many")):
        check(answer[0] == "" and word in answer[1], f"'{word}' is not said: {answer}")


def published_page():
    files = glob.glob(os.path.join(SOURCE, "data", "published", "*.h5"))
    page = os.path.join(SOURCE, "docs", "findings.md")
    if not files:
        check(not os.path.exists(page), "docs/findings.md is there and data/published has no results: it cannot be made again")
        return
    check(sum(os.path.getsize(f) for f in files) <= 20 * 1024 * 1024, "data/published is within 20 MB")
    out, _ = gyre("report", "--findings", "data/published")
    check(os.path.exists(page) and out == open(page, encoding="utf-8").read(), "docs/findings.md is what data/published makes: scripts/findings makes it anew")
    for image in re.findall(r"\]\((images/[^)]+)\)", out):
        check(os.path.exists(os.path.join(SOURCE, "docs", image)), f"docs/{image} is there: scripts/findings draws it")


groups = {"files": [every_file], "runs": [smallest_runs, published_page]}
try:
    for group in sys.argv[1:] or groups:
        for test in groups[group]:
            test()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
print(f"claims: {passed} checks passed, {len(failures)} failed")
sys.exit(1 if failures else 0)
