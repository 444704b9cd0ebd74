"""The house's own rules, read from the sources: who may include whom, what no file may say, one variant = one line."""
import os
import re
import subprocess
import sys

root = os.environ.get("GYRE_SOURCE", ".")
os.chdir(root)

# Folders above may include from folders below; families of one level do not know each other.
LEVELS = [["experiments"], ["results"], ["engine"], ["calibrate"], ["codec"], ["metrics", "tensors", "transforms", "quant", "stats"], ["kernels"], ["core"]]
# The figures, reports and tables of results/ read stats and captures; metrics and tensors stand beside the other families.
LEVEL = {room: i for i, rooms in enumerate(LEVELS) for room in rooms}
failures = []
passed = 0


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)


def sources():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True).stdout.split("\n")
    return [n for n in names if n and os.path.isfile(n)]


files = sources()
code = [f for f in files if f.endswith((".c", ".h"))]
for f in code:
    room = f.split("/")[0]
    if room not in LEVEL:
        continue
    for line in open(f, encoding="utf-8"):
        m = re.match(r'\s*#\s*include\s+"([^"/]+)/', line)
        if not m:
            continue
        other = m.group(1)
        check(other == room or (other in LEVEL and LEVEL[other] > LEVEL[room]), f"{f} includes from {other}/, which is not below {room}/")

# Every variant's file is in its family's table, and the table has nothing else.
for room, prefix in (("transforms", "gyre_transform_"), ("quant", "gyre_quantizer_"), ("metrics", "gyre_metric_")):
    table = open(f"{room}/registry.c", encoding="utf-8").read()
    listed = set(re.findall(r"^    &" + prefix + r"(\w+),", table, re.M))
    defined = set()
    for f in code:
        if f.startswith(room + "/"):
            defined |= set(re.findall(r"^const " + prefix + r"type " + prefix + r"(\w+) = ", open(f, encoding="utf-8").read(), re.M))
    check(listed == defined, f"{room}: listed {sorted(listed)}, defined {sorted(defined)}")
    for name in defined:
        check(os.path.exists(f"{room}/{name}.c"), f"{room}/{name}.c is not the file of variant {name}")

# exit, abort and friends are nobody's but main's return.
for f in code:
    if f.startswith(("tests/", "bench/")):
        continue
    text = open(f, encoding="utf-8").read()
    body = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', "", text, flags=re.S)
    check(not re.search(r"\b(exit|abort|gets|strcpy|strcat|sprintf|srand|rand)\s*\(", body), f"{f} calls a function that this house does not use")
    check(text.startswith("/*") or f.endswith(".h") or text.startswith("#"), f"{f} opens with neither a comment nor its includes")

# Nothing unfinished, no machine's paths.
for f in files:
    if f.endswith((".h5", ".png", ".pdf", ".svg", ".gguf")) or f == "LICENSE" or f.startswith("data/texts/") or f == "tests/house.py":
        continue
    text = open(f, encoding="utf-8", errors="replace").read()
    check(not re.search(r"\b(TODO|FIXME|XXX)\b", text), f"{f} holds unfinished work")
    if f.endswith((".txt", ".cmake", ".json")) or f == "Makefile" or f.startswith("scripts/"):
        check("-march=native" not in re.sub(r"#[^\n]*", "", text), f"{f} compiles for one machine")
    check("/home/" not in text and "/root/" not in text, f"{f} names a path of one machine")

# Public functions are used: declared in a header, called somewhere else than where they are defined.
texts = {f: open(f, encoding="utf-8").read() for f in code}
for f in code:
    if not f.endswith(".h") or f.startswith("tests/"):
        continue
    for name in set(re.findall(r"\b(gyre_\w+)\s*\(", re.sub(r"/\*.*?\*/", "", texts[f], flags=re.S))):
        if name.isupper() or f"typedef" in name or name == "gyre_verb_run":
            continue
        users = [g for g in code if g != f and g != f[:-2] + ".c" and re.search(r"\b" + name + r"\b", texts[g])]
        own = len(re.findall(r"\b" + name + r"\b", texts.get(f[:-2] + ".c", ""))) > 1 or len(re.findall(r"\b" + name + r"\(", texts[f])) > 1
        check(bool(users) or own, f"{f}: {name} is used by nothing")

for what in failures:
    print("house:", what)
print(f"{passed} passed, {len(failures)} failed")
sys.exit(bool(failures))
