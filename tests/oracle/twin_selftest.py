"""The selftest: known answers, the loops on synthetic captures, and wrong results that have to be found."""
import os
import tempfile

import h5py
import numpy as np

from twin_captures import Capture, Layer, Rope
from twin_chains import compute_group
from twin_check import check
from twin_codecs import bits_per_value, is_seeded, keeps_rows, parse_codec, parse_element, parse_quantizer, refusal
from twin_common import F16, F32, F64, METRICS, STREAMS, Unusable
from twin_fits import Found, Judge, expected, start_found
from twin_learned import LEARNED, cayley, exponential, polar, skew_below
from twin_loops import naive_chain, naive_group, naive_metrics
from twin_quantizers import BLOCKS, KINDS, normal_codebook, quantize
from twin_streams import ALL_HEADS, PURPOSE_SIGNS, Draw, normals, philox4x32, shuffled, signs, words
from twin_transforms import (
    DRAWN, FIXED, TAKES, butterfly_matrix, dht_matrix, householder_matrix, paley, pca_matrix, positive_q, quaternion_matrix, rfft_matrix, rope_pairs, rope_tables, rotate,
    wush_matrices, zigzag)


def synthetic_capture(path, model, kind, d, with_bias, window=0, n_documents=5, n_tokens=20, n_queries=3, n_heads=2, n_group=2):
    random = np.random.RandomState(len(model) + d)
    text = h5py.string_dtype()
    with h5py.File(path, "w") as f:
        for name, value in (("schema", "gyre-capture"), ("order", "native"), ("model_name", model), ("model_sha256", model * 2)):
            f.attrs[name] = value
        f.create_dataset("document", data=["text %d" % i for i in range(n_documents)], dtype=text)
        f["layer"] = np.array([0, 3], np.uint32)
        f["pos"] = np.tile(np.arange(n_tokens, dtype=np.int32), (n_documents, 1))
        f["query_pos"] = np.tile(np.arange(n_tokens - n_queries, n_tokens, dtype=np.int32), (n_documents, 1))
        for number in (0, 3):
            g = f.create_group("layer_%02d" % number)
            for name, value in (("rope_kind", kind), ("rope_n_rot", d), ("rope_base", 1e4), ("rope_freq_scale", 1.0), ("rope_ext_factor", 0.0),
                                ("rope_attn_factor", 1.0), ("score_scale", float(F32(1 / np.sqrt(d)))), ("sliding_window", window)):
                g.attrs[name] = value
            bias = 3 * random.randn(n_heads, d)
            for name, heads, tokens in (("k", n_heads, n_tokens), ("v", n_heads, n_tokens), ("q", n_heads * n_group, n_queries)):
                rows = random.randn(n_documents, tokens, heads, d) * np.exp(random.randn(d) / 2)
                g[name] = (rows + bias if name == "k" else rows).astype(F16)
            g["kv_head_of"] = np.repeat(np.arange(n_heads, dtype=np.uint32), n_group)
            if with_bias:
                g["k_bias"] = bias.astype(F32)


