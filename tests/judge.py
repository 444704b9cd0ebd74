#!/usr/bin/env python3
"""gyre judge against published worked examples and reference values (S1..S6, as in test_stats_reference.c: SciPy, mpmath and R), and against tables that cannot be judged.

Everything goes through the program: a CSV is written, the JSON is read back. Environment: GYRE.
"""
import json, math, os, random, subprocess, sys, tempfile
from fractions import Fraction

GYRE = os.environ.get("GYRE", "build/gyre")
WORK = tempfile.mkdtemp(prefix="gyre-judge-")
failures = []
checks = 0


def check(ok, what):
    global checks
    checks += 1
    if not ok:
        failures.append(what)
        print("FAILED:", what)


def close(value, expected, what, relative=1e-12):
    check(value is not None and abs(value - expected) <= relative * abs(expected), f"{what}: {value!r}, expected {expected!r}")


def table(name, header, rows, raw=None):
    path = os.path.join(WORK, name + ".csv")
    with open(path, "wb") as f:
        f.write(raw if raw is not None else "\n".join([",".join(header)] + [",".join(x if isinstance(x, str) else repr(x) for x in r) for r in rows] + [""]).encode())
    return path


def run(path, *args):
    return subprocess.run([GYRE, "judge", path, *args], capture_output=True, text=True, timeout=120)


def judge(path, *args):
    a = run(path, *args, "--json")
    if a.returncode != 0:
        check(False, f"{' '.join(args)}: exit {a.returncode}, {a.stderr}")
        raise SystemExit(1)
    return json.loads(a.stdout)


def refused(path, args, code, *words):
    a = run(path, *args)
    check(a.returncode == code and a.stdout == "" and all(w in a.stderr for w in words), f"{args} is refused with {code} and {words}: {a.returncode}, {a.stdout!r}, {a.stderr!r}")


# ---- S1..S6 ----

S1 = [412, 398, 455, 430, 501, 377, 489, 463], [405, 402, 440, 431, 478, 371, 470, 452]
S2 = [20, 31, 17, 25, 40, 22, 19, 28, 33, 26, 30, 24], [18, 29, 17, 27, 35, 20, 21, 25, 33, 22, 27, 25]
S4 = [[40, 44, 39, 52], [37, 41, 38, 47], [55, 55, 50, 61], [33, 36, 34, 40], [61, 66, 59, 70], [48, 47, 45, 58]]


def lcg(x, n):
    out = []
    for _ in range(n):
        x = (1103515245 * x + 12345) % 2**31
        out.append(x >> 16)
    return out


def s3():
    l = lcg(12345, 50)
    a = [x / 4096 for x in l[:25]]
    return a, [a[i] - (l[25 + i] - 15000) / 65536 for i in range(25)]


def s6():
    z, out = 0, []
    for l in lcg(2024, 64):
        z = 3 * z // 4 + l - 16384
        out.append(z / 65536)
    return out


REFERENCE = {  # margin, mean, t, p, interval, TOST p, smallest margin, dz, g, d_av, W+, W-, rank-biserial, Wilcoxon, Pratt, sign flips, Hodges-Lehmann
    "S1": (0.25, 0.1484375, 2.8643577734887544, 0.024186357872283362, 0.025897321676434132, 0.2709776783235659, 0.045421642181798838, 0.24661884951435112, 1.0127034026891495,
           0.89948610687859165, 0.23510473948881452, 33, 3, 0.83333333333333337, 0.0390625, 0.0390625, 0.03125, 0.14453125),
    "S2": (0.0625, 0.020833333333333332, 2, 0.070803955068034524, -0.0020935954176212503, 0.043760262084287918, 0.0010430967834874744, 0.039540466861500465, 0.57735026918962562,
           0.53691254662504939, 0.21744707224893284, 46, 9, 0.67272727272727273, 0.072265625, 0.078125, 0.095703125, 0.0234375),
    "S3": (0.125, 0.028220214843750001, 1.038686519557886, 0.30930250024967337, -0.027854124938420988, 0.084294554625920989, 0.00078974687212650017, 0.074703401982750134, 0.20773730391157719,
           0.20116558279813321, 0.01460266102405011, 198, 127, 0.21846153846153846, 0.35251963138580322, 0.35251963138580322, 0.3059191107749939, 0.031829833984375),
}


