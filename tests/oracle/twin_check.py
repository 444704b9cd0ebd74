"""A results file against the captures, cell by cell."""
import collections
import contextlib
import hashlib
import multiprocessing
import time

import h5py
import numpy as np

from twin_captures import Capture, Layer, attribute
from twin_chains import compute_group, second_look
from twin_codecs import is_seeded, keeps_rows, learns, parse_codec, refusal
from twin_common import METRICS, STREAMS, Unusable
from twin_fits import attach, has_fits, judge_fits, off, read_records
from twin_metrics import Budget, compare

# ---- workers ----

_captures, _layer = {}, (None, None)


def _start(captures):
    _captures.update(captures)


def _work(task, judged=True):
    """task: (model, layer, campaign seed, [(seed, chains, [(cell, quantizers)])]) to [(cell, Answer)]."""
    global _layer
    model, number, campaign_seed, groups = task
    if _layer[0] != (model, number):
        _layer = (model, number), Layer(_captures[model], number)
    out = []
    for seed, chains, members in groups:
        answers = compute_group(_layer[1], chains, seed, [q for _, q in members], campaign_seed, judged)
        out.extend((cell, answer) for (cell, _), answer in zip(members, answers))
    return out


def _look_again(task):
    """task: (model, layer, campaign seed, seed, codecs, cell, Answer, stated) to (cell, Answer, roundings turned over)."""
    global _layer
    model, number, campaign_seed, seed, codecs, cell, answer, stated = task
    if _layer[0] != (model, number):
        _layer = (model, number), Layer(_captures[model], number)
    return cell, answer, second_look(_layer[1], codecs, seed, campaign_seed, answer, stated)


def _judge(task):
    """task: (model, layer, campaign seed, seed, stream, codec, records) to [(record, [(what, stated, own)], fault or None)]."""
    global _layer
    model, number, campaign_seed, seed, stream, codec, records = task
    if _layer[0] != (model, number):
        _layer = (model, number), Layer(_captures[model], number)
    return list(judge_fits(_layer[1], codec, stream, seed, campaign_seed, records))


# ---- check ----

class Tally:
    """Passes and failures, and the worst deviation per arm and metric."""

    def __init__(self):
        self.passed, self.failures, self.worst = 0, [], {}

    def note(self, faults, where):
        if faults:
            self.failures.append("%s: %s" % (where, "; ".join(faults)))
        else:
            self.passed += 1

    def deviation(self, arm, metric, share, deviation, where):
        old = self.worst.get((metric, arm))
        count = 1 if old is None else old[0] + 1
        self.worst[metric, arm] = (count, share, deviation, where) if old is None or not share <= old[1] else (count,) + old[1:]

    def show(self, limit=40):
        print("%-13s %-28s %6s  %-13s %-10s %s" % ("metric", "arm", "cells", "worst/budget", "deviation", "where"))
        for (metric, arm), (count, share, deviation, where) in sorted(self.worst.items()):
            print("%-13s %-28s %6d  %-13.3g %-10.3g %s" % (metric, arm, count, share, deviation, where))
        for text in self.failures[:limit]:
            print("FAIL " + text)
        if len(self.failures) > limit:
            print("FAIL ... and %d more" % (len(self.failures) - limit))
        print("%d passed, %d failed" % (self.passed, len(self.failures)))


Cell = collections.namedtuple("Cell", "index source layer arm point streams codec_k codec_v seeded seed status n_documents n_heads bits")