SELFTEST_CODECS = (
    ("chain=[];quantizer=sym(bits=4,group=row,scale=f32)", "exact"),
    ("order=native;chain=[signs(per=head),hadamard];quantizer=sym(bits=3,group=4,scale=f16)", "exact"),
    ("order=half_split;chain=[unrope,signs(per=layer),hadamard(form=sylvester)];quantizer=sym(bits=8,group=row,scale=f32)", "exact"),
    ("order=native;chain=[unrope,centre(by=bias,per=head),srft];quantizer=asym(bits=4,group=row,scale=f32)", "exact"),
    ("order=half_split;chain=[unrope,centre(by=bias),srht];quantizer=sym(bits=4,group=row,scale=f32)", "exact"),
    ("order=half_split;chain=[srft,scale(by=max,per=layer)];quantizer=sym(bits=4,group=4,scale=f32)", "exact"),
    ("order=half_split;chain=[centre(by=mean,per=head),rfft];quantizer=asym(bits=2,group=4,scale=f16)", "chain=[];quantizer=f16"),
    ("exact", "chain=[centre(by=mean,per=layer),scale(by=max,per=head)];quantizer=asym(bits=5,group=row,scale=f16)"),
    ("exact", "chain=[signs(per=layer),rfft];quantizer=sym(bits=4,group=row,scale=f32)"),
    ("chain=[srft];quantizer=exact", "chain=[signs,hadamard];quantizer=sym(bits=3)"),
    ("order=half_split;chain=[unrope,hadamard(form=blocks),rffthash(per=head)];quantizer=sym(bits=4,group=row,scale=f32)", "chain=[rffthash];quantizer=sym(bits=3)"),
    ("order=native;chain=[dht,scale(by=max,per=head)];quantizer=asym(bits=4,group=row,scale=f32)", "chain=[sdct];quantizer=sym(bits=4)"),
    ("chain=[bdr(block=4),dct];quantizer=sym(bits=4,group=4)", "chain=[hadamard(form=kronecker)];quantizer=asym(bits=3)"),
    ("chain=[hdhd];quantizer=sym(bits=4)", "chain=[sdht];quantizer=sym(bits=5)"),
    ("chain=[bdr];quantizer=sym(bits=4)", "exact"),
    ("chain=[srft];quantizer=sym(bits=4,group=row,scale=f32,rounding=half_even,levels=full,clip=0.90000000000000002,search=false)", "exact"),
    ("chain=[srht];quantizer=asym(bits=3,group=4,scale=bf16,rounding=half_up,zero=minimum,clip=0.94999999999999996,search=false)", "exact"),
    ("exact", "chain=[srht];quantizer=asym(bits=4,group=row,scale=f16,rounding=half_even,zero=integer,clip=1,search=false)"),
    ("exact", "chain=[srft];quantizer=sym(bits=4,group=4,scale=e4m3,rounding=half_away,levels=symmetric,clip=1,search=true)"),
    ("chain=[srht];quantizer=lloyd_max(bits=3)", "chain=[srht];quantizer=lloyd_max(bits=5,norm=f32,fit=gaussian)"),
    ("order=native;chain=[signs(per=layer),rfft];quantizer=kivi(bits=4,group=8,scale=f16)", "exact"),
    ("chain=[unrope];quantizer=kivi(bits=3,group=4,scale=f32)", "chain=[];quantizer=kivi(bits=2,group=4,scale=f16)"),
    ("order=half_split;window=5;sink=2;chain=[unrope,centre(by=bias),srht];quantizer=sym(bits=3,group=4,scale=f16)", "exact"),
    ("order=native;window=7;chain=[srft];quantizer=kivi(bits=3,group=4,scale=f32)", "order=half_split;sink=3;chain=[];quantizer=asym(bits=3)"),
    ("exact", "order=half_split;window=1;chain=[centre(by=mean,per=head)];quantizer=kivi(bits=2,group=4)"),
    ("order=half_split;window=19;sink=1;chain=[];quantizer=kivi(bits=2,group=4)", "order=half_split;window=99;chain=[];quantizer=sym(bits=2)"),
    ("exact", "exact"),
)


def naive_cache(codecs, capture, f, layer, number, seed):
    """place -> stream -> [document, token, head, d]: each block coded by the loops."""
    g, pos, ev, cal, known = f["layer_%02d" % number], f["pos"][()], capture.evaluation, capture.calibration, {}

    def cache(place):
        for s, c in codecs.items():
            if (s, place if keeps_rows(c) else None) in known:
                continue
            x = g[s][()].astype(F32)
            coded = [t for t in range(x.shape[1]) if t >= c.sink and place - t >= c.window] if keeps_rows(c) else range(x.shape[1])  # without, a document is coded whole
            heads = [naive_chain(c, x[ev][:, coded, h], x[cal].transpose(2, 0, 1, 3), pos[ev][:, coded], pos[cal], g["k_bias"][h] if "k_bias" in g else None, layer.rope, h, number, seed, s)
                     for h in range(layer.n_heads)]
            rows = known[s, place if keeps_rows(c) else None] = x[ev].astype(F64)
            rows[:, coded] = np.stack(heads, axis=2)
        return {s: known[s, place if keeps_rows(c) else None] for s, c in codecs.items()}
    return cache