def test_pairs():
    for name, (a, b) in (("S1", [[x / 64 for x in s] for s in S1]), ("S2", [[x / 64 for x in s] for s in S2]), ("S3", s3())):
        margin, mean, t, p, lo, hi, tost, smallest, dz, g, d_av, w_plus, w_minus, biserial, wilcoxon, pratt, flips, hodges = REFERENCE[name]
        path = table(name, ["arm", "against"], zip(a, b))
        j = judge(path, "--margin", f"abs:{margin}")
        c, e, r = j["comparison"], j["effect"], j["signed_ranks"]
        for key, value, expected in (("mean", c["difference"]["estimate"], mean), ("lo", c["difference"]["low"], lo), ("hi", c["difference"]["high"], hi), ("t", c["t"], t), ("p", c["p"], p),
                                     ("TOST", c["p_TOST"], tost), ("smallest margin", c["smallest_margin"], smallest), ("dz", e["dz"]["estimate"], dz), ("g", e["Hedges_g"]["estimate"], g),
                                     ("d_av", e["d_av"], d_av), ("W+", r["W_plus"], w_plus), ("W-", r["W_minus"], w_minus), ("rank-biserial", e["rank_biserial"], biserial),
                                     ("Wilcoxon", r["p_Wilcoxon"], wilcoxon), ("Pratt", r["p_Pratt"], pratt), ("Hodges-Lehmann", e["Hodges-Lehmann"]["estimate"], hodges)):
            close(value, expected, f"{name} {key}")
        check(c["verdict"] == "EQUIVALENT" and c["test"] == "paired_t" and j["sample"]["documents"] == len(a), f"{name}: {c['verdict']}")
        close(judge(path, "--test", "sign_flip")["comparison"]["p"], flips, f"{name} sign flips")
        close(judge(path, "--test", "wilcoxon")["comparison"]["p"], wilcoxon, f"{name} Wilcoxon as the test")
        d = judge(table(name + "d", ["difference"], [[x - y] for x, y in zip(a, b)]), "--margin", f"abs:{margin}")
        check(d["comparison"] == c and d["effect"]["d_av"] is None, f"{name}: the differences alone say the same")
    check(judge(os.path.join(WORK, "S1.csv"))["comparison"]["verdict"] == "WORSE", "S1 without a margin")
    check(judge(os.path.join(WORK, "S1.csv"), "--margin", "abs:0.25", "--goal", "not_worse")["comparison"]["verdict"] == "NOT_WORSE", "S1, not worse by 0.25")
    swapped = judge(os.path.join(WORK, "S1.csv"), "--column", "arm=against", "--column", "against=arm")["comparison"]
    check(swapped["verdict"] == "BETTER" and swapped["difference"]["estimate"] == -0.1484375, "columns by role")


def test_ratio():
    """A ratio compares logarithms: arms that differ by the same factor everywhere but for a known spread."""
    noise = [0.01, -0.02, 0.03, -0.01, 0.02, -0.03, 0.015, -0.015]
    rows = [(1.1 * (1 + k) * math.exp(x), float(1 + k)) for k, x in enumerate(noise)]
    c = judge(table("ratio", ["arm", "against"], rows), "--margin", "ratio:1.2")["comparison"]
    close(c["difference_as_a_ratio"]["estimate"], 1.1, "ratio", 1e-14 * 100)
    close(c["margin_as_a_ratio"]["high"], 1.2, "margin as a ratio")
    refused(table("ratio0", ["arm", "against"], [(1.0, 2.0), (0.0, 1.0)]), ["--margin", "ratio:1.2"], 1, "line 3, column 1 (arm)", "no logarithm", "abs:")
    refused(table("ratiod", ["difference"], [[1.0], [2.0]]), ["--margin", "ratio:1.2"], 1, "differences have no ratio")