class Results:
    """The columns of a results file that the twin needs."""

    def __init__(self, path):
        with h5py.File(path, "r") as f:
            if attribute(f, "schema") != "gyre-results":
                raise Unusable("%s is not a results file" % path)
            self.campaign_seed, self.n_seeds = int(f.attrs["campaign_seed"]), int(f.attrs["n_seeds"])
            self.missing = int(f.attrs["missing_cells"])
            c = f["cells"]

            def column(name):
                return list(c[name].asstr()[()]) if h5py.check_string_dtype(c[name].dtype) else c[name][()].tolist()
            texts = [column(n) for n in ("source", "layer", "arm", "point", "streams", "codec_k", "codec_v", "seeded", "seed", "status", "n_documents", "n_heads")]
            bits = list(zip(*(column(n) for n in ("payload_bits", "side_bits", "total_bits"))))
            self.cells = [Cell(i, *row) for i, row in enumerate(zip(*texts, bits))]
            self.metrics = {name: f["metrics"][name][()] for name in f["metrics"]}
            s = f["sources"]
            sha = s["model_sha256"].asstr()[()]
            self.sources = {}
            for i, name in enumerate(f["source"].asstr()[()]):
                self.sources[name] = (sha[i],) + tuple(list(s[part + "_name"].asstr()[i][:int(s[count][i])]) if count in s else [] for part, count in
                                                       (("calibration", "n_calibration"), ("validation", "n_validation"), ("document", "n_documents")))
            self.first = {}  # key -> the first cell that has it: whose fits are stored
            for i, key in enumerate(column("key") if "key" in c else range(len(self.cells))):
                self.first.setdefault(key, i)
            self.keys = column("key") if "key" in c else range(len(self.cells))
            self.others = {}  # digest -> Results whose fits others take
            self.records, self.record_faults = read_records(f) if "fits" in f else ({}, [])


def where(cell):
    return "cell %d (%s layer %d, %s %s seed %d)" % (cell.index, cell.source, cell.layer, cell.arm, cell.point, cell.seed)


def something_learns(results):
    """Does an arm learn? Then documents are held out to choose."""
    for text in {t for cell in results.cells for t in (cell.codec_k, cell.codec_v)}:
        try:
            if learns(parse_codec(text)):
                return True
        except (Unusable, ValueError):
            pass  # its cells fail
    return False


def check_sources(results, captures, split, tally):
    """Every source has its capture, with the documents that the page's split gives."""
    learned = something_learns(results)
    for name, (sha, *parts) in results.sources.items():
        faults = []
        capture = captures.get(name)
        if capture is None:
            faults.append("no capture given for this source")
        else:
            if capture.model_sha256 != sha:
                faults.append("the capture is of another model file")
            unknown = [d for part in parts for d in part if d not in capture.documents]
            capture.use_default_split(learned)
            if unknown:
                faults.append("documents that the capture has not: %s" % ", ".join(unknown))
            elif split == "file":
                capture.use_split(*parts)
                if len({d for part in parts for d in part}) < sum(map(len, parts)):
                    faults.append("calibration, validation and evaluation overlap")
            elif parts != [[capture.documents[i] for i in part] for part in (capture.calibration, capture.validation, capture.evaluation)]:
                faults.append("not the default split")
        tally.note(faults, "source " + name)


def taken(results, cell, stream, codec):
    """The rows of /fits of another results file that the codec takes."""
    digest, _, selector = codec.fitted.partition("#")
    other = results.others.get(digest)
    if other is None:
        raise Unusable("no results file %s was given" % digest)
    those = [c for c in other.cells if selector in (c.arm, "%s/%s" % (c.arm, c.point), other.keys[c.index]) and c.layer == cell.layer]
    if not those:
        raise Unusable("%s has no cell '%s' of this layer" % (digest, selector))
    those = [c for c in those if c.seed == (cell.seed if any(c.seeded for c in those) else 0)]
    return those and other.records.get((other.first[other.keys[those[0].index]], stream)) or []


def with_found(results, cell, stream, codec, layer, faults):
    """The codec with what its fits found."""
    records = results.records.get((results.first[results.keys[cell.index]], stream), [])
    if codec.fitted:
        if records:
            faults.append("fits of %s, where those of another run were taken" % stream)
        records = taken(results, cell, stream, codec)
        codec = codec._replace(fit=codec.fit._replace(draws=records[0].draw + 1 if records else 1))  # the text does not say how many there were
    elif not has_fits(codec):
        if records:
            faults.append("fits of %s, where nothing is learned or chosen" % stream)
        return codec
    codec, wrong = attach(codec, records, layer.dim, layer.n_heads)
    faults += wrong
    return codec