def synthetic_results(path, capture_paths):
    """A results file made by the loops above."""
    rows, metrics, sources = [], [], []
    for capture_path in capture_paths:
        capture = Capture(capture_path)
        sources.append(capture)
        with h5py.File(capture_path, "r") as f:
            for number in capture.layers:
                layer = Layer(capture, number, facts_only=True)
                for point, texts in enumerate(SELFTEST_CODECS):
                    codecs = {s: c for s, c in zip(STREAMS, map(parse_codec, texts)) if c is not None}
                    seeded = any(map(is_seeded, codecs.values()))
                    skipped = any(refusal(c, layer, s) for s, c in codecs.items())
                    for seed in range(2 if seeded else 1):
                        bits = [bits_per_value(c, s, f["pos"].shape[1], layer.dim, layer.n_heads) for s, c in codecs.items() if not skipped]
                        nothing = skipped or not codecs
                        payload, side = (np.nan, np.nan) if nothing else np.mean(bits, 0)
                        rows.append((capture.model, number, "arm%02d" % point, "", "".join(codecs) or "none", texts[0], texts[1], seeded, seed,
                                     "SKIPPED" if skipped else "OK", 0 if skipped else 4, 0 if skipped else layer.n_heads, payload, side, payload + side))
                        values = {} if nothing else naive_metrics(f, number, capture.evaluation, naive_cache(codecs, capture, f, layer, number, seed))
                        metrics.append([values.get(m, np.full((4, 2), np.nan)) for m in METRICS])
    text = h5py.string_dtype()
    with h5py.File(path, "w") as f:
        for name, value in (("schema", "gyre-results"), ("campaign_seed", 0), ("n_seeds", 2), ("missing_cells", 0)):
            f.attrs[name] = value
        names = ("source", "layer", "arm", "point", "streams", "codec_k", "codec_v", "seeded", "seed", "status", "n_documents", "n_heads", "payload_bits",
                 "side_bits", "total_bits")
        for name, column in zip(names, zip(*rows)):
            f.create_dataset("cells/" + name, data=list(column), dtype=text if isinstance(column[0], str) else None)
        for i, name in enumerate(METRICS):
            f["metrics/" + name] = np.array([m[i] for m in metrics])
        f.create_dataset("source", data=[c.model for c in sources], dtype=text)
        f.create_dataset("sources/model_sha256", data=[c.model_sha256 for c in sources], dtype=text)
        for name, column in (("document_name", "evaluation"), ("calibration_name", "calibration")):
            f.create_dataset("sources/" + name, data=[[c.documents[i] for i in getattr(c, column)] for c in sources], dtype=text)
        f["sources/n_documents"] = [len(c.evaluation) for c in sources]
        f["sources/n_calibration"] = [len(c.calibration) for c in sources]


def damages(results_path):
    """(what, function on the open file): each must make exactly one cell fail."""
    with h5py.File(results_path, "r") as f:
        ok = [i for i, (s, t) in enumerate(zip(f["cells/status"].asstr()[()], f["cells/streams"].asstr()[()])) if s == "OK" and t == "k"]
    cell = ok[1]

    def scale(name, factor):
        def do(f):
            f["metrics/" + name][cell] = f["metrics/" + name][cell] * factor
        return do

    def one_unit(f):
        f["metrics/nmse"][cell, 0, 1] *= 1 + 1e-4

    def exchange(f):
        f["metrics/softmax_kl"][cell] = f["metrics/softmax_kl"][cell][::-1]

    def put(name, value):
        def do(f):
            f["cells/" + name][cell] = value
        return do

    def flip(f):
        f["metrics/flip"][cell] = f["metrics/flip"][cell] + 0.006

    def nan(f):
        f["metrics/logit_error"][cell, 0, 0] = np.nan

    return [("nmse of a unit", one_unit), ("logit_error", scale("logit_error", 1 + 2e-4)), ("softmax_kl", scale("softmax_kl", 1 - 2e-3)), ("flip", flip),
            ("output_error", scale("output_error", 1 + 2e-3)), ("documents exchanged", exchange), ("NaN", nan), ("payload_bits", put("payload_bits", 4.0000001)),
            ("status", put("status", "SKIPPED")), ("seed", put("seed", 1)), ("codec", put("codec_k", "chain=[mystery];quantizer=sym(bits=4)"))]


LEARNED_CODECS = (
    ("k", "chain=[unrope,kronecker(form=invertible,learn=true)];quantizer=sym(bits=3);fit=objective=logit();optimiser=adam(rate=0.01),steps=1,tokens=13,leak=false"),
    ("k", "chain=[srft,expm(per=head),scale(learn=true,per=head)];quantizer=asym(bits=3,learn=true);fit=objective=mse();optimiser=sgd()"),
    ("v", "chain=[cayley];quantizer=sym(bits=3,group=4);fit=objective=attention()"),
    ("v", "chain=[scale(learn=true),givens(learn=true)];quantizer=sym(bits=3,group=4);fit=objective=absmax()"),
    ("k", "chain=[srft];quantizer=sym(bits=3);fit=objective=softmax_kl();optimiser=adam(),draws=3,tokens=all"),
)


