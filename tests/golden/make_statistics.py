"""Writes statistics.h: reference values of stats/ with the source of each, and NIST's Statistical Reference Datasets with their certified values.

    python3 tests/golden/make_statistics.py        (mpmath, and SciPy for its copy of NIST's one-way data; about a minute)

Nothing here calls what it checks, and little calls a statistics library: such libraries are wrong in places (SciPy 1.10's t.ppf is good to 4e-9, its exact Wilcoxon ignores ties, R's ptukey is
good to 2e-9). Distributions are evaluated by mpmath to 40 digits from their definitions (incomplete beta and gamma functions, quadrature), quantiles by root finding, everything on whole numbers
by exact fractions, exact tests by counting. Where R or SciPy give the same statistic to their own accuracy, the source says so.

The data sets are sixty-fourths and other dyadic numbers, so that differences are exact in binary.
"""
import itertools
import os
from fractions import Fraction as F

import mpmath as mp
import scipy

import golden

mp.mp.dps = 40
rows = []


def put(name, value, source):
    value = mp.mpf(value.numerator) / value.denominator if isinstance(value, F) else mp.mpf(value)
    rows.append((name, source, float(value)))


def real(x):
    return mp.mpf(x.numerator) / x.denominator


# ---- distributions ----

def normal_tail(z):
    return mp.erfc(z / mp.sqrt(2)) / 2


def normal_quantile(p):
    return -mp.sqrt(2) * mp.erfinv(1 - 2 * mp.mpf(p))


def t_tail(t, df):
    half = mp.betainc(mp.mpf(df) / 2, mp.mpf(1) / 2, 0, df / (df + mp.mpf(t) ** 2), regularized=True) / 2
    return half if t >= 0 else 1 - half


def t_point(alpha, df):
    start = normal_quantile(1 - mp.mpf(alpha))
    return mp.findroot(lambda t: t_tail(t, df) - mp.mpf(alpha), (start, start * 1.2))


def f_tail(f, a, b):
    return mp.betainc(mp.mpf(b) / 2, mp.mpf(a) / 2, 0, b / (b + a * mp.mpf(f)), regularized=True)


def chi2_tail(x, df):
    return mp.gammainc(mp.mpf(df) / 2, mp.mpf(x) / 2, regularized=True)


def range_tail(q, k):
    phi = lambda z: mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
    low = lambda z: normal_tail(-z)
    body = mp.quad(lambda z: phi(z) * (low(z) - low(z - q)) ** (k - 1), [-12, -6, -2, 0, 2, 4, 6, 8, 14])
    return 1 - k * body


# ---- data ----

def lcg(x, n):
    out = []
    for _ in range(n):
        x = (1103515245 * x + 12345) % 2 ** 31
        out.append(x >> 16)
    return out


def over(numbers, d):
    return [F(n, d) for n in numbers]


S1 = (over([412, 398, 455, 430, 501, 377, 489, 463], 64), over([405, 402, 440, 431, 478, 371, 470, 452], 64), F(1, 4))
S2 = (over([20, 31, 17, 25, 40, 22, 19, 28, 33, 26, 30, 24], 64), over([18, 29, 17, 27, 35, 20, 21, 25, 33, 22, 27, 25], 64), F(1, 16))
L = lcg(12345, 50)
assert L[:3] == [21468, 9988, 22117]
A3 = over(L[:25], 4096)
S3 = (A3, [a - F(l - 15000, 65536) for a, l in zip(A3, L[25:])], F(1, 8))
S4 = [over(r, 64) for r in ([40, 44, 39, 52], [37, 41, 38, 47], [55, 55, 50, 61], [33, 36, 34, 40], [61, 66, 59, 70], [48, 47, 45, 58])]
S5 = [F(n, 1000) for n in (1, 8, 39, 41, 42, 60, 74, 205)]
S6, z = [], 0
for e in lcg(2024, 64):
    z = (3 * z) // 4 + e - 16384
    S6.append(F(z, 65536))
assert [int(x * 65536) for x in S6[:3]] == [-14372, -16555, -26465] and int(S6[-1] * 65536) == -13991


def mean(x):
    return sum(x, F(0)) / len(x)


def variance(x):
    m = mean(x)
    return sum(((a - m) ** 2 for a in x), F(0)) / (len(x) - 1)