def test_matrix():
    """Layers of S4 as seeds and methods as documents: the sums of squares of the published analysis of variance."""
    rows = [(str(s), "abcd"[j], S4[s][j] / 64) for s in range(6) for j in range(4)]
    seed, document, residual = 0.51888020833333337 / 5, 0.094482421875 / 3, 0.010498046875 / 15
    v = seed + document - residual
    path = table("matrix", ["seed", "document", "difference"], rows)
    j = judge(path)
    close(j["comparison"]["standard_error"], math.sqrt(v / 24), "crossed se")
    close(j["comparison"]["degrees_of_freedom"], v * v / (seed**2 / 5 + document**2 / 3 + residual**2 / 15), "crossed df")
    close(j["spread"]["sd_over_seeds"], math.sqrt((seed - residual) / 4), "sd over seeds")
    close(j["spread"]["sd_over_documents"], math.sqrt((document - residual) / 6), "sd over documents")
    check(j["comparison"]["test"] == "crossed" and j["sample"] == {"documents": 4, "seeds": 6}, "the shape chooses the test")
    random.Random(1).shuffle(rows)
    shuffled = judge(table("shuffled", ["seed", "document", "difference"], rows))
    close(shuffled["comparison"]["p"], j["comparison"]["p"], "order of rows")
    c = judge(path, "--components", "--column", "value=difference")
    close(c["standard_deviations"]["seed"], math.sqrt((seed - residual) / 4), "component of seeds")
    close(c["standard_deviations"]["seed_x_document"], math.sqrt(residual), "component of the residual")

    missing = [r for r in rows if (r[0], r[1]) != ("2", "b")]
    refused(table("missing", ["seed", "document", "difference"], missing), [], 1, "no row with seed '2', document 'b'", "23 rows of 24")
    refused(table("twice", ["seed", "document", "difference"], rows + [rows[3]]), [], 1, "line 26", "is on line 5 already")
    refused(table("documents", ["document", "difference"], [("a", 1.0), ("b", 2.0), ("a", 3.0)]), [], 1, "line 4", "'a' is on line 2 already", "column 'seed'")
    refused(table("seeds", ["seed", "difference"], [("1", 1.0), ("2", 2.0)]), [], 1, "seeds cannot stand in for documents")
    refused(path, ["--test", "paired_t"], 1, "it takes one difference a document")
    check("too liberal below 30 seeds or 30 documents" in run(path, "--test", "crossed_bootstrap").stdout, "a bootstrap of four documents has its warning")


def test_unpaired():
    """Welch's example of Ruxton, Behavioral Ecology 17 (2006), as in the encyclopaedias: t = -2.46, 25.0 degrees of freedom, p = 0.021; and the one-way table with F(2, 15) = 9.26."""
    a = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
    b = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]
    c = judge(table("welch", ["group", "value"], [("one", x) for x in a] + [("two", x) for x in b]), "--unpaired", "--margin", "abs:5")["comparison"]
    check(round(c["t"], 2) == -2.46 and round(c["degrees_of_freedom"], 1) == 25.0 and round(c["p"], 3) == 0.021, f"Welch: {c}")
    va, vb = (sum((x - sum(s) / 15) ** 2 for x in s) / 14 / 15 for s in (a, b))
    close(c["standard_error"], math.sqrt(va + vb), "Welch se", 1e-12)
    groups = [6, 8, 4, 5, 3, 4], [8, 12, 9, 11, 6, 8], [13, 9, 11, 8, 7, 12]
    rows = [(f"g{k}", float(x)) for k in range(3) for x in groups[k]]
    random.Random(2).shuffle(rows)
    c = judge(table("oneway", ["group", "value"], rows), "--unpaired")["comparison"]
    close(c["F"], 42 / (68 / 15), "one-way F")
    check(abs(c["p"] - 0.0024) < 1e-4, f"one-way p: {c['p']}")
    refused(table("onegroup", ["group", "value"], [("a", 1.0), ("a", 2.0)]), ["--unpaired"], 1, "one group")


