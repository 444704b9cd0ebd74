#!/usr/bin/python3
"""Time of a coded arm's chunk over llama-perplexity's chunk: the same model, text, tokens, threads and build of llama.cpp.

    scripts/setup --peers; scripts/fetch-model smollm2-135m; cmake --preset release && cmake --build --preset release && bench/chunk_ratio.py [--rounds 3] [--chunks 2]

    peer  = (llama-perplexity of 3n chunks - of n) / 2n         whole commands, so that loading cancels
    arm   = wall_s of the arm's cell of n chunks / n            codecs on keys and values of every layer, all statistics of the next token; one run holds all arms, the exact run among them

llama-perplexity caches binary32 keys and values without flash attention, as Gyre's engine does; once more with its own q4_0 cache and flash attention, for what it costs to have the real thing. Rounds are
interleaved; a ratio is of one round, printed are the median of the rounds and their range. The machine must be idle: threads of llama.cpp wait by spinning, and a round (two minutes) takes many times that
beside other work.
"""
import argparse
import importlib.machinery
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time

import h5py

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ARMS = {
    "sym": "{both: {chain: [], quantizer: {sym: {bits: 4}}}}",
    "asym": "{both: {chain: [], quantizer: {asym: {bits: 4}}}}",
    "q4_0": "{both: {chain: [], quantizer: q4_0}}",
    "srft_sym": "{both: {chain: [srft], quantizer: {sym: {bits: 4}}}}",
}


def peer_module():
    loader = importlib.machinery.SourceFileLoader("peers_perplexity", os.path.join(ROOT, "scripts", "peers-perplexity"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def seconds(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


class Gyre:
    def __init__(self, a, folder, text):
        self.a, self.folder, self.text, self.count = a, folder, text, 0

    def run(self, arms, chunks):
        """Seconds of a chunk, by arm; into a fresh folder, so that nothing is found."""
        self.count += 1
        name = os.path.join(self.folder, f"run{self.count}")
        with open(name + ".yaml", "w", encoding="utf-8") as f:
            f.write(f"experiment: chunk_ratio\nsource: {{model: {self.a.model}, text: {self.text}, context: {self.a.context}, chunks: {chunks}, block: {chunks}}}\narms:\n"
                    + "".join(f"  {arm}: {codecs}\n" for arm, codecs in arms.items()) + "metrics: [nll, nll_change, token_kl, top_flip, p_rms]\n")
        p = subprocess.run([os.path.abspath(self.a.gyre), "run", name + ".yaml", "--out", name, "--jobs", str(self.a.threads), "--quiet"], cwd=ROOT, capture_output=True, text=True)
        if p.returncode != 0:
            sys.exit(f"gyre run: exit {p.returncode}: {p.stderr}")
        with h5py.File(os.path.join(name, "results.h5")) as f:
            return {arm: wall / chunks for arm, wall in zip(f["cells/arm"].asstr()[:], f["timing/wall_s"][:])}


def a_round(a, gyre, peer, text):
    """Seconds of a chunk, by name."""
    n, found = a.chunks, {}
    for kind, options in {"peer": {}, "peer q4_0": {"cache_type": "q4_0"}}.items():
        few, many = (seconds(lambda c=m: peer.run(peer.model_path(a.model), text, a.context, c, threads=a.threads, **options)) for m in (n, 3 * n))
        found[kind] = (many - few) / (2 * n)
    return found | gyre.run({"exact": "{}"} | ARMS, n)


def main():
    parser = argparse.ArgumentParser(description="Time of a coded arm's chunk over llama-perplexity's.")
    parser.add_argument("--gyre", default=os.path.join(ROOT, "build", "gyre"))
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=2, help="n; the peer runs 3n too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    a = parser.parse_args()
    peer, folder_of_texts = peer_module(), os.path.join(ROOT, "data", "texts")
    text = b"".join(open(os.path.join(folder_of_texts, name), "rb").read() for name in sorted(os.listdir(folder_of_texts)) if name.endswith(".txt"))
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        joined = os.path.join(folder, "text.txt")
        with open(joined, "wb") as f:
            f.write(text)
        gyre = Gyre(a, folder, joined)
        try:
            peer.run(peer.model_path(a.model), text, a.context, 1, threads=a.threads)  # the model's file into memory
            for i in range(a.rounds):
                rounds.append(a_round(a, gyre, peer, text))
                print(f"round {i + 1}: " + ", ".join(f"{name} {s:.2f}" for name, s in rounds[-1].items()) + " s a chunk", flush=True)
        except peer.Failure as fault:
            sys.exit(str(fault))
    print(f"{a.model}, {a.context} tokens, {a.threads} threads, {a.chunks} chunks, {a.rounds} rounds")
    print("%-10s %10s %24s" % ("", "s a chunk", "over llama-perplexity's"))
    for name in rounds[0]:
        ratios = [r[name] / r["peer"] for r in rounds]
        print("%-10s %10.3f %8.3f  (%.3f .. %.3f)" % (name, statistics.median(r[name] for r in rounds), statistics.median(ratios), min(ratios), max(ratios)))


if __name__ == "__main__":
    main()