def indices(seed):
    mask = 2 ** 64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        u = seed
        u = ((u ^ (u >> 30)) * 0xBF58476D1CE4E5B9) & mask
        u = ((u ^ (u >> 27)) * 0x94D049BB133111EB) & mask
        yield u ^ (u >> 31)


def quantile(sorted_values, q):
    """Type 7 of Hyndman and Fan."""
    h = mp.mpf(q) * (len(sorted_values) - 1)
    k = min(int(mp.floor(h)), len(sorted_values) - 2)
    return real(sorted_values[k]) + (h - k) * real(sorted_values[k + 1] - sorted_values[k])


# ---- ranks ----

def signed_ranks(d, pratt):
    """Doubled mid-ranks with signs."""
    kept = d if pratt else [x for x in d if x != 0]
    out = []
    for x in kept:
        below = sum(abs(y) < abs(x) for y in kept)
        equal = sum(abs(y) == abs(x) for y in kept)
        if x != 0:
            out.append((2 * below + equal + 1) * (1 if x > 0 else -1))
    return out


def exact_signed_rank(r):
    counts = {0: 1}
    for x in r:
        more = dict(counts)
        for s, c in counts.items():
            more[s + abs(x)] = more.get(s + abs(x), 0) + c
        counts = more
    w = min(sum(x for x in r if x > 0), -sum(x for x in r if x < 0))
    return min(F(1), F(2 * sum(c for s, c in counts.items() if s <= w), 2 ** len(r)))


def normal_signed_rank(r, continuity):
    off = abs(F(sum(x for x in r if x > 0), 2) - F(sum(abs(x) for x in r), 4)) - (F(1, 2) if continuity else 0)
    return 2 * normal_tail(real(off) / mp.sqrt(real(F(sum(x * x for x in r), 16))))


def sign_flip(d):
    """Counts of all sums of signs times d, in units that make d whole."""
    unit = max(x.denominator for x in d)
    counts = {0: 1}
    for x in (int(x * unit) for x in d):
        more = {}
        for s, c in counts.items():
            more[s + x] = more.get(s + x, 0) + c
            more[s - x] = more.get(s - x, 0) + c
        counts = more
    seen = abs(sum(int(x * unit) for x in d))
    return F(sum(c for s, c in counts.items() if abs(s) >= seen), 2 ** len(d))


# ---- paired samples ----