def test_binary():
    """McNemar's table with 121 and 59 discordant pairs of 314: chi2 = 21.36, p of both tails below 1e-5."""
    rows = [(1, 1)] * 101 + [(1, 0)] * 121 + [(0, 1)] * 59 + [(0, 0)] * 33
    c = judge(table("mcnemar", ["arm", "against"], rows), "--binary")["comparison"]
    exact = 2 * sum(Fraction(math.comb(180, k), 2**180) for k in range(60))
    close(c["p"], float(exact), "McNemar exact", 1e-12)
    close(c["chi2"], 62**2 / 180, "McNemar chi2")
    close(c["chi2_corrected"], 61**2 / 180, "McNemar corrected")
    close(c["share_difference"], 62 / 314, "difference of shares")
    refused(table("two", ["arm", "against"], [(1, 1), (2, 0)]), ["--binary"], 1, "line 3, column 1 (arm)", "neither 0 nor 1")
    refused(table("alike", ["arm", "against"], [(1, 1), (0, 0)]), ["--binary"], 1)


def test_many():
    path = table("many", ["document", "m1", "m2", "m3", "m4"], [[f"d{i}"] + [x / 64 for x in r] for i, r in enumerate(S4)])
    j = judge(path, "--many")
    for k, r in enumerate((1.9166666666666667, 2.75, 1.3333333333333333, 4)):
        close(j["mean_ranks"][f"m{k + 1}"], r, "mean rank")
    for section, key, expected in (("Friedman", "chi2", 14.694915254237293), ("Friedman", "p", 0.0020968272836806049), ("Friedman", "F", 22.230769230769269), ("Friedman", "p_F", 8.9474145482583975e-06),
                                   ("Nemenyi", "critical_difference", 1.9148432265902364), ("Nemenyi", "m3_-_m4", 0.0019661230114886852), ("analysis_of_variance", "F", 45),
                                   ("analysis_of_variance", "p", 9.7884925582791595e-08), ("analysis_of_variance", "epsilon", 0.88299904489016057), ("analysis_of_variance", "p_epsilon", 4.9348621537693791e-07),
                                   ("analysis_of_variance", "sum_of_squares_arms", 0.094482421875), ("analysis_of_variance", "sum_of_squares_residual", 0.010498046875)):
        close(j[section][key], expected, f"S4 {section} {key}")
    pairs = j["paired_t_tests"]
    single = {}
    for a in range(4):
        for b in range(a + 1, 4):
            key = f"m{a + 1}_-_m{b + 1}"
            c = judge(table("pair", ["arm", "against"], [(r[a] / 64, r[b] / 64) for r in S4]))["comparison"]
            check(pairs[key] == c["difference"], f"{key} is the paired t")
            single[key] = c["p"]
    order, largest = sorted(single, key=single.get), 0
    for i, key in enumerate(order):
        largest = max(largest, min(1, (6 - i) * single[key]))
        close(pairs["p_" + key], largest, f"Holm of {key}")
    bh = judge(path, "--many", "--correction", "bh")["paired_t_tests"]
    close(bh["p_" + order[-1]], single[order[-1]], "BH of the largest")
    odd = judge(table("odd", ['"a ""b"""', "c"], [[r[0], r[1]] for r in S4]), "--many")
    check(set(odd["mean_ranks"]) == {'a_"b"', "c"}, f"names of columns may be any text: {odd['mean_ranks']}")
    refused(table("onearm", ["document", "m1"], [("a", 1.0), ("b", 2.0)]), ["--many"], 1, "at least 2 arms")


