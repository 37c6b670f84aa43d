# A thin door to meson: each target is a line or two that you could type yourself.
#
#     BUILD=DIR      where to build; "build", or "build-clang" with CC=clang
#     CC=clang       another compiler
#     PREFIX=DIR     where to install, /usr/local; DESTDIR=DIR is put before it
#     SETUP=ARGS     more arguments of meson setup, such as -Db_sanitize=address
#     SUITES=NAMES   which tests to run: "unit integration lint" and also "stress"
#     FUZZ_SEC=N     seconds for each fuzzer, 60
#     SOAK_SEC=N     seconds of soak, 600

ifneq ($(filter default undefined,$(origin CC)),)
BUILD ?= build
else
BUILD ?= build-$(notdir $(lastword $(CC)))
export CC
endif

SUITES ?= unit integration lint
FUZZ_SEC ?= 60
SOAK_SEC ?= 600

.PHONY: all demo test soak bench fuzz install check-format format clean help

all: $(BUILD)/build.ninja ## build
	@# what was not there when it was configured may be now
	@[ ! /var/lib/dpkg/status -nt $(BUILD)/build.ninja ] || meson setup --reconfigure $(BUILD)
	@meson compile -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo 'cprof: meson is missing; tools/setup run installs it' >&2; exit 1; }
	@meson setup $(BUILD) $(if $(PREFIX),--prefix=$(PREFIX)) $(SETUP)

demo: ## install what is missing, build, profile a real program and show the result
	@tools/setup demo
	@$(MAKE) --no-print-directory all
	@tools/demo $(BUILD)

test: ## install what is missing, build, run every test
	@tools/setup test
	@$(MAKE) --no-print-directory all
	@tests/run $(BUILD) $(SUITES)

soak: ## trace what hurts most, then poll and storm the endpoint, for SOAK_SEC seconds each
	@tools/setup test
	@$(MAKE) --no-print-directory all
	@for what in stress/soak integration/endpoint_scrapers integration/endpoint_hostile; do \
		python3 -B tests/$$what.py $(abspath $(BUILD)) $(SOAK_SEC) || exit 1; done

bench: ## install the peers, measure beside them
	@tools/setup bench
	@$(MAKE) --no-print-directory all
	@bench/run $(BUILD)

fuzz: ## feed every parser with damaged input
	@tools/setup fuzz
	@tests/fuzz/run build-fuzz $(FUZZ_SEC)

install: all ## install; PREFIX= and DESTDIR= say where
	@$(if $(PREFIX),meson configure $(BUILD) -Dprefix=$(PREFIX))
	@meson install -C $(BUILD) $(if $(DESTDIR),--destdir=$(abspath $(DESTDIR)))
	@$(if $(DESTDIR),:,ldconfig 2>/dev/null || :)

check-format: ## is every file formatted?
	@tests/lint/format.sh

format: ## format every file
	@tests/lint/format.sh -i

clean: ## remove all build directories
	@for dir in build build-*; do [ ! -d "$$dir/meson-private" ] || rm -rf "$$dir"; done

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target about; do \
		printf '%-18s%s\n' "make $$target" "$$about"; done
	@sed -n '2,/^$$/s/^#     /  /p' Makefile