def plan_tasks(results, captures, cells, tally, seeds_per_task=8):
    """Checks what needs no numbers, and groups the OK cells into tasks."""
    facts, groups, wanted, fits = {}, collections.OrderedDict(), {}, []
    for cell in cells:
        faults = []
        try:
            codecs = {s: c for s, c in (("k", parse_codec(cell.codec_k)), ("v", parse_codec(cell.codec_v))) if c is not None}
            capture = captures.get(cell.source)
            if capture is None or cell.layer not in capture.layers:
                raise Unusable("no capture of this layer")
            if (cell.source, cell.layer) not in facts:
                facts[cell.source, cell.layer] = Layer(capture, cell.layer, facts_only=True)
        except (Unusable, ValueError) as problem:
            tally.note(["not understood: %s" % problem], where(cell))
            continue
        layer = facts[cell.source, cell.layer]
        refused = [r for r in (refusal(c, layer, s) for s, c in codecs.items()) if r]
        seeded = any(is_seeded(c) for c in codecs.values())
        if cell.streams != ("".join(s for s in STREAMS if s in codecs) or "none"):
            faults.append("streams '%s' do not fit the codecs" % cell.streams)
        if bool(cell.seeded) != seeded or (not seeded and cell.seed != 0) or cell.seed >= max(1, results.n_seeds):
            faults.append("seeded %d, seed %d do not fit the codecs" % (cell.seeded, cell.seed))
        if cell.status not in ("OK", "SKIPPED"):
            faults.append("status %s" % cell.status)
        elif cell.status == "SKIPPED" and not refused:
            faults.append("SKIPPED, but nothing refuses it")
        elif cell.status == "OK" and refused:
            faults.append("OK, but should be SKIPPED: " + refused[0])
        if cell.status != "OK" or faults:
            if any(np.isfinite(m[cell.index]).any() for m in results.metrics.values()) and cell.status != "OK":
                faults.append("has numbers")
            tally.note(faults, where(cell))
            continue
        try:
            codecs = {s: with_found(results, cell, s, c, layer, faults) for s, c in codecs.items()}
        except Unusable as problem:
            faults.append(str(problem))
        if faults:
            tally.note(faults, where(cell))
            continue
        wanted[cell.index] = cell
        fits += [(cell.source, cell.layer, results.campaign_seed, cell.seed, s, c, results.records[cell.index, s])
                 for s, c in codecs.items() if c.found and (cell.index, s) in results.records and not c.fitted]
        chains = {s: c._replace(quantizer=None) for s, c in codecs.items()}
        key = (cell.source, cell.layer, tuple(sorted(chains.items())))
        groups.setdefault(key, collections.OrderedDict()).setdefault(cell.seed, (chains, []))[1].append((cell.index, {s: c.quantizer for s, c in codecs.items()}))
    tasks = []
    for (source, number, _), by_seed in groups.items():
        work = [(seed, chains, members) for seed, (chains, members) in by_seed.items()]
        tasks += [(source, number, results.campaign_seed, work[i:i + seeds_per_task]) for i in range(0, len(work), seeds_per_task)]
    tasks.sort(key=lambda t: t[:2])
    fits.sort(key=lambda t: t[:2])
    return tasks, wanted, fits


class Verdict:
    """Faults of one cell; the deviations are (metric, share of the budget, deviation, where)."""

    def __init__(self):
        self.faults, self.deviations, self.in_attention_only = [], [], True

    def judge(self, metric, deviation, allowed, kind, place_of_cell):
        deviation, allowed = np.broadcast_arrays(np.atleast_1d(deviation), np.atleast_1d(allowed))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(deviation == 0, 0.0, deviation / allowed)
        share = np.where(np.isnan(share), np.inf, share)
        worst = np.unravel_index(share.argmax(), share.shape)
        place = "" if deviation.size == 1 else " document %d head %d" % worst
        label = metric + ("" if kind == "mean" or metric in Budget.unit else "/unit")
        self.deviations.append((label, share[worst], deviation[worst], place_of_cell + place))
        if not share[worst] <= 1:
            self.faults.append("%s%s: off by %.3g, allowed %.3g" % (metric, place, deviation[worst], allowed[worst]))
            self.in_attention_only &= np.isfinite(share[worst]) and metric != "bits" and metric not in Budget.unit

    def fault(self, text):
        self.faults.append(text)
        self.in_attention_only = False