def test_series():
    path = table("series", ["value"], [[x] for x in s6()])
    j = judge(path, "--series", "--lags", "4", "--block", "8", "--resamples", "2000", "--seed", "7")
    for key, value, expected in (("mean", j["block_bootstrap"]["mean"]["estimate"], 0.038048982620239258), ("acf 1", j["dependence"]["autocorrelation_1"], 0.74355452540391864),
                                 ("acf 2", j["dependence"]["autocorrelation_2"], 0.58690586917364285), ("acf 3", j["dependence"]["autocorrelation_3"], 0.46514971534980676),
                                 ("Newey-West", j["dependence"]["Newey-West_standard_error"], 0.053463391546024371), ("n_eff", j["dependence"]["effective_numbers"], 18.592386307821432),
                                 ("naive se", j["as_if_independent"]["standard_error"], 0.029043824113404011), ("naive p", j["as_if_independent"]["p"], 0.19493425942772472),
                                 ("block se", j["block_bootstrap"]["standard_error"], 0.064852180371290508), ("block lo", j["block_bootstrap"]["mean"]["low"], -0.085061681270599362),
                                 ("block hi", j["block_bootstrap"]["mean"]["high"], 0.16327179074287407), ("clusters t", j["blocks_as_documents"]["t"], 0.56755659580461149),
                                 ("clusters p", j["blocks_as_documents"]["p"], 0.58806804297100146)):
        close(value, expected, f"S6 {key}")
    check(judge(path, "--series")["dependence"]["lags"] == 3, "lags by the length")
    refused(path, ["--series", "--block", "7"], 1, "64 numbers are no whole number of blocks")
    refused(table("constant", ["value"], [[1.0]] * 8), ["--series"], 1)


def test_rank():
    """IQ and hours of television of ten people, the encyclopaedias' example: rho = -29/165."""
    x, y = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    c = judge(table("rank", ["x", "y"], zip(x, y)), "--rank")["correlation"]
    tau = sum((1 if (x[i] - x[k]) * (y[i] - y[k]) > 0 else -1) for i in range(10) for k in range(i)) / 45
    close(c["Spearman"]["estimate"], -29 / 165, "Spearman")
    close(c["Kendall"]["estimate"], tau, "Kendall")
    z, se = math.atanh(-29 / 165), math.sqrt((1 + (29 / 165) ** 2 / 2) / 7)
    close(c["Spearman"]["low"], math.tanh(z - 1.959963984540054 * se), "Fisher's interval", 1e-9)
    check(c["Spearman_resampled"]["low"] < -29 / 165 < c["Spearman_resampled"]["high"], "the resampled interval holds the estimate")
    refused(table("equal", ["x", "y"], [(1, 1), (1, 2), (1, 3)]), ["--rank"], 1)