def paired(name, a, b, margin):
    d = [x - y for x, y in zip(a, b)]
    n, m, s = len(d), mean(d), mp.sqrt(real(variance(d)))
    df, se = n - 1, s / mp.sqrt(n)
    t = real(m) / se
    fraction, beta, root = "exact fractions", "mpmath: regularized incomplete beta function (R: t.test)", "mpmath: root of the incomplete beta function (R: t.test)"
    put(name + ".mean", m, fraction)
    put(name + ".sd", s, fraction)
    put(name + ".t", t, fraction)
    put(name + ".p", 2 * t_tail(abs(t), df), beta)
    for level, lo, hi in ((mp.mpf("0.025"), ".lo", ".hi"), (mp.mpf("0.05"), ".inner_lo", ".inner_hi")):
        put(name + lo, real(m) - t_point(level, df) * se, root)
        put(name + hi, real(m) + t_point(level, df) * se, root)
    p_lower, p_upper = t_tail((real(m + margin)) / se, df), t_tail(-(real(m - margin)) / se, df)
    put(name + ".tost_p_lower", p_lower, beta)
    put(name + ".tost_p_upper", p_upper, beta)
    put(name + ".p_in_margin", 1 - p_lower - p_upper, beta)
    j = mp.gamma(mp.mpf(df) / 2) / mp.gamma(mp.mpf(df - 1) / 2) / mp.sqrt(mp.mpf(df) / 2)
    put(name + ".dz", real(m) / s, fraction)
    put(name + ".j", j, "mpmath: gamma function")
    put(name + ".g", j * real(m) / s, "mpmath: gamma function")
    put(name + ".d_av", real(m) / mp.sqrt(real((variance(a) + variance(b)) / 2)), fraction)
    r, r_pratt = signed_ranks(d, False), signed_ranks(d, True)
    plus, minus = F(sum(x for x in r if x > 0), 2), F(-sum(x for x in r if x < 0), 2)
    put(name + ".w_plus", plus, "counting")
    put(name + ".w_minus", minus, "counting")
    put(name + ".rank_biserial", (plus - minus) / (plus + minus), "counting")
    put(name + ".wilcoxon", exact_signed_rank(r), "counting all sign choices of the mid-ranks (R: exactRankTests, coin)")
    put(name + ".wilcoxon_pratt", exact_signed_rank(r_pratt), "counting all sign choices of the mid-ranks (R: coin)")
    put(name + ".wilcoxon_normal", normal_signed_rank(r, False), "mpmath: erfc (SciPy: wilcoxon)")
    put(name + ".wilcoxon_continuous", normal_signed_rank(r, True), "mpmath: erfc (SciPy: wilcoxon, correction)")
    put(name + ".pratt_normal", normal_signed_rank(r_pratt, False), "mpmath: erfc (SciPy: wilcoxon, pratt)")
    put(name + ".sign_flip", sign_flip(d), "counting all sums")
    walsh = sorted((x + y) / 2 for x, y in itertools.combinations_with_replacement(d, 2))
    put(name + ".hodges_lehmann", (walsh[(len(walsh) - 1) // 2] + walsh[len(walsh) // 2]) / 2, "sorting all Walsh averages")
    bootstrap(name, d, m)
    moved(name, d, margin)


def bootstrap(name, d, m):
    n, stream = len(d), indices(42)
    means = sorted(sum((d[next(stream) * n >> 64] for _ in range(n)), F(0)) / n for _ in range(2000))
    z0 = normal_quantile(real(F(sum(x < m for x in means) + sum(x <= m for x in means), 4000)))
    u = [(x - m) / (n - 1) for x in d]
    a = real(sum(x ** 3 for x in u)) / (6 * mp.sqrt(real(sum(x * x for x in u))) ** 3)
    drawn = "2000 resamples in exact fractions, SplitMix64 from seed 42; mpmath: erf"
    put(name + ".bca_z0", z0, drawn)
    put(name + ".bca_a", a, "exact fractions")
    for level, bca, percentile in (("0.025", ".bca_lo", ".percentile_lo"), ("0.975", ".bca_hi", ".percentile_hi")):
        w = z0 + normal_quantile(mp.mpf(level))
        put(name + bca, quantile(means, normal_tail(-(z0 + w / (1 - a * w)))), drawn)
        put(name + percentile, quantile(means, mp.mpf(level)), drawn)


def moved(name, d, margin):
    """TOST by ranks, signs and flips: one-sided counts of the differences less each end of the margin."""
    up, down = [x + margin for x in d], [margin - x for x in d]

    def ranks(x):
        r = signed_ranks(x, False)
        counts = {0: 1}
        for v in r:
            more = dict(counts)
            for s, c in counts.items():
                more[s + abs(v)] = more.get(s + abs(v), 0) + c
            counts = more
        w = sum(v for v in r if v > 0)
        return F(sum(c for s, c in counts.items() if s >= w), 2 ** len(r))

    def flips(x):
        unit = max(v.denominator for v in x)
        counts = {0: 1}
        for v in (int(v * unit) for v in x):
            more = dict(counts)
            for s, c in counts.items():
                more[s + v] = more.get(s + v, 0) + c
            counts = more
        return F(sum(c for s, c in counts.items() if s <= 0), 2 ** len(x))

    def coins(x):
        n, k = sum(v != 0 for v in x), sum(v > 0 for v in x)
        return sum(F(int(mp.binomial(n, i)), 2 ** n) for i in range(k, n + 1))

    for what, f in (("wilcoxon", ranks), ("sign_flip", flips), ("sign", coins)):
        put("%s.%s_tost" % (name, what), max(f(up), f(down)), "counting, of the differences less each end of the margin")
    n, k = sum(x != 0 for x in d), sum(x > 0 for x in d)
    put(name + ".sign", min(F(1), 2 * sum(F(int(mp.binomial(n, i)), 2 ** n) for i in range(min(k, n - k) + 1))), "binomial coefficients (R: binom.test)")


def blocks_of_methods():
    n, k = len(S4), len(S4[0])
    ranks = [[F(2 * sum(y < x for y in r) + sum(y == x for y in r) + 1, 2) for x in r] for r in S4]
    means = [mean([r[j] for r in ranks]) for j in range(k)]
    for j, r in enumerate(means):
        put("S4.mean_rank_%d" % (j + 1), r, "counting")
    ties = sum(sum(r.count(x) ** 3 - r.count(x) for x in set(r)) for r in S4)
    chi2 = (F(12 * n, k * (k + 1)) * sum(r * r for r in means) - 3 * n * (k + 1)) / (1 - F(ties, n * k * (k * k - 1)))
    put("S4.friedman", chi2, "exact fractions (R: friedman.test)")
    put("S4.friedman_p", chi2_tail(real(chi2), k - 1), "mpmath: incomplete gamma function (R: friedman.test)")
    f = (n - 1) * chi2 / (n * (k - 1) - chi2)
    put("S4.iman_davenport", f, "exact fractions")
    put("S4.iman_davenport_p", f_tail(real(f), k - 1, (k - 1) * (n - 1)), "mpmath: incomplete beta function")
    all_mean, method, block = mean(sum(S4, [])), [mean([r[j] for r in S4]) for j in range(k)], [mean(r) for r in S4]
    ss = (n * sum((m - all_mean) ** 2 for m in method), k * sum((m - all_mean) ** 2 for m in block),
          sum((S4[i][j] - block[i] - method[j] + all_mean) ** 2 for i in range(n) for j in range(k)))
    for name, s in zip(("method", "layer", "residual"), ss):
        put("S4.ss_" + name, s, "exact fractions (R: aov)")
    f, df = ss[0] / (k - 1) / (ss[2] / ((k - 1) * (n - 1))), (k - 1, (k - 1) * (n - 1))
    put("S4.anova_f", f, "exact fractions (R: aov, nlme)")
    put("S4.anova_p", f_tail(real(f), *df), "mpmath: incomplete beta function (R: aov)")
    c = [[sum((r[i] - method[i]) * (r[j] - method[j]) for r in S4) / (n - 1) for j in range(k)] for i in range(k)]
    line, whole = [mean(r) for r in c], mean(sum(c, []))
    c = [[c[i][j] - line[i] - line[j] + whole for j in range(k)] for i in range(k)]
    eps = sum(c[i][i] for i in range(k)) ** 2 / ((k - 1) * sum(x * x for r in c for x in r))
    put("S4.gg_epsilon", eps, "exact fractions, from the doubly centred covariance")
    put("S4.gg_p", f_tail(real(f), real(eps) * df[0], real(eps) * df[1]), "mpmath: incomplete beta function")
    q = {}
    for kk in (3, 4, 5, 6, 8, 10):
        q[kk] = mp.findroot(lambda x: range_tail(x, kk) - mp.mpf("0.05"), (3.0 + 0.15 * kk, 3.2 + 0.15 * kk))
        put("range.%d" % kk, q[kk], "mpmath: quadrature and root (R: qtukey, to 2e-9)")
    put("S4.nemenyi_cd", q[4] / mp.sqrt(2) * mp.sqrt(mp.mpf(k * (k + 1)) / (6 * n)), "mpmath: quadrature and root")
    put("S4.nemenyi_p", range_tail(real(means[3] - means[2]) * mp.sqrt(mp.mpf(12 * n) / (k * (k + 1))), k), "mpmath: quadrature")


def families():
    m = len(S5)
    holm, bh = [], []
    for i, p in enumerate(S5):
        holm.append(max(holm[-1:] + [min(F(1), (m - i) * p)]))
    for i, p in reversed(list(enumerate(S5))):
        bh.append(min(bh[-1:] + [min(F(1), m * p / (i + 1))]))
    c = sum(F(1, i) for i in range(1, m + 1))
    by = []
    for i, p in reversed(list(enumerate(S5))):
        by.append(min(by[-1:] + [min(F(1), m * c * p / (i + 1))]))
    for i in range(m):
        put("S5.holm_%d" % (i + 1), holm[i], "exact fractions (R: p.adjust)")
        put("S5.bh_%d" % (i + 1), bh[m - 1 - i], "exact fractions (R: p.adjust)")
        put("S5.by_%d" % (i + 1), by[m - 1 - i], "exact fractions (R: p.adjust)")


def series():
    n, m = len(S6), mean(S6)
    g = [sum((S6[i] - m) * (S6[i + lag] - m) for i in range(n - lag)) / n for lag in range(5)]
    put("S6.mean", m, "exact fractions")
    put("S6.sd", mp.sqrt(real(variance(S6))), "exact fractions")
    for lag in (1, 2, 3):
        put("S6.acf_%d" % lag, g[lag] / g[0], "exact fractions (statsmodels: acf)")
    naive, lrv = mp.sqrt(real(variance(S6) / n)), g[0] + 2 * sum((1 - F(lag, 5)) * g[lag] for lag in range(1, 5))
    put("S6.naive_se", naive, "exact fractions")
    put("S6.newey_west_se", mp.sqrt(real(lrv / n)), "exact fractions")
    put("S6.n_eff", n * g[0] / lrv, "exact fractions")
    stream, means = indices(7), []
    for _ in range(2000):
        starts = [next(stream) * n >> 64 for _ in range(8)]
        means.append(sum((S6[(s + i) % n] for s in starts for i in range(8)), F(0)) / n)
    drawn = "2000 resamples in exact fractions, SplitMix64 from seed 7"
    put("S6.block_se", mp.sqrt(real(variance(means))), drawn)
    put("S6.block_lo", quantile(sorted(means), mp.mpf("0.025")), drawn)
    put("S6.block_hi", quantile(sorted(means), mp.mpf("0.975")), drawn)
    put("S6.naive_p", 2 * t_tail(abs(real(m)) / naive, n - 1), "mpmath: incomplete beta function")
    clusters = [mean(S6[i:i + 8]) for i in range(0, n, 8)]
    t = real(mean(clusters)) / mp.sqrt(real(variance(clusters) / 8))
    put("S6.cluster_t", t, "exact fractions")
    put("S6.cluster_p", 2 * t_tail(abs(t), 7), "mpmath: incomplete beta function (R: t.test)")


# ---- power ----

def over_sd(f, df, top, digits):
    """Expectation of f(S), S = sqrt(chi2_df / df), from 0 to top."""
    with mp.workdps(digits):
        half = mp.mpf(df) / 2
        constant = mp.log(2) + half * mp.log(half) - mp.loggamma(half)
        density = lambda s: mp.exp(constant + (df - 1) * mp.log(s) - half * s * s)
        width = 14 / mp.sqrt(df)
        ends = [max(mp.mpf("1e-30"), 1 - width), 1 - width / 4, 1, 1 + width / 4, 1 + width]
        ends = sorted({e for e in ends if 0 < e < top} | ({top} if top < 1 + width else set()))
        return mp.quad(lambda s: f(s) * density(s), ends)


def power_t(dz, n, digits=30):
    t, nc = t_point(mp.mpf("0.025"), n - 1), dz * mp.sqrt(n)
    return over_sd(lambda s: normal_tail(t * s - nc) + normal_tail(t * s + nc), n - 1, mp.inf, digits)


def power_tost(theta, margin, n, digits=30):
    t, se = t_point(mp.mpf("0.05"), n - 1), 1 / mp.sqrt(n)
    return over_sd(lambda s: normal_tail(t * s - (margin - theta) / se) - normal_tail(-t * s + (margin + theta) / se), n - 1, margin / (se * t), digits)


def least(power, target):
    lo, hi = 2, 4
    while power(hi) < target:
        lo, hi = hi, 2 * hi
    while hi - lo > 1:
        mid = (lo + hi) // 2
        lo, hi = (lo, mid) if power(mid) >= target else (mid, hi)
    return hi


def powers():
    for i, (dz, n) in enumerate((("0.5", 20), ("0.5", 34), ("0.2", 100), ("0.8", 10))):
        put("power_t.%d" % (i + 1), power_t(mp.mpf(dz), n), "mpmath: quadrature over the chi distribution (R: power.t.test)")
    for i, (theta, margin, n) in enumerate((("0", "0.5", 20), ("0", "0.5", 36), ("0", "0.25", 140), ("0.1", "0.5", 50))):
        put("power_tost.%d" % (i + 1), power_tost(mp.mpf(theta), mp.mpf(margin), n), "mpmath: quadrature over the chi distribution")
    for size in ("1", "0.5", "0.3", "0.2", "0.1"):
        for target in ("0.8", "0.9"):
            put("needed_t.%s.%s" % (size, target), least(lambda n: power_t(mp.mpf(size), n, 15), mp.mpf(target)), "mpmath: bisection over n")
            put("needed_tost.%s.%s" % (size, target), least(lambda n: power_tost(mp.mpf(0), mp.mpf(size), n, 15), mp.mpf(target)), "mpmath: bisection over n")


# ---- NIST's Statistical Reference Datasets ----

LEW = """-213 -564 -35 -15 141 115 -420 -360 203 -338 -431 194 -220 -513 154 -125 -559 92 -21 -579 -52 99 -543 -175 162 -457 -346 204 -300 -474 164 -107 -572 -8 83 -541 -224 180 -420 -374
201 -236 -531 83 27 -564 -112 131 -507 -254 199 -311 -495 143 -46 -579 -90 136 -472 -338 202 -287 -477 169 -124 -568 17 48 -568 -135 162 -430 -422 172 -74 -577 -13 92 -534 -243 194 -355 -465 156
-81 -578 -64 139 -449 -384 193 -198 -538 110 -44 -577 -6 66 -552 -164 161 -460 -344 205 -281 -504 134 -28 -576 -118 156 -437 -381 200 -220 -540 83 11 -568 -160 172 -414 -408 188 -125 -572 -32 139
-492 -321 205 -262 -504 142 -83 -574 0 48 -571 -106 137 -501 -266 190 -391 -406 194 -186 -553 83 -13 -577 -49 103 -515 -280 201 300 -506 131 -45 -578 -80 138 -462 -361 201 -211 -554 32 74 -533 -235
187 -372 -442 182 -147 -566 25 68 -535 -244 194 -351 -463 174 -125 -570 15 72 -550 -190 172 -424 -385 198 -218 -536 96"""
LOTTERY = """162 671 933 414 788 730 817 33 536 875 670 236 473 167 877 980 316 950 456 92 517 557 956 954 104 178 794 278 147 773 437 435 502 610 582 780 689 562 964 791 28 97 848 281 858 538 660 972 671
613 867 448 738 966 139 636 847 659 754 243 122 455 195 968 793 59 730 361 574 522 97 762 431 158 429 414 22 629 788 999 187 215 810 782 47 34 108 986 25 644 829 630 315 567 919 331 207 412 242 607 668
944 749 168 864 442 533 805 372 63 458 777 416 340 436 140 919 350 510 572 905 900 85 389 473 758 444 169 625 692 140 897 672 288 312 860 724 226 884 508 976 741 476 417 831 15 318 432 241 114 799 955
833 358 935 146 630 830 440 642 356 373 271 715 367 393 190 669 8 861 108 795 269 590 326 866 64 523 862 840 219 382 998 4 628 305 747 247 34 747 729 645 856 974 24 568 24 694 608 480 410 729 947 293 53
930 223 203 677 227 62 455 387 318 562 242 428 968"""
MAVRO = """180 170 180 190 180 170 150 140 150 150 170 180 180 190 190 210 200 160 140 130 130 150 150 160 150 140 130 140 150 140 150 160 150 160 190 200 200 210 220 230 240 250 270 260 260 260 270 260
250 240"""
MICHELSO = """85 74 90 107 93 85 95 98 98 88 100 98 93 65 76 81 100 100 96 96 96 94 96 94 88 80 85 88 90 84 83 79 81 88 88 83 80 79 76 80 88 88 88 86 72 72 62 86 97 95 88 91 85 87 84 84 85 84 84 84 89 81 81
82 80 77 76 74 75 76 91 92 89 86 88 72 84 85 85 78 89 84 78 81 76 81 79 81 82 85 87 87 81 74 81 94 95 80 81 87"""
# name, data, certified mean, standard deviation, lag-1 autocorrelation: www.itl.nist.gov/div898/strd/univ
UNIVARIATE = (
    ("Lew", LEW.split(), "-177.435000000000", "277.332168044316", "-0.307304800605679"),
    ("Lottery", LOTTERY.split(), "518.958715596330", "291.699727470969", "-0.120948622967393"),
    ("Mavro", ["2.00%s" % x for x in MAVRO.split()], "2.00185600000000", "0.000429123454003053", "0.937989183438248"),
    ("Michelso", ["%d.%02d" % divmod(29900 + int(x), 100) for x in MICHELSO.split()], "299.852400000000", "0.0790105478190518", "0.535199668621283"),
    ("NumAcc1", ["10000001", "10000003", "10000002"], "10000002", "1", "-0.5"),
    ("NumAcc2", ["1.2"] + ["1.1", "1.3"] * 500, "1.2", "0.1", "-0.999"),
    ("NumAcc3", ["1000000.2"] + ["1000000.1", "1000000.3"] * 500, "1000000.2", "0.1", "-0.999"),
    ("NumAcc4", ["10000000.2"] + ["10000000.1", "10000000.3"] * 500, "10000000.2", "0.1", "-0.999"),
)
ONE_WAY = ("SiRstv", "AtmWtAg", "SmLs01", "SmLs04", "SmLs07")  # www.itl.nist.gov/div898/strd/anova


def certify(name, data, certified):
    """The certified values are what exact arithmetic gives on the printed numbers: a slip in either would show here."""
    x = [F(v) for v in data]
    m = mean(x)
    off = [v - m for v in x]
    found = (real(m), mp.sqrt(real(variance(x))), real(sum(a * b for a, b in zip(off, off[1:])) / sum(a * a for a in off)))
    for f, c in zip(found, certified):
        assert abs(f - mp.mpf(c)) <= mp.mpf("6e-15") * abs(f), (name, f, c)


def one_way(name):
    path = os.path.join(os.path.dirname(scipy.__file__), "stats", "tests", "data", "nist_anova", name + ".dat")
    lines = open(path, encoding="latin-1").read().split("\n")
    between, within = ([float(x) for x in next(l for l in lines[40:60] if l.startswith(w)).split()[2:]] for w in ("Between", "Within"))
    data = [l.split() for l in lines[60:] if len(l.split()) == 2]
    assert [int(float(g)) for g, _ in data] == sorted(int(float(g)) for g, _ in data)
    groups = [[F(x) for h, x in data if h == g] for g in sorted({g for g, _ in data}, key=float)]
    everything = mean(sum(groups, []))
    ss = (sum(len(g) * (mean(g) - everything) ** 2 for g in groups), sum((len(g) - 1) * variance(g) for g in groups))
    f = ss[0] / (len(groups) - 1) / (ss[1] / (len(data) - len(groups)))
    for a, b in zip((*ss, f), (between[1], within[1], between[3])):
        assert abs(float(a) - b) <= 6e-15 * b, (name, float(a), b)
    return [x for _, x in data], [len(g) for g in groups], between, within


def nist():
    lines = ["", "typedef struct golden_univariate {", "    const char *name;", "    const double *x;", "    size_t n;", "    double mean, sd, r1;", "} golden_univariate;"]
    table = []
    for name, data, *certified in UNIVARIATE:
        certify(name, data, certified)
        lines += golden.table("double", "golden_%s[%d]" % (name, len(data)), data)
        table.append('{ "%s", golden_%s, %d, %s }' % (name, name, len(data), ", ".join(certified)))
    lines += golden.table("golden_univariate", "golden_univariates[%d]" % len(table), table)
    lines += ["", "typedef struct golden_one_way {", "    const char *name;", "    const double *x;", "    const size_t *sizes;", "    size_t k;", "    double ss_between, ss_within, f;",
              "} golden_one_way;"]
    table = []
    for name in ONE_WAY:
        data, sizes, between, within = one_way(name)
        lines += golden.table("double", "golden_%s[%d]" % (name, len(data)), data)
        lines += golden.table("size_t", "golden_%s_sizes[%d]" % (name, len(sizes)), ["%d" % s for s in sizes])
        table.append('{ "%s", golden_%s, golden_%s_sizes, %d, %r, %r, %r }' % (name, name, name, len(sizes), between[1], within[1], between[3]))
    return lines + golden.table("golden_one_way", "golden_one_ways[%d]" % len(table), table)


def main():
    for name, sample in (("S1", S1), ("S2", S2), ("S3", S3)):
        paired(name, *sample)
    blocks_of_methods()
    families()
    series()
    powers()
    lines = ["#include <stddef.h>", "", "typedef struct golden_value {", "    const char *name, *source;", "    double value;", "} golden_value;"]
    lines += ["static const golden_value golden_values[%d] = {" % len(rows)] + ['    { "%s", "%s", %r },' % row for row in rows] + ["};"]
    golden.write("statistics.h", "make_statistics.py", "mpmath %s and the data files of SciPy %s" % (mp.__version__, scipy.__version__), lines + nist())


if __name__ == "__main__":
    main()
