#!/usr/bin/env python3
"""Writes tests/golden/perplexity.json: what llama-perplexity prints of shipped texts, which tests/perplexity.py wants from `gyre run`.

    scripts/setup --peers; scripts/fetch-model smollm2-135m qwen2.5-coder-0.5b gemma3-270m; tests/golden/make_perplexity.py

The commands, the program's version and the digests of models and texts stand in the file. No test runs this.
"""
import json
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXTS = "data/texts/"
PROSE = [TEXTS + "bierce-devils-dictionary.txt", TEXTS + "debian-history-releases.txt"]
LONG = PROSE + [TEXTS + "jargon-file-hacker.txt"]
# name, model, texts (joined), options of scripts/peers-perplexity
CASES = [
    ("stories-128", "tests/data/stories260K.gguf", PROSE[:1], ["--context", "128", "--chunks", "8"]),
    ("stories-512", "tests/data/stories260K.gguf", PROSE[:1], ["--context", "512", "--chunks", "2"]),
    ("smollm2", "smollm2-135m", PROSE, ["--chunks", "2"]),
    ("smollm2-q4_0", "smollm2-135m", PROSE, ["--chunks", "2", "--cache-type", "q4_0", "--rotation", "off"]),
    ("smollm2-q4_0-rotated", "smollm2-135m", PROSE, ["--chunks", "2", "--cache-type", "q4_0", "--rotation", "on"]),
    ("smollm2-q8_0", "smollm2-135m", PROSE, ["--chunks", "2", "--cache-type", "q8_0", "--rotation", "off"]),
    ("qwen", "qwen2.5-coder-0.5b", PROSE, ["--chunks", "2"]),
    # a BOS in every chunk, norms of queries and keys, and a window of 512 that cuts
    ("gemma-1024", "gemma3-270m", LONG, ["--context", "1024", "--chunks", "2"]),
]


def main():
    cases = {}
    for name, model, texts, options in CASES:
        out = subprocess.run(["scripts/peers-perplexity", model, *texts, *options], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        cases[name] = json.loads(out)
        print(name, cases[name]["ppl"], cases[name]["error"], cases[name]["chunks"], flush=True)
    with open(os.path.join(ROOT, "tests", "golden", "perplexity.json"), "w", encoding="utf-8") as f:
        json.dump(cases, f, indent=1)
        f.write("\n")


main()