def check_cell(results, cell, answer):
    verdict = Verdict()
    for stated, own in zip(cell.bits, answer.bits):
        if not (np.isnan(own) and np.isnan(stated)):
            verdict.judge("bits", abs(stated - own), Budget.bits * own, "mean", where(cell))
    for name, column in results.metrics.items():
        stated = column[cell.index]
        if name not in METRICS:
            verdict.fault("the twin knows no metric '%s'" % name)
        elif name not in answer.values:
            if not np.isnan(stated).all():
                verdict.fault("%s has numbers where it is not defined" % name)
        else:
            d, h = answer.values[name].shape
            if (cell.n_documents, cell.n_heads) != (d, h):
                verdict.fault("%d documents, %d heads; the twin has %d, %d" % (cell.n_documents, cell.n_heads, d, h))
                break
            outside = np.ones(stated.shape, bool)
            outside[:d, :h] = False
            if not np.isnan(stated[outside]).all():
                verdict.fault("%s has numbers beyond its documents and heads" % name)
            for kind, deviation, allowed in compare(name, stated[:d, :h], answer):
                verdict.judge(name, deviation, allowed, kind, where(cell))
    return verdict


def demo_codecs(has_bias):
    """(stream, codec without ordinals' aliases) of the demonstration, as text; every cell of it has to be there."""
    sym, deployed = "sym(bits=%d,group=row,scale=f32)", "sym(bits=%d,group=32,scale=f32)"
    plain = [("identity", sym), ("srht", sym), ("srft", sym), ("srft,scale(by=max)", deployed)]
    keys = plain + [("unrope,srht", sym)]
    if has_bias:
        keys += [("unrope,centre(by=bias)", sym), ("unrope,centre(by=bias),srht", sym)]
    for stream, chains in (("k", keys), ("v", plain)):
        for chain, quantizer in chains:
            for bits in (3, 4, 8):
                yield stream, parse_codec("order=half_split;chain=[%s];quantizer=%s" % (chain, quantizer % bits))


def check_demo(results, captures, tally):
    """The demonstration's cells are all there, whatever their arms are called. Two captures, one with a key bias; 32 seeds."""
    there = collections.Counter()
    for cell in results.cells:
        try:
            k, v = parse_codec(cell.codec_k), parse_codec(cell.codec_v)
        except (Unusable, ValueError):
            continue
        if cell.status == "OK":
            there[cell.source, cell.layer, k, v and v._replace(order=None), cell.seed] += 1
    tally.note([] if len(results.sources) >= 2 else ["%d sources, 2 expected" % len(results.sources)], "the demonstration")
    tally.note(["no metric " + m for m in METRICS if m not in results.metrics], "the demonstration's metrics")
    for name, capture in captures.items():
        for number in capture.layers:
            layer = Layer(capture, number, facts_only=True)
            lacking = []
            for stream, codec in demo_codecs(layer.bias is not None):
                for seed in range(32 if is_seeded(codec) else 1):
                    pair = (codec, None) if stream == "k" else (None, codec._replace(order=None))
                    if not there[(name, number) + pair + (seed,)]:
                        lacking.append("%s %s seed %d" % (stream, codec, seed))
            tally.note(["%d planned cells missing, the first: %s" % (len(lacking), lacking[0])] if lacking else [], "the demonstration on %s layer %d" % (name, number))


def note_fit(tally, cell, record, pairs, fault):
    """The objective of what was learned or chosen, and of every draw."""
    faults, place = [fault] if fault else [], "fit %d, %s head %d of %s" % (record.index, record.stream, record.head, where(cell))
    for what, stated, own, _ in pairs:
        share = off(stated, own)
        tally.deviation(cell.arm, "objective", share, abs(stated - own), place + " " + what)
        if not share <= 1:
            faults.append("%s %.8g, the twin has %.8g (off by %.3g of it)" % (what, stated, own, abs(stated - own) / abs(own)))
    tally.note(faults, place)


SECOND_LOOKS = 0.01 # of the cells: where more disagree, the cause is another


