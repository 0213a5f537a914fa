# tfops: library, tools, tests and checks. `make help` lists the targets.
#
# Sources are found by folder: a new file needs no line here. Objects are out of tree, under build/;
# a variant (asan, ubsan, tsan, coverage, fuzz) is the same build with other flags under
# build/<variant>/. Everything found on the machine stands in build/config.mk, which tools/setup.sh
# writes and which is made, like any other file, when it is missing.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE
FORCE:

# All cores unless the caller says otherwise (make -jN, JOBS=N).
JOBS ?= $(shell nproc)
ifeq ($(MAKELEVEL)$(filter -j% --jobs%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-print-directory

# ---- what the caller may set ---------------------------------------------------------------------

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DESTDIR ?=
STD ?= c11
CFLAGS ?= -O2 -g
VARIANT ?=
ifeq ($(origin CC),default)
CC := $(if $(shell command -v gcc),gcc,clang)
endif
ifeq ($(origin CXX),default)
CXX := $(if $(shell command -v g++),g++,clang++)
endif

# ---- what the machine has ------------------------------------------------------------------------

# These goals build nothing and run on a bare machine.
bare_goals := help clean distclean check-deps check-templates format setup uninstall
goals := $(or $(MAKECMDGOALS),all)
ifneq ($(filter-out $(bare_goals),$(goals)),)
include build/config.mk
# Found headers that are gone, or another CUDA_HOME than then: set up again.
ifneq ($(words $(wildcard $(SETUP_HEADERS))),$(words $(SETUP_HEADERS)))
build/config.mk: FORCE
endif
ifneq ($(SETUP_CUDA_HOME)+$(SETUP_IGNORE_TOOLKIT),$(CUDA_HOME)+$(TFOPS_SETUP_IGNORE_TOOLKIT))
build/config.mk: FORCE
endif
endif
export CUDA_HOME TFOPS_SETUP_IGNORE_TOOLKIT

build/config.mk: tools/setup.sh
	@tools/setup.sh

# ---- names ---------------------------------------------------------------------------------------

B := build$(if $(VARIANT),/$(VARIANT))
G := build/gen
root := $(CURDIR)

version_part = $(shell sed -n 's/^\#define TFOPS_VERSION_$(1) //p' include/tfops/tfops.h)
VERSION := $(call version_part,MAJOR).$(call version_part,MINOR).$(call version_part,PATCH)
SONAME := libtfops.so.$(call version_part,MAJOR)
SO := $(B)/libtfops.so.$(VERSION)
SO_LINKS := $(B)/$(SONAME) $(B)/libtfops.so

lib_src := $(sort $(shell find kernels -name '*.c' 2>/dev/null) \
    $(wildcard engine/*.c engine/base/*.c cache/*.c tuner/*.c))
archs := $(shell sed -n 's/.*\.arch = "\(sm_[^"]*\)".*/\1/p' engine/device.c)
builtin_src := $(G)/builtin_binaries.c $(patsubst %,$(G)/builtin_%.c,$(archs))
gen_src := $(G)/kernel_sources.c $(G)/emulator_sources.c $(G)/schema.c $(builtin_src)
kernel_src := $(sort $(shell find kernels -name "*.cu" -o -name "*.cuh" -o -name "*_params.h" 2>/dev/null))
emulator_src := $(sort $(wildcard tests/emu/emu*.h tests/emu/emu*.cpp tests/emu/emu*.cc) tuner/emu_launch.h)
headers := $(sort $(wildcard include/tfops/*.h))

tool_names := $(sort $(patsubst tools/%.c,%,$(wildcard tools/tfops-*.c)))
demo_src := $(wildcard tools/demo*.c)
tool_src := $(filter-out tools/tfops-%.c $(demo_src),$(wildcard tools/*.c))
unit_src := $(sort $(wildcard tests/unit/*.c))
gpu_src := $(sort $(wildcard tests/gpu/*.c))
stress_src := $(sort $(wildcard tests/stress/*.c))
emu_src := $(sort $(wildcard tests/emu/test_*.c tests/emu/test_*.cpp))
memcheck_src := $(sort $(wildcard tests/memcheck/*.c))
support_src := $(sort $(wildcard tests/support/*.c))
fake_src := $(sort $(wildcard tests/fakes/*.c))
plugin_src := $(sort $(wildcard tests/plugins/*.c))
example_src := $(sort $(wildcard docs/examples/*.c))
fuzz_src := $(sort $(wildcard tests/fuzz/fuzz_*.c))

objects = $(patsubst %,$(B)/obj/%.o,$(basename $(1)))
gen_objects = $(patsubst $(G)/%.c,$(B)/obj/gen/%.o,$(1))
lib_obj := $(call objects,$(lib_src)) $(call gen_objects,$(gen_src))

tools := $(addprefix $(B)/,$(tool_names))
demo := $(if $(demo_src),$(B)/tfops-demo)
check_arch := $(if $(wildcard tools/build/check_arch.c),$(B)/tfops-check-arch)
unit_tests := $(if $(unit_src),$(B)/tests/unit-tests)
gpu_tests := $(if $(gpu_src),$(B)/tests/gpu-tests)
stress_tests := $(patsubst tests/stress/%.c,$(B)/tests/stress/%,$(stress_src))
memcheck_tests := $(patsubst tests/memcheck/%.c,$(B)/tests/memcheck/%,$(memcheck_src))
emu_tests := $(patsubst tests/emu/%,$(B)/tests/emu/%,$(basename $(emu_src)))
fakes := $(patsubst tests/fakes/%.c,$(B)/fakes/lib%.so,$(fake_src))
plugins := $(patsubst tests/plugins/%.c,$(B)/plugins/%.so,$(plugin_src))
examples := $(patsubst docs/examples/%_plugin.c,$(B)/examples/%_plugin.so,$(filter %_plugin.c,$(example_src))) \
    $(patsubst docs/examples/%.c,$(B)/examples/%,$(filter-out %_plugin.c,$(example_src)))
fuzzers := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(fuzz_src))

# ---- flags ---------------------------------------------------------------------------------------

is_clang := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
variant_flags_asan := -fsanitize=address -fno-omit-frame-pointer -O1
variant_flags_ubsan := -fsanitize=undefined -fno-sanitize-recover=all -O1
variant_flags_tsan := -fsanitize=thread -O1
# Counters are written where a process ends by itself: workers get the time for it.
variant_flags_coverage := --coverage -fprofile-update=atomic -O0 -DWORKER_LEAST_PATIENCE_MS=2000
variant_flags_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -O1
variant_flags := $(variant_flags_$(VARIANT))

# WERROR=1, as CI has it: a warning stops the build. Not by default: a compiler that nobody here has tried
# warns of other things. gcc's flow-dependent warnings differ between its releases and never do.
gcc_warnings := -Wno-format-truncation $(if $(WERROR),-Wno-error=maybe-uninitialized -Wno-error=array-bounds \
    -Wno-error=stringop-overflow -Wno-error=stringop-truncation)
warnings := -Wall -Wextra -Wpedantic $(if $(WERROR),-Werror) $(if $(is_clang),,$(gcc_warnings))
# What some distributions' compilers have by default, and others see no warning without.
optimises := $(if $(VARIANT),,$(filter-out -O0,$(filter -O%,$(CFLAGS))))
fortified := $(if $(optimises),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
includes := -Iinclude -Iengine -Ikernels -I. -I$(G)
cc_flags = -std=$(STD) -D_GNU_SOURCE $(fortified) $(warnings) -fPIC -fvisibility=hidden $(includes) \
    $(DEPS_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(variant_flags)
cxx_flags = -std=c++17 -D_GNU_SOURCE -Wall -Wextra -fPIC $(includes) -Itests/emu \
    $(CPPFLAGS) $(or $(CXXFLAGS),-O2 -g) $(variant_flags)
# Public headers carry no export attribute: the version map alone says what the library exports. The
# map can only export what the compiler left visible, hence the default visibility of these objects;
# -fno-semantic-interposition gives back the inlining and direct calls that visibility would cost.
lib_flags := -fvisibility=default -fno-semantic-interposition
cuda_flags = -isystem $(CUDA_INC)
libs = $(DEPS_LIBS) -ldl -lpthread -lm
link_flags = $(LDFLAGS) $(variant_flags)
# Tools find the library beside them (build/) and in ../lib (installed).
rpath := -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib'
# A sanitizer's own symbols come from the program.
no_undefined := $(if $(VARIANT),,-Wl,-z,defs)

quiet = @printf '  %-7s %s\n' $(1) $@;

# A change of compiler or flags rebuilds this variant.
flags_line = $(CC) $(shell $(CC) -dumpfullversion 2>/dev/null) $(cc_flags) $(link_flags) $(libs) $(CUDA_INC) $(NVRTC_LIB)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(flags_line))' | cmp -s - $@ || \
	    printf '%s\n' '$(subst ','\'',$(flags_line))' >$@

# Files come and go. When the list changes, archives and programs are made from the new one, and
# programs whose source is gone go too: the test runner takes what it finds. Sorted, as the order in which
# make finds files is that of the caller's locale.
all_sources := $(sort $(lib_src) $(tool_src) $(unit_src) $(gpu_src) $(stress_src) $(memcheck_src) $(emu_src) \
    $(support_src) $(fake_src) $(plugin_src) $(example_src) $(fuzz_src))
$(B)/sources: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(all_sources)' | cmp -s - $@ || { \
	    rm -rf $(addprefix $(B)/,tests fakes plugins examples fuzz); \
	    printf '%s\n' '$(all_sources)' >$@; }
linked = $(filter %.o %.a,$^)

# ---- objects -------------------------------------------------------------------------------------

compile = $(call quiet,CC) mkdir -p $(@D) && $(CC) $(cc_flags) $(1) -MMD -MP -c $< -o $@

$(B)/obj/kernels/%.o: kernels/%.c $(B)/flags
	$(call compile,$(lib_flags))
$(B)/obj/cache/%.o: cache/%.c $(B)/flags
	$(call compile,$(lib_flags))
$(B)/obj/engine/base/%.o: engine/base/%.c $(B)/flags
	$(call compile,$(lib_flags))
$(B)/obj/engine/%.o: engine/%.c $(B)/flags
	$(call compile,$(lib_flags) $(cuda_flags) $(own_flags))
$(B)/obj/tuner/%.o: tuner/%.c $(B)/flags
	$(call compile,$(lib_flags) $(cuda_flags))
$(B)/obj/gen/%.o: $(G)/%.c $(B)/flags
	$(call compile,$(lib_flags))
$(B)/obj/tools/build/%.o: tools/build/%.c $(B)/flags
	$(call compile,$(cuda_flags))
$(B)/obj/tools/%.o: tools/%.c $(B)/flags
	$(call compile)
$(B)/obj/tests/%.o: tests/%.c $(B)/flags
	$(call compile,$(cuda_flags) $(CRITERION_CFLAGS))
$(B)/obj/tests/%.o: tests/%.cpp $(B)/flags
	$(call quiet,CXX) mkdir -p $(@D) && $(CXX) $(cxx_flags) -MMD -MP -c $< -o $@

# The NVRTC that this build found, tried last: how wheels in build/cuda-venv are found at run time.
$(B)/obj/engine/nvrtc.o: own_flags = -DTFOPS_NVRTC_HINT='"$(NVRTC_LIB)"'

# No .d file is ever a goal of its own.
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# ---- generated sources ---------------------------------------------------------------------------

# As for the sources: a file that is gone must leave the table.
$(G)/kernel_list: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(kernel_src)' | cmp -s - $@ || printf '%s\n' '$(kernel_src)' >$@

$(G)/kernel_sources.c: tools/embed.sh $(G)/kernel_list $(kernel_src)
	$(call quiet,GEN) tools/embed.sh sources embedded_sources kernels $(kernel_src) >$@.new && mv $@.new $@

$(G)/emulator_sources.c: tools/embed.sh $(emulator_src)
	$(call quiet,GEN) mkdir -p $(@D) && tools/embed.sh sources emulator_sources . \
	    $(addprefix ./,$(emulator_src)) >$@.new && mv $@.new $@

$(G)/schema.c: tools/embed.sh $(wildcard cache/schema.sql)
	$(call quiet,GEN) mkdir -p $(@D) && if [ -e cache/schema.sql ]; then \
	    tools/embed.sh text cache_schema_sql cache/schema.sql; \
	else tools/embed.sh text cache_schema_sql /dev/null; fi >$@.new && mv $@.new $@

# The empty table: what embed-generic itself is linked with.
$(G)/builtin_none.c: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' '/* Generated by the Makefile: not edited. */' '#include "embedded.h"' \
	    'const struct embedded_binaries *const builtin_binaries[1];' \
	    'const size_t builtin_binaries_count = 0;' >$@

# Stage two: the library without its built-in binaries compiles them, an architecture at a time. Made
# once, without sanitizers, for all variants; again when a kernel or what decides over its source and
# options changes, not when any other part of the library does (hence the order-only prerequisite).
ifeq ($(VARIANT),)
embed_inputs := tools/build/embed_generic.c $(G)/kernel_sources.c $(sort $(shell find kernels -name "*_spec.c" -o -name "*_space.c" 2>/dev/null)) \
    $(wildcard kernels/registry.c engine/render.c engine/compile.c engine/nvrtc.c engine/key.c) \
    $(wildcard engine/device.c cache/binary_store.h include/tfops/spec.h engine/embedded.h)
build/embed-generic: build/obj/tools/build/embed_generic.o build/obj/gen/builtin_none.o \
    $(filter-out build/obj/gen/builtin_%.o,$(lib_obj))
	$(call quiet,LINK) $(CC) $(link_flags) $^ $(libs) -o $@
$(G)/builtin_sm_%.c: $(embed_inputs) | build/embed-generic
	$(call quiet,NVRTC) if [ ! -r '$(NVRTC_LIB)' ]; then \
	    echo 'no NVRTC to compile the generic variants with: run tools/setup.sh' >&2; exit 1; fi; \
	    TFOPS_LIBNVRTC='$(NVRTC_LIB)' build/embed-generic sm_$* >$@.new || { rm -f $@.new; \
	    echo 'the generic variants did not compile (above); is NVRTC right? tools/setup.sh --check' >&2; \
	    exit 1; }; mv $@.new $@
$(G)/builtin_binaries.c: $(embed_inputs) | build/embed-generic
	$(call quiet,GEN) build/embed-generic >$@.new && mv $@.new $@
endif

# ---- library -------------------------------------------------------------------------------------

# Every object with all its symbols: for tests only.
$(B)/libtfops-internal.a: $(lib_obj) $(B)/sources
	$(call quiet,AR) rm -f $@ && ar rcs $@ $(linked)

# The same as a shared object: the built-in binaries are megabytes, and a dozen programs link them.
$(B)/libtfops-internal.so: $(lib_obj) $(B)/sources
	$(call quiet,LINK) $(CC) -shared $(link_flags) -Wl,-soname,$(notdir $@) $(linked) $(libs) -o $@

$(SO): $(lib_obj) engine/libtfops.map $(B)/sources
	$(call quiet,LINK) $(CC) -shared $(link_flags) -Wl,-soname,$(SONAME) \
	    -Wl,--version-script=engine/libtfops.map -Wl,-z,relro,-z,now $(no_undefined) \
	    -Wl,-rpath,'$$ORIGIN' $(lib_obj) $(libs) -o $@

$(SO_LINKS): $(SO)
	@ln -sf $(notdir $<) $@

# One object whose internal names are local: a program that links it may have its own hash_init().
$(B)/libtfops.a: $(lib_obj) $(B)/sources
	$(call quiet,AR) ld -r $(linked) -o $(B)/tfops.o && \
	    objcopy --wildcard --keep-global-symbol='tfops_*' $(B)/tfops.o && \
	    rm -f $@ && ar rcs $@ $(B)/tfops.o && rm -f $(B)/tfops.o

# ---- tools ---------------------------------------------------------------------------------------

# Of the library's insides tools have the JSON writer only. Never base/error.o: a tool with its own
# copy of the error record would always find it empty.
tool_obj := $(call objects,$(tool_src) engine/base/json.c)
tool_libs = $(rpath) -L$(B) -ltfops -lcjson -lpthread -lm

$(tools): $(B)/%: $(B)/obj/tools/%.o $(tool_obj) | $(SO) $(SO_LINKS)
	$(call quiet,LINK) $(CC) $(link_flags) $^ $(tool_libs) -o $@
$(B)/tfops-demo: $(call objects,$(demo_src)) $(tool_obj) | $(SO) $(SO_LINKS)
	$(call quiet,LINK) $(CC) $(link_flags) $^ $(tool_libs) -o $@
$(B)/tfops-check-arch: $(call objects,tools/build/check_arch.c tools/build/random_problem.c) $(B)/libtfops-internal.so
	$(call quiet,LINK) $(CC) $(link_flags) $(linked) $(internal) -o $@

# ---- tests ---------------------------------------------------------------------------------------

$(B)/libsupport.a: $(call objects,$(support_src) $(tool_src)) $(B)/sources
	@rm -f $@ && ar rcs $@ $(linked)
test_archives := $(B)/libsupport.a $(B)/libtfops-internal.a
test_shared := $(B)/libsupport.a $(B)/libtfops-internal.so
internal = -Wl,-rpath,'$$ORIGIN:$$ORIGIN/..:$$ORIGIN/../..' -L$(B) -ltfops-internal $(libs)

# One program for all unit tests, one for all GPU tests: Criterion forks each test anyway, and one
# link is quicker than fifty. Tests see internal functions.
criterion_link = $(call quiet,LINK) mkdir -p $(@D) && $(CC) $(link_flags) $(linked) $(internal) \
    $(CRITERION_LIBS) -o $@
$(B)/tests/unit-tests: $(call objects,$(unit_src)) $(test_shared) $(B)/sources
	$(criterion_link)
$(B)/tests/gpu-tests: $(call objects,$(gpu_src)) $(test_shared) $(B)/sources
	$(criterion_link)
$(stress_tests) $(memcheck_tests): $(B)/tests/%: $(B)/obj/tests/%.o $(test_shared) $(B)/sources
	$(call quiet,LINK) mkdir -p $(@D) && $(CC) $(link_flags) $(linked) $(internal) -o $@
# Variants are built with AddressSanitizer, which must be in the program that loads them.
$(emu_tests): $(B)/tests/emu/%: $(B)/obj/tests/emu/%.o $(test_archives) $(B)/sources
	$(call quiet,LINK) mkdir -p $(@D) && $(CXX) $(link_flags) \
	    $(if $(filter tsan,$(VARIANT)),,-fsanitize=address) $(linked) $(libs) -o $@

# Fakes and plug-ins are never sanitized: they are preloaded into, or loaded by, any program.
shared_object = $(call quiet,SO) mkdir -p $(@D) && $(CC) -shared -std=$(STD) -D_GNU_SOURCE \
    $(warnings) -fPIC $(1) $(CFLAGS) -MMD -MP -MF $(B)/obj/$(notdir $@).d $< -o $@ -ldl -lpthread -lm
$(B)/fakes/lib%.so: tests/fakes/%.c $(B)/flags $(B)/sources
	$(call shared_object,$(includes) $(cuda_flags))
$(B)/plugins/%.so: tests/plugins/%.c $(B)/flags $(B)/sources
	$(call shared_object,-Iinclude)
$(B)/examples/%_plugin.so: docs/examples/%_plugin.c $(B)/flags $(B)/sources
	$(call shared_object,-Iinclude)
$(B)/examples/%: docs/examples/%.c $(SO) $(SO_LINKS) $(B)/flags $(B)/sources
	$(call quiet,LINK) mkdir -p $(@D) && $(CC) $(cc_flags) $(link_flags) $< -MMD -MP \
	    -MF $(B)/obj/example_$*.d -Wl,-rpath,'$$ORIGIN/..' -L$(B) -ltfops -lm -o $@

$(fuzzers): $(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(test_archives) $(B)/sources
	$(call quiet,LINK) mkdir -p $(@D) && $(CC) $(link_flags) -fsanitize=fuzzer $(linked) $(libs) -o $@

test_programs := $(unit_tests) $(gpu_tests) $(stress_tests) $(memcheck_tests) $(emu_tests) $(fakes) $(plugins) $(examples)

# ---- targets -------------------------------------------------------------------------------------

.PHONY: help all lib setup demo tests unit gpu stress cli test check-deps check-headers check-abi
.PHONY: check-templates test-emu test-emu-full test-emu-tsan test-num-full check-install
.PHONY: check-arch check-arch-quick check-arch-random check-arch-full
.PHONY: asan ubsan tsan valgrind memcheck coverage fuzz lint format install uninstall bundle clean
.PHONY: distclean run-tests-% abi-layout

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 20

all: lib $(tools) $(demo) ## library and tools (the default)
lib: $(SO) $(SO_LINKS) $(B)/libtfops.a ## libtfops.so and libtfops.a
setup: ## install what the build needs (apt, pip); quick when all is there
	@tools/setup.sh

demo: all ## the main job: tune RMSNorm, close, reopen, launch warm
	@$(B)/tfops-demo

tests: all $(test_programs) ## build all test programs
run_tests = TFOPS_BUILD='$(root)/$(B)' MAKE='$(MAKE)' tests/run-tests.sh
test: tests $(check_arch) ## everything that needs no special tool; ends with one summary line
	@CXX='$(CXX)' TFOPS_EMU="$${TFOPS_EMU:-quick}" $(run_tests) all
unit: all $(unit_tests) $(fakes) $(plugins) ## the unit tests alone
	@$(run_tests) unit
gpu: all $(gpu_tests) $(fakes) $(plugins) ## the GPU tests alone (TFOPS_REQUIRE_GPU=1: a skip fails)
	@$(run_tests) gpu
stress: all $(stress_tests) $(fakes) $(plugins) ## the stress tests in long form
	@TFOPS_STRESS=long $(run_tests) stress
test-emu: $(emu_tests) ## every template executed on the CPU; `make test` runs a part of it
	@CXX='$(CXX)' $(run_tests) emu
test-emu-full: $(emu_tests) ## the same until every pair of values was run (hours; goes on where it was stopped)
	@CXX='$(CXX)' TFOPS_EMU=full TFOPS_EMU_JOURNAL='$(root)/$(B)/emu-full.journal' $(run_tests) emu
test-emu-tsan: $(gen_src) ## a part of it, built with ThreadSanitizer
	@$(MAKE) VARIANT=tsan run-tests-emu-tsan
cli: all $(fakes) $(plugins) $(examples) ## the tools' golden tests alone
	@$(run_tests) cli

test-num-full: $(B)/tests/emu/test_num ## number formats over all 2^32 floats (80 s of CPU)
	@$(B)/tests/emu/test_num --full

check-deps: ## who may include whom, one name per file, PTX in one place
	@tools/check-deps.sh
check-templates: ## a host body beside each PTX one; templates that the CPU can execute
	@tools/check-templates.sh
check-headers: ## each public header alone: C11, C17, C++17
	@tools/check-headers.sh include
check-abi: lib ## exported symbols, soname, layout of public structs
	@CC='$(CC)' tools/check-abi.sh $(B)
	@$(CC) $(cc_flags) -fsyntax-only tests/abi/layout.c && echo 'check-abi: layout as asserted'
check-install: all ## install to a temporary folder, build against it, uninstall
	@MAKE='$(MAKE)' CC='$(CC)' CXX='$(CXX)' tests/run-install.sh
run_check_arch = @if [ -n '$(check_arch)' ]; then \
    TFOPS_LIBNVRTC="$${TFOPS_LIBNVRTC:-$(NVRTC_LIB)}" $(check_arch) $(1); \
    else echo 'check-arch: tools/build/check_arch.c is not there' >&2; exit 77; fi
check-arch: $(check_arch) ## compile every operator's corners for every architecture
	$(call run_check_arch)
check-arch-quick: $(check_arch) ## the same, each config for sm_90a and one other: the part in `make test`
	$(call run_check_arch,--quick)
check-arch-random: $(check_arch) ## the defaults of problems by chance: PROBLEMS='COUNT [SEED [OP]]' of each operator
	$(call run_check_arch,--random $(PROBLEMS))
check-arch-full: $(check_arch) ## the same for every config of the space (long)
	$(call run_check_arch,--full)

# The generated sources are the default build's; then the same Makefile again with other flags.
variant = @$(MAKE) VARIANT=$(1) run-tests-$(1)
asan: $(gen_src) ## tests under AddressSanitizer
	$(call variant,asan)
ubsan: $(gen_src) ## tests under UndefinedBehaviorSanitizer
	$(call variant,ubsan)
tsan: $(gen_src) ## stress tests under ThreadSanitizer (Criterion cannot run under it)
	$(call variant,tsan)
coverage: $(gen_src) ## line coverage of the tests (needs gcovr or lcov)
	@command -v gcovr >/dev/null || command -v lcov >/dev/null || { \
	    echo 'coverage needs gcovr or lcov: apt-get install gcovr' >&2; exit 1; }
	$(call variant,coverage)
fuzz: $(gen_src) ## run each fuzz target for FUZZ_SECONDS=30 (needs clang)
	@command -v clang >/dev/null || { echo 'fuzz needs clang: apt-get install clang' >&2; exit 1; }
	@$(MAKE) VARIANT=fuzz CC=clang CXX=clang++ run-tests-fuzz

ifneq ($(VARIANT),)
# Variants of kernels are built with sanitizers anyway: here it is about the emulator around them.
run-tests-asan run-tests-ubsan: tests
	@TFOPS_EMU="$${TFOPS_EMU:-quick}" $(run_tests) unit stress emu cli
run-tests-tsan: all $(stress_tests) $(fakes) $(plugins)
	@$(run_tests) stress
run-tests-emu-tsan: $(emu_tests)
	@CXX='$(CXX)' TFOPS_EMU="$${TFOPS_EMU:-quick}" $(run_tests) emu
run-tests-coverage: tests
	@find $(B) -name '*.gcda' -delete
	@TFOPS_TEST_SECONDS=300 $(run_tests) unit stress gpu cli || echo 'coverage: some tests failed' >&2
	@tools/coverage.sh $(B)
run-tests-fuzz: $(fuzzers)
	@$(run_tests) fuzz
endif

valgrind: $(unit_tests) $(stress_tests) $(fakes) $(plugins) all ## unit and stress tests under Valgrind
	@command -v valgrind >/dev/null || { echo 'valgrind is not installed: apt-get install valgrind' >&2; exit 1; }
	@TFOPS_TEST_WRAPPER=valgrind $(run_tests) unit stress
memcheck: all $(memcheck_tests) ## every operator's variants under compute-sanitizer (needs a GPU)
	@TFOPS_BUILD='$(root)/$(B)' CUDA_HOME='$(CUDA_HOME)' tests/memcheck/run.sh || \
	    { [ $$? = 77 ] && [ -z "$$TFOPS_REQUIRE_GPU" ] && echo 'memcheck: SKIPPED'; }

c_files = $(shell find include kernels engine cache tuner tools tests docs -name '*.[ch]' 2>/dev/null | sort)
lint: $(gen_src) ## the rules for templates; clang-format, clang-tidy and cppcheck, whichever are there
	@tools/check-templates.sh
	@CLANG_FLAGS='-std=$(STD) -D_GNU_SOURCE -DTFOPS_NVRTC_HINT="" $(includes) $(cuda_flags) $(DEPS_CFLAGS)' JOBS='$(JOBS)' \
	    tools/lint.sh $(c_files)
format: ## clang-format every C file in place
	@clang-format -i $(c_files)
abi-layout: ## write tests/abi/layout.c anew from the headers (look at the difference!)
	@CC='$(CC)' tools/abi-layout.sh >tests/abi/layout.c.new && mv tests/abi/layout.c.new tests/abi/layout.c

# ---- install -------------------------------------------------------------------------------------

man_pages := $(sort $(wildcard tools/man/*.[137]))
man_section = $(patsubst .%,%,$(suffix $(1)))
installed = $(addprefix $(INCLUDEDIR)/tfops/,$(notdir $(headers))) \
    $(addprefix $(LIBDIR)/,$(notdir $(SO)) $(SONAME) libtfops.so libtfops.a tfops-worker pkgconfig/tfops.pc) \
    $(addprefix $(BINDIR)/,$(tool_names)) \
    $(foreach page,$(man_pages),$(MANDIR)/man$(call man_section,$(page))/$(notdir $(page)))

install: all ## install to $(DESTDIR)$(PREFIX)
	@install -d $(addprefix '$(DESTDIR)',$(sort $(dir $(installed))))
	@install -m 644 $(headers) '$(DESTDIR)$(INCLUDEDIR)/tfops/'
	@install -m 755 $(SO) '$(DESTDIR)$(LIBDIR)/'
	@install -m 644 $(B)/libtfops.a '$(DESTDIR)$(LIBDIR)/'
	@cd '$(DESTDIR)$(LIBDIR)' && ln -sf $(notdir $(SO)) $(SONAME) && ln -sf $(SONAME) libtfops.so
	@$(if $(tools),install -m 755 $(tools) '$(DESTDIR)$(BINDIR)/')
	@# The library looks for its worker beside itself.
	@$(if $(tools),ln -sfr '$(DESTDIR)$(BINDIR)/tfops-worker' '$(DESTDIR)$(LIBDIR)/tfops-worker')
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|' tfops.pc.in >'$(DESTDIR)$(LIBDIR)/pkgconfig/tfops.pc'
	@$(foreach page,$(man_pages),install -m 644 $(page) \
	    '$(DESTDIR)$(MANDIR)/man$(call man_section,$(page))/' &&) :
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi
	@echo 'installed to $(DESTDIR)$(PREFIX)'

uninstall: ## remove exactly what install put there
	@rm -f $(addprefix '$(DESTDIR)',$(installed))
	@rmdir '$(DESTDIR)$(INCLUDEDIR)/tfops' 2>/dev/null || :
	@echo 'removed from $(DESTDIR)$(PREFIX)'

bundle: tests $(check_arch) ## build/bundle/: tools and tests for hosts with only a driver and NVRTC
	@tools/bundle.sh $(B)

clean: ## remove what was built (keeps build/config.mk and the CUDA wheels)
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name cuda-venv ! -name config.mk \
	    -exec rm -rf {} +; fi
distclean: ## remove build/ altogether
	@rm -rf build