def learned_results(path, capture):
    """A results file of fits with what the twin itself computes: for the damages, and nothing else."""
    capture.use_default_split(True)
    layer, text, random = Layer(capture, 0), h5py.string_dtype(), np.random.RandomState(3)
    cells, fits, parameters, points, metrics = [], [], [], [], []
    for cell, (stream, words_) in enumerate(LEARNED_CODECS):
        codec = parse_codec(words_)
        pooled, count, freedom = expected(codec, layer.dim)
        heads = [0] if pooled else list(range(layer.n_heads))
        theta = [np.append(0.3 * random.randn(count - 1), 0.9).astype(F32) if count else np.empty(0, F32) for _ in heads]

        def judge(head, draw=0, found=theta, begun=None):
            codec_now = codec._replace(found=begun or tuple(Found(draw, t.tobytes()) for t in found))
            return Judge(codec_now, layer, stream, 0, 0, slice(None) if pooled else slice(head, head + 1))
        values = [judge(0, draw).value(True) for draw in range(codec.fit.draws)]
        chosen = int(np.argmin(values))
        for head, t in zip(heads, theta):
            begun = tuple(start_found(layer, codec, stream, 0, 0, h, 0) for h in heads)
            ends = [judge(head, chosen).value(True), judge(head, chosen).value(False)]
            starts = [judge(head, begun=begun).value(c) for c in (True, False)] if codec.fit.draws == 1 else [values[0], judge(0, 0).value(False)]
            curve = [(i, v, 0.0) for i, v in enumerate(values)] if codec.fit.draws > 1 else []
            fits.append((cell, stream, pooled, head, chosen, 0, 1, len(t), freedom) + tuple(starts) + tuple(ends) + (sum(map(len, parameters)), len(points), len(curve)))
            parameters.append(t)
            points += curve
        codec = codec._replace(found=tuple(Found(chosen, t.tobytes()) for t in theta))
        answer = next(compute_group(layer, {stream: codec}, 0, [{stream: codec.quantizer}], 0))
        cells.append((capture.model, 0, "arm%d" % cell, "", stream, words_ if stream == "k" else "exact", words_ if stream == "v" else "exact", True, 0, "OK",
                      len(capture.evaluation), layer.n_heads) + tuple(answer.bits))
        metrics.append([answer.values.get(m, np.full((len(capture.evaluation), 2), np.nan)) for m in METRICS])
    with h5py.File(path, "w") as f:
        for name, value in (("schema", "gyre-results"), ("campaign_seed", 0), ("n_seeds", 1), ("missing_cells", 0)):
            f.attrs[name] = value

        def table(group, names, rows):
            for name, column in zip(names.split(), zip(*rows)):
                f.create_dataset(group + name, data=list(column), dtype=text if isinstance(column[0], str) else None)
        table("cells/", "source layer arm point streams codec_k codec_v seeded seed status n_documents n_heads payload_bits side_bits total_bits", cells)
        table("fits/", "cell stream pooled head draw restart step n_parameters freedom start_calibration start_validation end_calibration end_validation parameters_offset points_offset "
              "n_points", fits)
        table("fits/", "point_step point_calibration point_validation", points)
        f["fits/parameters"] = np.concatenate(parameters)
        for i, name in enumerate(METRICS):
            f["metrics/" + name] = np.array([m[i] for m in metrics])
        f.create_dataset("source", data=[capture.model], dtype=text)
        f.create_dataset("sources/model_sha256", data=[capture.model_sha256], dtype=text)
        for name, count, part in (("calibration_name", "n_calibration", "calibration"), ("validation_name", "n_validation", "validation"), ("document_name", "n_documents", "evaluation")):
            chosen = [capture.documents[i] for i in getattr(capture, part)]
            f.create_dataset("sources/" + name, data=[chosen], dtype=text)
            f["sources/" + count] = [len(chosen)]


def learned_damages():
    """(what, function on the open file, what fails: a part of its text, how many)."""
    def put(name, place, change):
        def do(f):
            f["fits/" + name][place] = change(f["fits/" + name][place])
        return do
    return [("end on calibration rows", put("end_calibration", 0, lambda v: v * 1.0003), 1), ("end on validation rows", put("end_validation", 1, lambda v: v * 0.9997), 1),
            ("start", put("start_calibration", 3, lambda v: v * 1.0003), 1), ("head", put("head", 2, lambda v: 0), 1), ("pooled", put("pooled", 0, lambda v: 0), 1),
            ("draw", put("draw", -1, lambda v: (v + 1) % 3), 2), ("value of a draw", put("point_calibration", 1, lambda v: v * 1.0003), 1),
            ("freedom", put("freedom", 3, lambda v: v + 1), 1), ("parameter", put("parameters", 1, lambda v: v + F32(0.1)), 2),
            ("clip ratio", lambda f: put("parameters", int(f["fits/parameters_offset"][2]) - 1, lambda v: v * F32(0.9))(f), 2)]