def test_bad_tables():
    rows = [(1.0, 2.0), (3.0, 5.0)]
    good = table("good", ["arm", "against"], rows)
    for bad in ("nan", "inf", "-inf", "NaN", "1e999", "", "x", "0x10", "1,5"):
        refused(table("bad", ["arm", "against"], rows + [(1.0, bad)]), [], 1, "line 4", "column 2 (against)" if bad != "1,5" else "3 fields")
    refused(table("short", ["arm", "against"], rows + [(1.0,)]), [], 1, "line 4 has 1 field", "names 2")
    refused(table("gap", [], [], b"arm,against\n1,2\n\n3,4\n"), [], 1, "line 3 is empty")
    refused(table("names", ["arm", "arm"], rows), [], 1, "line 1, column 2", "name of column 1")
    refused(table("unnamed", ["arm", ""], rows), [], 1, "line 1, column 2", "no name")
    refused(table("typo", ["arm", "aganist"], rows), [], 1, "no column 'against'", "did you mean 'aganist'", "--column against=")
    refused(table("header", ["arm", "against"], []), [], 1, "one line")
    refused(table("empty", [], [], b""), [], 1, "nothing in it")
    refused(table("zero", [], [], b"arm,against\n1,2\0\n"), [], 1, "zero byte")
    refused(table("open", [], [], b'arm,against\n"1,2\n'), [], 1, "line 2, column 1", "quote that does not end")
    refused(table("behind", [], [], b'arm,against\n"1"x,2\n'), [], 1, "line 2, column 1", "behind the closing quote")
    refused(table("one", ["arm", "against"], rows[:1]), [], 1, "have no spread")
    refused(os.path.join(WORK, "absent.csv"), [], 1, "cannot open")
    refused(table("both", ["arm", "against", "difference"], [(1, 2, 3), (1, 2, 4)]), [], 1, "which is it?")
    c = judge(table("quoted", [], [], b'\xef\xbb\xbf"arm" , against\r\n "1" ,2\r\n3, "5"\r\n\r\n'))["comparison"]
    check(c == judge(good)["comparison"], "quotes, blanks, a byte order mark and CRLF change nothing")
    c = judge(table("same", ["difference"], [[0.5]] * 4), "--margin", "abs:1")["comparison"]
    check(c["verdict"] == "DEGENERATE" and c["p"] is None and c["difference"]["estimate"] == 0.5, f"no spread: {c}")
    for args, word in ((["--margin", "0.1"], "abs:NUMBER"), (["--margin", "ratio:0.9"], "not above 1"), (["--margin", "abs:-1"], "not above 0"), (["--alpha", "0.7"], "between 0 and 0.5"),
                       (["--test", "wilcoxn"], "did you mean wilcoxon"), (["--goal", "not_worse"], "needs a --margin"), (["--goal", "beter"], "--goal beter"), (["--rank", "--many"], "name one"),
                       (["--rank", "--test", "sign"], "--test is for pairs"), (["--lags", "3"], "for --series"), (["--column", "amr=x"], "roles are"), (["--seed", "-1"], "whole number"),
                       (["--many", "--correction", "bonferroni"], "--correction bonferroni"), (["--binary", "--margin", "abs:1"], "says nothing"), (["--components", "--margin", "abs:1"], "says nothing")):
        refused(good, args, 2, word)
    refused(good, ["another"], 2, "one word too many")
    a = subprocess.run([GYRE, "judge"], capture_output=True, text=True)
    check(a.returncode == 2 and "name a table" in a.stderr, "no table")


def test_text():
    a = run(os.path.join(WORK, "S1.csv"), "--margin", "abs:0.25")
    check(a.returncode == 0 and a.stderr == "", a.stderr)
    for line in ("difference                         0.148438 [0.0258973, 0.270978]", "p TOST                             0.0454216", "verdict                            EQUIVALENT"):
        check("  " + line in a.stdout, f"'{line}' in {a.stdout}")


def test_caution():
    """A bootstrap of few documents is allowed, and every report of it says what is wrong with it; a t is not warned of."""
    config = os.path.join(WORK, "caution.yaml")
    with open(config, "w") as f:
        f.write("""experiment: caution
source: {capture: data/smollm2-135m.h5, layers: [0]}
arms:
  sym:  {k: {chain: [dht], quantizer: {sym:  {bits: 4}}}}
  asym: {k: {chain: [dht], quantizer: {asym: {bits: 4}}}}
metrics: [nmse]
compare:
  - {arm: asym, against: sym, metric: nmse, test: TEST}
""")
    text = open(config).read()
    for test, warned in (("bootstrap", True), ("bca", True), ("paired_t", False), ("sign_flip", False)):
        path = os.path.join(WORK, test + ".yaml")
        with open(path, "w") as f:
            f.write(text.replace("TEST", test))
        a = subprocess.run([GYRE, "run", path, "--out", os.path.join(WORK, test), "--quiet"], capture_output=True, text=True, cwd=os.environ.get("GYRE_SOURCE", "."))
        check(a.returncode == 0 and (f"{test} is too liberal below 30 documents" in a.stdout) == warned, f"{test}, of 12 documents: {a.stdout}{a.stderr}")


for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
print(f"{checks} checks, {len(failures)} failed")
subprocess.run(["rm", "-r", WORK], check=True)
sys.exit(1 if failures else 0)
