# make demo    install what is missing, build, run the demonstration, draw its figures
# make check   install what is missing, build, run every test (release, sanitizers, thread sanitizer, fuzz targets, valgrind)
# make test    the developer's loop: build and the quick tests (not those that run models)
# make check-stats   error rates of the whole program, by thousands of campaigns whose truth is known (minutes): the table of docs/statistics.md
# make check-models  the same digits as llama-perplexity on Gemma-3-270m and Qwen2.5-Coder-0.5B too (fetches 0.75 GB; make check takes SmolLM2-135M)
.PHONY: all demo check check-stats check-models test clean

all:
	cmake --preset release >/dev/null
	cmake --build --preset release

demo:
	scripts/setup --demo
	cmake --preset demo
	cmake --build --preset demo
	build/gyre run configs/demo.yaml --out out/demo
	build/gyre figures out/demo/results.h5
	@echo "results: out/demo/results.h5   figures: out/demo/figures/"

check:
	scripts/setup --check
	scripts/check

check-stats:
	cmake --preset release >/dev/null
	cmake --build --preset release --target null_campaigns test_stats_tests
	build/tests/test_stats_tests
	build/tests/null_campaigns --jobs $$(nproc)

check-models: all
	ctest --preset release --no-tests=error -L models

test: all
	ctest --preset release --no-tests=error -LE "slow|engine" -j2

clean:
	rm -rf build build-sanitize build-tsan
