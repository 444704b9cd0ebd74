#!/usr/bin/python3
"""Time of a coded arm's chunk over llama-perplexity's chunk: the same model, text, tokens, threads and build of llama.cpp.

    scripts/setup --peers; scripts/fetch-model smollm2-135m; cmake --preset release && cmake --build --preset release && bench/chunk_ratio.py [--rounds 3] [--chunks 2]

What is timed are whole commands with a codec on keys and values of every layer and all statistics of the next token; loading, planning and writing cancel in differences:

    peer  = (llama-perplexity of 2n chunks - of n) / n          exact = (gyre run with the exact arm alone, 2n chunks - n) / n
    arm   = (gyre run with the exact arm and this one, 2n chunks - with the exact arm alone, 2n chunks) / 2n

llama-perplexity caches binary32 keys and values without flash attention, as Gyre's engine does; once more with its own q4_0 cache and flash attention, for what it costs to have the real thing. Rounds are
interleaved; a ratio is of one round, printed are the median of the rounds and their range. The machine must be idle: threads of llama.cpp wait by spinning, and a round (two minutes) takes many times that beside other work.
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
        """Into a fresh folder, so that nothing is found."""
        self.count += 1
        name = os.path.join(self.folder, f"run{self.count}")
        with open(name + ".yaml", "w", encoding="utf-8") as f:
            f.write(f"experiment: chunk_ratio\nsource: {{model: {self.a.model}, text: {self.text}, context: {self.a.context}, chunks: {chunks}}}\narms:\n"
                    + "".join(f"  {arm}: {codecs}\n" for arm, codecs in arms.items()) + "metrics: [nll, nll_change, token_kl, top_flip, p_rms]\n")
        p = subprocess.run([os.path.abspath(self.a.gyre), "run", name + ".yaml", "--out", name, "--jobs", str(self.a.threads), "--quiet"], cwd=ROOT, capture_output=True, text=True)
        if p.returncode != 0:
            sys.exit(f"gyre run: exit {p.returncode}: {p.stderr}")


def a_round(a, gyre, peer, text):
    """Seconds of a chunk, by name."""
    n = a.chunks
    native = {"cache_type": "q4_0"}
    peers = {(kind, m): seconds(lambda k=kind, c=m: peer.run(peer.model_path(a.model), text, a.context, c, threads=a.threads, **(native if k == "peer q4_0" else {})))
             for m in (n, 2 * n) for kind in ("peer", "peer q4_0")}
    one, two = (seconds(lambda m=m: gyre.run({"exact": "{}"}, m)) for m in (n, 2 * n))
    found = {kind: (peers[kind, 2 * n] - peers[kind, n]) / n for kind in ("peer", "peer q4_0")}
    found["exact"] = (two - one) / n
    for arm, codecs in ARMS.items():
        found[arm] = (seconds(lambda c=codecs, name=arm: gyre.run({"exact": "{}", name: c}, 2 * n)) - two) / (2 * n)
    return found


def main():
    parser = argparse.ArgumentParser(description="Time of a coded arm's chunk over llama-perplexity's.")
    parser.add_argument("--gyre", default=os.path.join(ROOT, "build", "gyre"))
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=2, help="n; 2n are run too")
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
    print(f"{a.model}, {a.context} tokens, {a.threads} threads, {a.chunks} and {2 * a.chunks} chunks, {a.rounds} rounds")
    print("%-10s %10s %24s" % ("", "s a chunk", "over llama-perplexity's"))
    for name in rounds[0]:
        ratios = [r[name] / r["peer"] for r in rounds]
        print("%-10s %10.3f %8.3f  (%.3f .. %.3f)" % (name, statistics.median(r[name] for r in rounds), statistics.median(ratios), min(ratios), max(ratios)))


if __name__ == "__main__":
    main()
