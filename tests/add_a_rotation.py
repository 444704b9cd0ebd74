"""docs/add-a-rotation.md, followed to the letter on a copy of the project: its file, its two lines, its configuration, its commands.

A fenced block is put where the words before it say: a whole file behind "`PATH`:" alone on a line, a line of transforms/registry.c behind "above the table" and "a line of the
table"; sh blocks are run, line by line, in order. Then the rotation must be in the list, the description, the battery's table, the results and the figures.

Environment: GYRE_SOURCE, GYRE_PYTHON. What it is not: a test of the example's numbers beyond what the battery says of every rotation.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import h5py

SOURCE = os.path.abspath(os.environ["GYRE_SOURCE"])
PAGE = os.path.join(SOURCE, "docs", "add-a-rotation.md")
WAIT = 900  # seconds after which a command hangs
NAME = "dst4"
passed, failures = 0, []


def check(ok, what):
    global passed
    if ok:
        passed += 1
    else:
        failures.append(what)
        print("add_a_rotation:", what, flush=True)
    return ok


def copy_tree(to):
    """What git tracks or would track; of a source archive, all but its build folders."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=SOURCE, capture_output=True, text=True)
    if listed.returncode == 0:
        names = [n for n in listed.stdout.split("\n") if n]
    else:
        names = [os.path.relpath(os.path.join(d, n), SOURCE) for d, _, ns in os.walk(SOURCE) for n in ns]
        names = [n for n in names if not re.match(r"build[^/]*/|out/", n)]
    for name in names:
        if os.path.isfile(os.path.join(SOURCE, name)):
            os.makedirs(os.path.dirname(os.path.join(to, name)), exist_ok=True)
            shutil.copy2(os.path.join(SOURCE, name), os.path.join(to, name))


def blocks(page):
    """(language, the paragraph before it, text) of each fenced block."""
    before, block, language, previous = [], None, "", ""
    for line in page.splitlines():
        if block is not None and line == "```":
            yield language, " ".join(before), "".join(block)
            before, block = [], None
        elif block is not None:
            block.append(line + "\n")
        elif line.startswith("```"):
            language, block = line[3:], []
        elif line:
            before = before + [line] if previous else [line]
        previous = line
    check(block is None, "every fenced block of the page ends")


def follow(tree):
    """Does what the page says; returns {command: its output}."""
    done, outputs = set(), {}
    for language, before, text in blocks(open(PAGE, encoding="utf-8").read()):
        registry = os.path.join(tree, "transforms", "registry.c")
        whole = re.fullmatch(r"`([\w./-]+)`:", before)
        if whole:
            path = os.path.join(tree, whole[1])
            check(not os.path.exists(path), f"{whole[1]} is new")
            open(path, "w", encoding="utf-8").write(text)
            done.add(whole[1])
        elif "`transforms/registry.c`" in before:
            old = open(registry, encoding="utf-8").read()
            table = "const gyre_transform_type *const gyre_transform_types[] = {\n"
            start = old.index(table)
            end = old.index("    NULL,\n", start)
            at = start if "above the table" in before else end if "a line of the table" in before else None
            if check(at is not None, f"the page says where in the registry: {before}"):
                open(registry, "w", encoding="utf-8").write(old[:at] + text + ("\n" if at == start else "") + old[at:])
                done.add("above" if at == start else "line")
        elif language == "sh":
            for line in text.splitlines():
                p = subprocess.run(["bash", "-c", line], cwd=tree, capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL)
                outputs[line] = p.stdout
                if not check(p.returncode == 0, f"{line}: exit {p.returncode}\n{(p.stdout + p.stderr)[-3000:]}"):
                    return outputs
        else:
            check(False, f"a block of the page that nothing tells what to do with: {before!r} {text[:80]!r}")
    check(done == {f"transforms/{NAME}.c", "above", "line", f"{NAME}.yaml"}, f"the page shows a file, two lines and a configuration: {done}")
    return outputs


def main():
    tree = tempfile.mkdtemp(prefix="gyre-rotation-")
    os.environ.pop("CFLAGS", None)
    try:
        copy_tree(tree)
        outputs = follow(tree)
        if failures:
            return 1
        gyre = os.path.join(tree, "build", "gyre")
        said = lambda command: next((out for line, out in outputs.items() if command in line), "")
        check(re.search(rf"^transform +{NAME} .*\[linear, orthogonal\]$", said("gyre list transforms"), re.M), "gyre list has it")
        check(said(f"gyre describe {NAME}").startswith(f"transform {NAME}: ") and "Wang and Hunt" in said(f"gyre describe {NAME}"), "gyre describe has it, with its source")
        page = json.loads(subprocess.run([gyre, "describe", NAME, "--json"], capture_output=True, text=True, check=True).stdout)
        check([a["applies"] for s in page["applies"] for a in s["at"]] == [True] * 9, f"it applies everywhere: {page['applies']}")
        row = re.search(rf"^{NAME} +(\d+)", said("build/tests/test_transforms"), re.M)
        check(row and int(row[1]) > 0, "the battery's table has a line on it, and built it")
        with h5py.File(os.path.join(tree, "out", NAME, "results.h5")) as f:
            arms, status = f["cells/arm"].asstr()[:], f["cells/status"].asstr()[:]
            codecs = set(f["cells/codec_k"].asstr()[:][arms == NAME])
            check(sum(arms == NAME) == 16 and set(status) == {"OK"}, f"2 layers x 2 widths x 4 seeds of it are computed: {sum(arms == NAME)}, {set(status)}")
            check(len(codecs) == 2 and all(f",{NAME}" in c for c in codecs), f"they went through it: {codecs}")
            check(list(f["stats/arm"].asstr()[:]) == [NAME] * 2 and all(f["stats/verdict"].asstr()[:]), "the comparison has a verdict at each width")
        check(re.search(rf"\b{NAME}\b", said(f"gyre run {NAME}.yaml")), "the report names it")
        figures = os.path.join(tree, "out", NAME, "figures")
        drawn = os.listdir(figures) if os.path.isdir(figures) else []
        for kind in ("csv", "svg"):
            naming = [n for n in drawn if n.endswith("." + kind) and NAME in open(os.path.join(figures, n), encoding="utf-8").read()]
            check(naming, f"figures name it: none of {sorted(drawn)} as {kind}")
        variants = open(os.path.join(tree, "docs", "variants.md"), encoding="utf-8").read()
        check(f"\n### {NAME}\n" in variants, "the printed page of variants has it")
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    print(f"{passed} passed, {len(failures)} failed")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