def second_task(results, captures, cell, answer):
    layer = Layer(captures[cell.source], cell.layer, facts_only=True)
    codecs = {s: with_found(results, cell, s, c, layer, []) for s, c in (("k", parse_codec(cell.codec_k)), ("v", parse_codec(cell.codec_v))) if c is not None}
    shape = answer.values["nmse"].shape
    stated = {m: column[cell.index][:shape[0], :shape[1]] for m, column in results.metrics.items()}
    return cell.source, cell.layer, results.campaign_seed, cell.seed, codecs, cell.index, answer, stated


def check(results_path, capture_paths, every=1, expect=None, split="default", workers=2, quiet=False, fitted=()):
    tally, start = Tally(), time.monotonic()
    results = Results(results_path)
    for path in fitted:
        with open(path, "rb") as f:
            results.others["sha256:" + hashlib.sha256(f.read()).hexdigest()] = Results(path)
    captures = {c.model: c for c in map(Capture, capture_paths)}
    tally.note(["%d planned cells are missing" % results.missing] if results.missing else ([] if results.cells else ["no cells"]), "the plan")
    check_sources(results, captures, split, tally)
    if expect == "demo":
        check_demo(results, captures, tally)
    cells = [c for c in results.cells if c.index % every == 0]
    tasks, wanted, fits = plan_tasks(results, captures, cells, tally)
    computed, again, turned, unsure, turned_fits = len(wanted), [], 0, 0, 0

    def record(cell, verdict):
        for deviation in verdict.deviations:
            tally.deviation(cell.arm, *deviation)
        tally.note(verdict.faults, where(cell))

    with contextlib.ExitStack() as stack:
        if workers > 1:
            spread = stack.enter_context(multiprocessing.Pool(workers, _start, (captures,))).imap_unordered
        else:
            spread = map
            _start(captures)
        for index, answer in (pair for part in spread(_work, tasks) for pair in part):
            cell = wanted.pop(index)
            verdict = check_cell(results, cell, answer)
            if verdict.faults and verdict.in_attention_only and not any(keeps_rows(c) for c in map(parse_codec, (cell.codec_k, cell.codec_v)) if c is not None):
                again.append((cell, answer, verdict))
            else:
                record(cell, verdict)
        if len(again) > max(8, SECOND_LOOKS * computed):  # no accident of rounding
            for cell, _, verdict in again:
                record(cell, verdict)
            again = []
        by_index = {cell.index: cell for cell, _, _ in again}
        again.sort(key=lambda a: (a[0].source, a[0].layer))
        for index, answer, count in spread(_look_again, [second_task(results, captures, cell, answer) for cell, answer, _ in again]):
            record(by_index[index], check_cell(results, by_index[index], answer))
            turned += count
        for found in spread(_judge, fits):
            for r, pairs, fault in found:
                note_fit(tally, results.cells[r.cell], r, pairs, fault)
                unsure += any(count for *_, count in pairs)
                turned_fits += sum(count for *_, count in pairs)
        if unsure > max(2, SECOND_LOOKS * sum(len(task[-1]) for task in fits)):  # as of cells
            tally.note(["%d fits meet the budget of their objective only with undecided roundings the other way" % unsure], "the fits")
    if results.records or results.record_faults:
        tally.note(results.record_faults, "the table of fits")
    tally.note(["%d cells were not computed" % len(wanted)] if wanted else [], "the twin")
    if not quiet:
        print("%d of %d cells, %d computed again, the objectives of %d fits, %.1f s, %d workers" %
              (len(cells), len(results.cells), computed, sum(len(task[-1]) for task in fits), time.monotonic() - start, workers))
        print("%d cells and %d fits had a second look; %d roundings that binary32 leaves undecided were taken the other way" % (len(again), unsure, turned + turned_fits))
        tally.show()
    return tally


def compute(results_path, capture_paths):
    """Computes the cells of a results file on one core and compares nothing: what bench/twin_ratio.py times."""
    results, tally = Results(results_path), Tally()
    captures = {c.model: c for c in map(Capture, capture_paths)}
    check_sources(results, captures, "file", tally)
    tasks, wanted, _ = plan_tasks(results, captures, results.cells, tally)
    if tally.failures:
        raise Unusable(tally.failures[0])
    _start(captures)
    done = sum(len(_work(task, judged=False)) for task in tasks)
    print("%d cells of %d computed" % (done, len(wanted)))