def selftest_learned(expect):
    """Facts of the matrices, the objectives as loops, wrong fits."""
    random = np.random.RandomState(5)
    for d in (4, 8):
        a = skew_below(d, random.randn(d * (d - 1) // 2))
        series, term = np.eye(d), np.eye(d)
        for k in range(1, 80):
            term = term @ a / k
            series = series + term
        expect(a[1, 0] == -a[0, 1] and np.allclose(exponential(a), series, atol=1e-12), "exp of a skew matrix is its series at d = %d" % d)
        expect(np.allclose(cayley(a) @ (np.eye(d) - a), np.eye(d) + a, atol=1e-12), "(I - A)^-1 (I + A) commutes at d = %d" % d)
        m = random.randn(d, d)
        r, p = polar(m), polar(m).T @ m
        expect(np.allclose(r @ r.T, np.eye(d)) and np.allclose(p, p.T) and (np.linalg.eigvalsh(p) > 0).all(), "R of the polar factors leaves a positive one at d = %d" % d)
        rows = random.randn(50, d) * np.exp(random.randn(d))
        axes = pca_matrix(rows)
        moments = axes @ np.cov(rows.T, bias=True) @ axes.T
        expect(np.abs(moments - np.diag(np.diagonal(moments))).max() < 1e-12 and (np.diff(np.diagonal(moments)) < 0).all(), "pca leaves a falling diagonal at d = %d" % d)
        e = parse_element("wush(damping=1e-6)")[0]
        s_k, s_q = rows.T @ rows / 50, m @ m.T + np.eye(d)
        there, back = wush_matrices(e, s_k, s_q)
        s_k, s_q = (s + 1e-6 * np.trace(s) / d * np.eye(d) for s in (s_k, s_q))
        both = there @ s_k @ there.T
        expect(np.allclose(there @ back, np.eye(d)) and np.allclose(both, back.T @ s_q @ back) and np.ptp(np.diagonal(both)) < 1e-9 * np.trace(both), "wush balances and is flat at d = %d" % d)
    for text, d, rank in (("householder(k=2,learn=true)", 4, 5), ("kronecker(learn=true)", 8, 7), ("kronecker(learn=true,form=invertible)", 8, 19), ("expm", 4, 6), ("stiefel", 4, 6),
                          ("butterfly(learn=true)", 8, 12), ("scale(learn=true)", 4, 3)):
        e = parse_element(text)[0]
        kind, draw = LEARNED[e.name], Draw(0, 0, 0, ALL_HEADS, 0, 0)
        theta, step = random.randn(kind.count(d, e)), 1e-5 * np.eye(kind.count(d, e))
        jacobian = [(kind.matrix(d, e, theta + s, draw) - kind.matrix(d, e, theta - s, draw)).reshape(-1) / 2e-5 for s in step]
        own = np.linalg.matrix_rank(np.array(jacobian), tol=1e-3) if e.name != "scale" else rank  # binary32 hides its derivative; one factor of all is no freedom
        expect(own == rank == kind.freedom(d, e), "%s has %d degrees of freedom at d = %d (%d)" % (text, rank, d, own))

    with tempfile.TemporaryDirectory() as folder:
        path, results = os.path.join(folder, "learned.h5"), os.path.join(folder, "results.h5")
        synthetic_capture(path, "learned", "neox", 16, with_bias=False, window=9, n_documents=12)
        capture = Capture(path)
        learned_results(results, capture)
        expect([len(part) for part in (capture.calibration, capture.validation, capture.evaluation)] == [2, 1, 9], "the last of three calibration documents validates")
        naive_objectives(Layer(capture, 0), expect)
        content = open(results, "rb").read()
        tally = check(results, [path], workers=1, quiet=True)
        expect(not tally.failures, "the twin agrees with itself: %s" % tally.failures)
        for what, damage, count in learned_damages():
            with open(results, "wb") as out:
                out.write(content)
            with h5py.File(results, "r+") as f:
                damage(f)
            tally = check(results, [path], workers=1, quiet=True)
            expect(len(tally.failures) == count, "a wrong %s fails (%d of %d): %s" % (what, len(tally.failures), count, tally.failures))


def naive_objectives(layer, expect):
    """Objectives as loops over rows, queries and keys, on rows rounded to integers without any chain."""
    part, quantizer = layer.parts["calibration"], "sym(bits=3,group=4)"

    def own(stream, objective, chain=""):
        codec = parse_codec("order=native;chain=[%s];quantizer=%s;fit=objective=%s" % (chain, quantizer, objective))
        return Judge(codec, layer, stream, 0, 0, slice(None)).value(True)
    shape = part.rows["k"].shape
    places = [(h, n, t) for h in range(shape[0]) for n in range(shape[1]) for t in range(shape[2])]
    error, x = {}, part.rows
    for s in STREAMS:
        error[s] = quantize(x[s], parse_quantizer(quantizer), s) - x[s]
    logit, weight, energy, absmax, pnorm, kurtosis = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    pairs, tokens = [0] * shape[0], shape[1] * shape[2]
    for h in range(shape[0]):
        q = [(n, part.q[n, i, j], part.query_pos[n, i]) for n in range(shape[1]) for j in np.flatnonzero(part.owner == h) for i in range(part.q.shape[1])]
        cost = 0.0
        for n, query, at in q:
            seen = [t for t in range(shape[2]) if part.pos[n, t] <= at and at - part.pos[n, t] < layer.window]
            pairs[h] += len(seen)
            cost += len(seen) * sum((layer.score_scale * query.dot(error["k"][h, m, t])) ** 2 for m in range(shape[1]) for t in range(shape[2]))
            p = np.exp(layer.score_scale * np.array([query.dot(x["k"][h, n, t]) for t in seen]))
            p /= p.sum()
            weight += sum(p[i] ** 2 * (error["v"][h, n, t] ** 2).sum() for i, t in enumerate(seen))
            energy += sum(p[i] ** 2 * (x["v"][h, n, t] ** 2).sum() for i, t in enumerate(seen))
        logit += cost / pairs[h] / tokens / shape[0]
    unit = sum((x["k"][p] ** 2).sum() for p in places) / len(places)
    for p in places:
        groups = np.abs(x["k"][p]).reshape(-1, 4)
        absmax += sum(g.max() ** 2 * 4 / unit for g in groups) / len(places)
        pnorm += sum((g ** 8).sum() ** 0.25 * 4 / unit for g in groups) / len(places)
        kurtosis += shape[3] * (x["k"][p] ** 4).sum() / (x["k"][p] ** 2).sum() ** 2 / len(places)
    squared = sum((error["k"][p] ** 2).sum() for p in places) / len(places) / unit
    for what, stream, value in (("mse", "k", squared), ("logit", "k", logit), ("attention", "v", weight / energy), ("absmax", "k", absmax), ("pnorm(p=8)", "k", pnorm), ("kurtosis", "k", kurtosis)):
        expect(abs(own(stream, what) / value - 1) < 1e-9, "%s as loops: %g, %g" % (what, own(stream, what), value))


def selftest():
    passed, failed = 0, []

    def expect(ok, what):
        nonlocal passed
        passed += bool(ok)
        if not ok:
            failed.append(what)
            print("FAIL " + what)

    for counter, key, known in (([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
                                ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
                                ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], "d16cfe09 94fdcceb 5001e420 24126ea1")):
        expect(" ".join("%08x" % w for w in philox4x32([counter], key)[0]) == known, "Philox known answer " + known)
    first = philox4x32([[0, 0, 65535, 65536]], (0, 0))[0]
    expect(all((signs(40, Draw(0, 0, 0, ALL_HEADS, 0, 0))[i] < 0) == bool(int(first[i // 32]) >> (i % 32) & 1) for i in range(40)), "signs are the words' bits, lowest first")
    expect(abs(signs(1 << 16, Draw(7, 3, 2, 1, 1, 1)).mean()) < 0.02, "signs are balanced")

    draw = Draw(5, 1, 2, ALL_HEADS, 3, 0)
    expect(np.array_equal(words(7, PURPOSE_SIGNS, Draw(0, 0, 0, ALL_HEADS, 0, 0))[:4], first), "the first words of a stream are its first block")
    expect(abs(normals(1 << 16, draw).var() - 1) < 0.02 and sorted(shuffled(97, draw)) == list(range(97)), "normals and permutations are such")
    even = (2, 8, 12, 20, 64, 80, 96, 112)
    taken = {"hadamard": (2, 8, 64), "hadamard(form=kronecker)": (2, 8, 12, 20, 64, 80, 96), "hadamard(form=blocks)": even, "bdr(block=4)": (8, 12, 20, 64, 80, 96, 112),
             "bdr(block=12)": (), "bdr": (64, 80, 96, 112), "rfft": (2, 3, 8, 12, 20, 63, 64, 80, 96, 112), "rffthash": even, "kronecker": (8, 12, 20, 63, 64, 80, 96, 112),
             "kronecker(a=4)": (8, 12, 20, 64, 80, 96, 112), "householder(k=3)": (3, 8, 12, 20, 63, 64, 80, 96, 112), "butterfly": (2, 8, 64),
             "butterfly(angles=hadamard)": (2, 8, 64), "givens": even, "rotor3": (3, 8, 12, 20, 63, 64, 80, 96, 112), "isoclinic4": (8, 12, 20, 64, 80, 96, 112),
             "isoclinic4(form=full)": (8, 12, 20, 64, 80, 96, 112)}
    taken["householder"] = taken["haar"] = taken["permutation"] = taken["dht"] = taken["dct"] = taken["rfft"]
    expect({parse_element(text)[0].name for text in taken} == set(FIXED) | set(DRAWN), "every matrix is looked at")
    for text, dimensions in taken.items():
        e = parse_element(text)[0]
        for d in (2, 3, 8, 12, 20, 63, 64, 80, 96, 112):
            takes = e.name not in TAKES or bool(TAKES[e.name](d, e))
            expect(takes == (d in dimensions), "%s at d = %d is taken or refused as the page says" % (text, d))
            if takes:
                m = FIXED[e.name](d, e) if e.name in FIXED else DRAWN[e.name](d, e, draw)
                expect(m.shape == (d, d) and np.abs(m @ m.T - np.eye(d)).max() < 1e-13, "%s is orthogonal at d = %d" % (text, d))
                if e.name in ("givens", "butterfly", "rotor3", "isoclinic4"):
                    expect(abs(np.linalg.det(m) - 1) < 1e-12, "%s is a rotation at d = %d" % (text, d))
    for d in (2, 3, 8, 12, 20, 63, 64, 80, 96, 112):
        x = np.random.RandomState(d).randn(d)
        y, h = np.fft.fft(x) / np.sqrt(d), (d - 1) // 2
        packed = np.concatenate([[y[0].real], np.sqrt(2) * y[1:h + 1].real, [y[d // 2].real] if d % 2 == 0 else [], np.sqrt(2) * y[1:h + 1].imag])
        expect(np.allclose(rfft_matrix(d) @ x, packed, atol=1e-13), "rfft is the packed transform at d = %d" % d)
        expect(np.allclose(dht_matrix(d) @ x, y.real - y.imag, atol=1e-13), "dht is real minus imaginary part at d = %d" % d)
    for p, row in ((12, "-+-+---+++-+"), (20, "-+-++----+-+-++++--+")):
        m = paley(p)
        expect(np.array_equal(m @ m.T, p * np.eye(p)) and np.array_equal(m + m.T, 2 * np.eye(p)) and "".join("+-"[int(v < 0)] for v in m[1]) == row, "P_%d is the page's" % p)
    g = normals(144, draw).reshape(12, 12)
    r = positive_q(g).T @ g
    expect(np.abs(np.tril(r, -1)).max() < 1e-13 and (np.diagonal(r) > 0).all(), "G = Q R with a positive diagonal")
    h = householder_matrix(12, 3, draw)
    expect(np.linalg.matrix_rank(np.eye(12) - h) == 3 and abs(np.linalg.det(h) + 1) < 1e-12, "three reflectors leave nine dimensions and turn the sign")
    expect(np.allclose(np.abs(butterfly_matrix(16, "hadamard", draw)), 0.25), "the butterfly at pi/4 is flat")
    q, v = quaternion_matrix([0, 1, 0, 0]), np.array([0, 0, 1, 0])
    expect(np.array_equal(q @ v, [0, 0, 0, 1]) and np.array_equal(quaternion_matrix([0, 1, 0, 0], right=True) @ v, [0, 0, 0, -1]), "i j = k and j i = -k")
    expect(list(zigzag([3, 8, 1, 8, 5, 2, 7, 0], 4)) == [1, 4, 0, 7, 3, 6, 5, 2], "channels are dealt in zigzag")

    selftest_learned(expect)
    rope = Rope("neox", 8, 1e4, 1.0, 0.0, 1.0, None)
    x, pos = np.random.RandomState(1).randn(2, 3, 8), np.array([[0, 1, 383], [5, 6, 70000]])
    turned = rotate(x, rope_tables(rope, pos), rope_pairs(rope, "native"), 1)
    expect(np.allclose(rotate(turned, rope_tables(rope, pos), rope_pairs(rope, "native"), -1), x, atol=1e-14) and np.array_equal(turned[0, 0], x[0, 0]),
           "unrope is undone, and nothing at position 0")

    rows = np.random.RandomState(2).randn(200, 64)
    rows[0] = 0
    for text in ("sym(bits=%d,group=%s,scale=%s)", "asym(bits=%d,group=%s,scale=%s)"):
        for bits in range(2, 9):
            for group in ("row", "16"):
                for scale in ("f32", "f16"):
                    q = parse_quantizer(text % (bits, group, scale))
                    g = rows.reshape(200, -1, q.group or 64)
                    step = np.abs(g).max(-1) / (2 ** (bits - 1) - 1) if q.name == "sym" else (g.max(-1) - g.min(-1)) / (2 ** bits - 1)
                    error = np.abs(quantize(rows, q, "k").reshape(g.shape) - g).max(-1)
                    room = np.abs(g).max(-1) * (2.0 ** -9 if scale == "f16" else 2.0 ** -22)  # what rounding the scale moves the ends by
                    expect((error <= step / 2 + room).all() and not error[0].any(), "error of %s is at most half a step" % (q,))
    expect(np.abs(quantize(rows, parse_quantizer("f16"), "k") - rows).max() < 2e-3 and np.array_equal(quantize(rows, parse_quantizer("exact"), "k"), rows.astype(F32)), "f16, exact")
    for text in ("mxfp4", "nvfp4(tensor=none)", "q4_0", "bf16", "sym(bits=4,group=16,search=true,scale=e8m0)", "sym(bits=8,levels=full,clip=0.8)",
                 "asym(bits=4,group=16,clip=0.9,scale=e4m3)", "asym(bits=2,zero=integer,search=true)", "asym(bits=3,zero=integer,rounding=half_away,group=8,scale=e8m0)"):
        q = parse_quantizer(text)
        width = BLOCKS.get(q.name, (q.group or 64,))[0]
        naive = np.array([np.concatenate([naive_group(list(r[i:i + width]), q) for i in range(0, 64, width)]) for r in rows[:40].astype(F32)])
        expect(np.array_equal(quantize(rows[:40], q, "k"), naive), "%s value by value" % text)
    half = quantize(np.array([[7.0, 0.5, 1.5, 2.5, -0.5, -1.5]]), parse_quantizer("sym(bits=4)"), "k")
    expect(np.array_equal(half, [[7, 0, 2, 2, 0, -2]]), "ties go to the even code")
    for text, size in (("sym(bits=3)", 28), ("sym(bits=4,group=32)", 40), ("asym(bits=4,scale=f16)", 36), ("f16", 128), ("exact", 256),
                       ("sym(bits=4,group=16,scale=e4m3)", 36), ("asym(bits=3,zero=integer)", 29), ("mxfp4", 34), ("nvfp4(tensor=none)", 36), ("q4_0", 36),
                       ("q5_0", 44), ("q8_0", 68), ("fp8", 68), ("bf16", 128), ("lloyd_max(bits=4)", 34), ("lloyd_max(bits=1,norm=f32)", 12)):
        q = parse_quantizer(text)
        expect(KINDS[q.name].payload(q, "k", 1, 64) * 64 == 8 * size, "%s takes %d bytes at d = 64" % (text, size))
    expect(np.abs(normal_codebook(4)[0][8:] - [0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326]).max() < 6e-5, "Max's sixteen levels")
    coded = quantize(rows, parse_quantizer("lloyd_max(bits=4)"), "k")
    expect(abs(((coded - rows) ** 2).sum() / (rows ** 2).sum() / 0.0092 - 1) < 0.04 and not coded[0].any(), "the error of lloyd_max on normal rows, and zeros")
    q = parse_quantizer("kivi")
    expect([KINDS["kivi"].payload(q, stream, 64, 128) for stream in STREAMS] == [3, 3] and KINDS["kivi"].payload(q, "k", 65, 128) * 65 == 64 * 3 + 16,
           "kivi takes 3 bits, 16 beyond the groups")
    turned = quantize(np.swapaxes(rows[:64].reshape(2, 32, 64), 1, 2), parse_quantizer("asym(bits=2,scale=f16)"), "v")
    expect(np.array_equal(quantize(rows[:70], q, "k"), np.concatenate([np.swapaxes(turned, 1, 2).reshape(64, 64), rows[64:70].astype(F16)])),
           "kivi is asym of the channels of 32 tokens, and binary16 beyond")
    kept = parse_codec("order=half_split;window=5;sink=2;chain=[];quantizer=sym(bits=4)")
    expect(bits_per_value(kept, "k", 20, 64, 2)[0] == (7 * 16 + 13 * 4.5) / 20 and bits_per_value(kept, "k", 7, 64, 2)[0] == 16, "rows that stay exact take 16 bits a value")
    for text in ("", "chain=[srht", "chain=[srht];quantizer=sym(bits=9)", "chain=[srht(x=1)];quantizer=exact", "chain=[nosuch];quantizer=exact"):
        try:
            parse_codec(text)
            expect(False, "'%s' is refused" % text)
        except Unusable:
            expect(True, "")

    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, n) for n in ("a.h5", "b.h5", "c.h5", "results.h5")]
        synthetic_capture(paths[0], "interleaved", "normal", 8, with_bias=False, window=9)
        synthetic_capture(paths[1], "halves", "neox", 16, with_bias=True)
        synthetic_capture(paths[2], "dozens", "neox", 12, with_bias=True)
        capture = Capture(paths[1])
        for answer in compute_group(Layer(capture, 0), {"k": parse_codec("chain=[srht];quantizer=exact")}, 0, [{"k": parse_quantizer("sym(bits=%d)" % b)} for b in (2, 3, 8)], 0):
            expect((answer.values["softmax_kl"] >= 0).all(), "KL is not negative")
        synthetic_results(paths[3], paths[:3])
        tally = check(paths[3], paths[:3], workers=1, quiet=True)
        for text in tally.failures:
            print(text)
        expect(not tally.failures and tally.passed > 50, "the loops and the twin agree on every cell")
        content = open(paths[3], "rb").read()
        for what, damage in damages(paths[3]):
            with open(paths[3], "wb") as out:
                out.write(content)
            with h5py.File(paths[3], "r+") as f:
                damage(f)
            tally = check(paths[3], paths[:3], workers=1, quiet=True)
            expect(len(tally.failures) == 1, "a wrong %s fails one cell (%d do)" % (what, len(tally.failures)))
    print("%d passed, %d failed" % (passed, len(failed)))
    return 1 if failed else 0
