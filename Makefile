# Builds everything, each configuration in a folder of its own below build/. `make help` lists what there is to make.
#
#     base/ mem/ + the MMU part of arch/x86/  ->  libxelixmm.a   ─┬─>  xelix (the reference kernel), linked twice:
#     the rest of arch/x86/ + boot/           ->  libxelixboot.a ─┤    the second time with the first one's symbols
#     kernel/ tests/ tests/base/ tests/mem/   ->  objects        ─┘
#     base/ mem/ arch/host/ tests/**          ->  host-tests (a program of this machine, with sanitizers)
#     base/ mem/ tests/threads/               ->  threads-tests (the same without translation, with threads as processors)
#     base/ mem/ arch/host/ fuzz/             ->  fuzz_NAME
#
# Sources are globbed, so a new file needs no line here. No recipe but `run`, `test` and `bench` installs anything.

include config.mk

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

help:
	@sed -n 's/^## //p' Makefile
	@echo; echo 'Options (config.mk says more):'
	@echo '  ARCH=$(ARCH) CC=$(CC) DEBUG=$(DEBUG) SMP=$(SMP) MEM=$(MEM) ACCEL=$(ACCEL) WIDTH=$(WIDTH) FILTER=$(FILTER)'

## make run          boot the reference kernel under QEMU and talk to it (without a terminal: run its checks and end)
## make test         everything that must hold; make test FILTER=word: the steps whose name contains the word
## make test-long    the same with longer fuzzing and larger machines
## make bench        measure, print a table, draw it (build/bench.svg), write build/bench.tsv
## make bench-linux  the programs that measure, on this kernel and on Debian's Linux, side by side
## make lib          libxelixmm.a and libxelixboot.a
## make kernel       the reference kernel
## make archive      the programs of ring 3, as the archive that the kernel takes as a module
## make closure      what is UL_VISIBLE reaches nothing that isn't but the gates
## make user-on-linux  run the programs of ring 3 on this machine
## make iso          the reference kernel on a GRUB image for BIOS and UEFI
## make examples     the smallest kernels that embed the library
## make host-test    the tests as a program of this machine (WIDTH=32|64 FILTER=part of a test's name)
## make threads-test host threads as processors, under ThreadSanitizer (WIDTH=32: without, at full speed)
## make fuzz         each fuzzer for FUZZ_SECONDS
## make headers      each header alone, as C and as C++
## make layers       what includes what (LAYERS)
## make install      headers, archives and xelix-mm.pc below DESTDIR/PREFIX
## make format       lay out all sources; make format-check only tells
## make compile_commands.json   for editors
## make clean        remove build/

VERSION := 0.1
comma := ,
CC_NAME := $(if $(findstring clang,$(notdir $(CC))),clang,gcc)
DEBUG_NAME := $(if $(filter 1,$(DEBUG)),debug,release)
ifeq ($(filter $(ARCH),x86_64 i386),)
$(error ARCH is '$(ARCH)': it can be x86_64 or i386)
endif
ifeq ($(filter $(WIDTH),32 64),)
$(error WIDTH is '$(WIDTH)': it can be 32 or 64)
endif
KMALLOC_LEVEL := $(strip $(foreach level,none=0 canary=1 guard=2 asan=3,$(patsubst $(KMALLOC_CHECK)=%,%,$(filter $(KMALLOC_CHECK)=%,$(level)))))
ifeq ($(KMALLOC_LEVEL),)
$(error KMALLOC_CHECK is '$(KMALLOC_CHECK)': it can be none, canary, guard or asan)
endif

# --- Sources ----------------------------------------------------------------------------------------------------------

MMU_SOURCES := $(wildcard arch/x86/mmu.c arch/x86/processor.c arch/x86/memory.c arch/x86/memory.S arch/x86/$(ARCH)/view.c arch/x86/$(ARCH)/runtime.c)
LIBRARY_SOURCES := $(wildcard base/*.c mem/*.c) $(MMU_SOURCES)
BOOT_SOURCES := $(filter-out $(MMU_SOURCES),$(wildcard arch/x86/*.[cS] arch/x86/$(ARCH)/*.[cS] boot/*.c))
KERNEL_SOURCES := $(wildcard kernel/*.c tests/*.c tests/base/*.c tests/mem/*.c tests/kernel/*.c tests/guest/*.c)
HOST_COMMON_SOURCES := $(filter-out mem/asan_hooks.c,$(wildcard base/*.c mem/*.c arch/host/*.c))
# Of the kernel and its boot code, what reads bytes from outside also runs on the host.
HOST_KERNEL_SOURCES := $(wildcard kernel/elf.c kernel/cpio.c boot/loader.c boot/multiboot1.c boot/multiboot2.c boot/pvh.c) \
	boot/command_line.c
HOST_SOURCES := $(HOST_COMMON_SOURCES) $(HOST_KERNEL_SOURCES) \
	$(wildcard tests/*.c tests/base/*.c tests/mem/*.c tests/kernel/*.c tests/host/*.c)
FUZZERS := $(patsubst fuzz/%.c,%,$(wildcard fuzz/fuzz_*.c))
FUZZ_COMMON_SOURCES := $(HOST_COMMON_SOURCES) $(HOST_KERNEL_SOURCES) \
	$(filter-out $(wildcard fuzz/fuzz_*.c),$(wildcard fuzz/*.c)) tests/test.c tests/host/port.c tests/host/machine.c
HEADERS := $(filter-out arch/x86/i386/% arch/x86/x86_64/% arch/host/%,\
	$(wildcard base/*.h arch/*.h arch/x86/*.h mem/*.h boot/*.h kernel/*.h tests/*.h))
PUBLIC_HEADERS := $(filter-out tests/% kernel/%,$(HEADERS)) $(wildcard arch/x86/$(ARCH)/*.h)
FORMATTED := $(wildcard $(addsuffix /*.[ch],base mem boot kernel fuzz bench user user/* arch arch/x86 arch/x86/i386 arch/x86/x86_64 arch/host \
	tests tests/* examples/* examples/*/*))

# --- Flags ------------------------------------------------------------------------------------------------------------

WARNINGS := -std=c11 -Wall -Wextra -Wconversion -Wshadow -Werror
OPTIONS := -DCONFIG_DEBUG=$(DEBUG) -DCONFIG_PROCESSORS=$(PROCESSORS) -DCONFIG_KMALLOC_CHECK=$(KMALLOC_LEVEL)
CHECK_NAME := $(if $(filter $(KMALLOC_CHECK),$(if $(filter 1,$(DEBUG)),canary,none)),,-$(KMALLOC_CHECK))
PROCESSORS_NAME := $(if $(filter 16,$(PROCESSORS)),,-$(PROCESSORS)p)
WIDTH_FLAGS_x86_64 := -m64 -mcmodel=kernel
WIDTH_FLAGS_i386 := -m32 -march=i686
LD_FLAGS_x86_64 := -m elf_x86_64
LD_FLAGS_i386 := -m elf_i386

# No register but the general ones belongs to the kernel, and no red zone survives an interrupt.
CODE_FLAGS := -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -momit-leaf-frame-pointer -mgeneral-regs-only -mno-red-zone $(WIDTH_FLAGS_$(ARCH))
KERNEL_FLAGS := $(WARNINGS) -O2 -g $(CODE_FLAGS) -I. -I$(PORT) -Iarch/x86/$(ARCH) $(OPTIONS)
PC_FLAGS := $(CODE_FLAGS) $(OPTIONS)

# KMALLOC_CHECK=asan: a call before each access (mem/asan.h). No shadow of stacks and globals, which would be written by
# code that the compiler makes. Tail calls would make the caller's caller the one who called memcpy. What a call leads to
# makes none, and arch/x86/memory.c asks by itself.
ASAN_FLAGS_gcc := --param asan-instrumentation-with-call-threshold=0 --param asan-stack=0 --param asan-globals=0
ASAN_FLAGS_clang := $(addprefix -mllvm ,-asan-instrumentation-with-call-threshold=0 -asan-stack=0 -asan-globals=0)
ifeq ($(KMALLOC_CHECK),asan)
ASAN_FLAGS := -fsanitize=kernel-address -fno-optimize-sibling-calls $(ASAN_FLAGS_$(CC_NAME))
PC_FLAGS += $(ASAN_FLAGS)
endif
ASAN_UNCHECKED := mem/shadow.c mem/asan.c mem/asan_hooks.c arch/x86/memory.c
LINK_FLAGS := $(LD_FLAGS_$(ARCH)) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none

# Strict C11: glibc's own valloc() would clash otherwise. Hidden: a sanitizer's library must not find our names.
HOST_ARCH := $(if $(filter 32,$(WIDTH)),i386,x86_64)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined
HOST_FLAGS := $(WARNINGS) -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing -fvisibility=hidden -m$(WIDTH) \
	-I. -Iarch/host -Iarch/x86/$(HOST_ARCH) -DCONFIG_DEBUG=1 -DCONFIG_PROCESSORS=$(PROCESSORS) -DCONFIG_KMALLOC_CHECK=$(KMALLOC_LEVEL)
HOST_STANDARD = $(if $(filter arch/host/ram%,$<),-D_GNU_SOURCE,-D_POSIX_C_SOURCE=200809L)

# --- Folders of this configuration --------------------------------------------------------------------------------------

B := build/$(ARCH)-$(CC_NAME)-$(DEBUG_NAME)$(CHECK_NAME)$(PROCESSORS_NAME)
H := build/host$(WIDTH)-$(CC_NAME)$(CHECK_NAME)
T := build/threads$(WIDTH)-$(CC_NAME)-$(DEBUG_NAME)$(CHECK_NAME)
F := build/fuzz64-clang$(CHECK_NAME)
OBJECTS = $(addprefix $(1)/,$(addsuffix .o,$(2)))

$(B)/%.c.o: %.c $(B)/flags.list
	@mkdir -p $(@D)
	$(CC) $(KERNEL_FLAGS) $(if $(filter $(ASAN_UNCHECKED),$<),,$(ASAN_FLAGS)) -MMD -MP -c -o $@ $<

$(B)/%.S.o: %.S $(B)/flags.list
	@mkdir -p $(@D)
	$(CC) $(KERNEL_FLAGS) -MMD -MP -c -o $@ $<

$(H)/%.c.o: %.c $(H)/flags.list
	@mkdir -p $(@D)
	$(CC) $(HOST_FLAGS) $(SANITIZE) $(HOST_STANDARD) -MMD -MP -c -o $@ $<

# Written only when it says something else. A source that went away must leave its archive or program, and an option that
# changed must reach every object: the list of objects and the flags are prerequisites of their own.
build/%.list: FORCE
	@mkdir -p $(@D); echo '$(LIST)' | cmp -s - $@ || echo '$(LIST)' > $@
$(B)/flags.list: LIST = $(CC) $(KERNEL_FLAGS) $(ASAN_FLAGS)
$(H)/flags.list: LIST = $(CC) $(HOST_FLAGS) $(SANITIZE)
FORCE:

# --- The library --------------------------------------------------------------------------------------------------------

LIBRARY_OBJECTS := $(call OBJECTS,$(B),$(LIBRARY_SOURCES))
BOOT_OBJECTS := $(call OBJECTS,$(B),$(BOOT_SOURCES))
ARCHIVES := $(B)/libxelixmm.a $(B)/libxelixboot.a

lib: $(ARCHIVES)

$(B)/libxelixmm.list: LIST = $(LIBRARY_OBJECTS)
$(B)/libxelixmm.a: $(LIBRARY_OBJECTS) $(B)/libxelixmm.list
$(B)/libxelixboot.list: LIST = $(BOOT_OBJECTS)
$(B)/libxelixboot.a: $(BOOT_OBJECTS) $(B)/libxelixboot.list
$(ARCHIVES):
	@rm -f $@
	ar rcsD $@ $(filter %.o,$^)

# --- Kernels on both archives ---------------------------------------------------------------------------------------------

# $(1): the image; its own objects are the %.o prerequisites. The symbol table is made from a first link with an empty one.
define link_kernel
@mkdir -p $(@D)
@tools/symbols.sh < /dev/null > $@.empty.S && $(CC) $(KERNEL_FLAGS) -c -o $@.empty.o $@.empty.S
ld $(LINK_FLAGS) -T arch/x86/$(ARCH)/kernel.ld -o $@.first $(filter %.o,$^) $@.empty.o --start-group $(ARCHIVES) --end-group
@nm -n $@.first | tools/symbols.sh > $@.symbols.S && $(CC) $(KERNEL_FLAGS) -c -o $@.symbols.o $@.symbols.S
ld $(LINK_FLAGS) -T arch/x86/$(ARCH)/kernel.ld -o $@ $(filter %.o,$^) $@.symbols.o --start-group $(ARCHIVES) --end-group
endef

KERNEL := $(B)/xelix
KERNEL_OBJECTS := $(call OBJECTS,$(B),$(KERNEL_SOURCES))

# gdb loads what is called so by itself.
kernel: $(KERNEL) $(KERNEL)-gdb.py
$(KERNEL)-gdb.py: tools/xelix-gdb.py tools/xelix_mm.py
	@mkdir -p $(@D)
	cp tools/xelix_mm.py $(@D)
	cp $< $@
$(KERNEL).list: LIST = $(KERNEL_OBJECTS)
$(KERNEL): $(KERNEL_OBJECTS) $(ARCHIVES) $(KERNEL).list arch/x86/$(ARCH)/kernel.ld tools/symbols.sh tools/closure
	@tools/closure $(filter %.o,$^) $(ARCHIVES)
	$(link_kernel)

closure: $(KERNEL_OBJECTS) $(ARCHIVES)
	@tools/closure $^

iso: $(KERNEL).iso
$(KERNEL).iso: $(KERNEL) tools/iso
	tools/iso $@ $(KERNEL) $(ARCH) '$(APPEND)' $(subst $(comma), ,$(MODULES))

# --- Programs of ring 3 ----------------------------------------------------------------------------------------------------
# Plain C for Linux, in the flavours of C library that this machine has for the width. The archive is a kernel's own: one
# of its programs has a table of that kernel's symbols.

USER_FLAVOURS_x86_64 := musl glibc
USER_FLAVOURS_i386 := glibc
USER_CC_musl := musl-gcc
USER_CC_glibc := gcc
USER_PROGRAMS := hello memory remap forks preempt registers pointers faults no_writable_code
TOUR_PROGRAMS := turns spy tenant measure
USER_FLAGS := $(filter-out -ffreestanding,$(WARNINGS)) -D_GNU_SOURCE -O2 -s -static -fno-pie -no-pie \
	$(if $(filter i386,$(ARCH)),-m32,-m64) -Wl,--build-id=none -I. -Iuser/$(ARCH)
USER_COMMON := user/check.c user/$(ARCH)/registers.S
USER_HEADERS := user/check.h user/$(ARCH)/machine.h

U := build/user/$(ARCH)
USER_FLAVOURS := $(USER_FLAVOURS_$(ARCH))
USER_NAMES := $(foreach flavour,$(USER_FLAVOURS),$(addprefix $(flavour)/,$(USER_PROGRAMS)))
SYMBOLS_FLAVOUR := $(firstword $(USER_FLAVOURS))
ARCHIVE := $(KERNEL).cpio

define user_flavour
$(U)/$(1)/%: user/%.c $(USER_COMMON) $(USER_HEADERS) $(U)/programs.inc $(U)/flags.list
	@mkdir -p $$(@D)
	$(USER_CC_$(1)) $(USER_FLAGS) -I$(U) -o $$@ $$< $(USER_COMMON)
endef
$(foreach flavour,$(USER_FLAVOURS),$(eval $(call user_flavour,$(flavour))))

$(U)/flags.list: LIST = $(USER_FLAGS)
$(U)/programs.list: LIST = $(USER_NAMES) $(SYMBOLS_FLAVOUR)/kernel_symbols
$(U)/programs.inc: $(U)/programs.list
	@sed 's/[^ ][^ ]*/    "&",\n/g' $< > $@

user: $(addprefix $(U)/,$(USER_NAMES) $(SYMBOLS_FLAVOUR)/init)

$(B)/user/kernel_symbols.inc: $(KERNEL)
	@mkdir -p $(@D); nm -n $< | sed -n 's/^\([0-9a-f]*\) [TtDdBbRrVvWw] \(.*\)/    { 0x\1, "\2" },/p' > $@
$(B)/user/kernel_symbols: user/kernel_symbols.c $(B)/user/kernel_symbols.inc $(USER_COMMON) $(USER_HEADERS) $(U)/flags.list
	$(USER_CC_$(SYMBOLS_FLAVOUR)) $(USER_FLAGS) -I$(@D) -o $@ $< $(USER_COMMON)

archive: $(ARCHIVE)
$(ARCHIVE): $(addprefix $(U)/,$(USER_NAMES) $(addprefix $(SYMBOLS_FLAVOUR)/,init $(TOUR_PROGRAMS))) $(B)/user/kernel_symbols tools/archive
	tools/archive $@ init=$(U)/$(SYMBOLS_FLAVOUR)/init bin/$(SYMBOLS_FLAVOUR)/kernel_symbols=$(B)/user/kernel_symbols \
		$(foreach name,$(TOUR_PROGRAMS),bin/$(name)=$(U)/$(SYMBOLS_FLAVOUR)/$(name)) \
		$(foreach name,$(USER_NAMES),bin/$(name)=$(U)/$(name)) $(foreach flavour,$(USER_FLAVOURS),bin/$(flavour)/no_program=LICENSE)

# What Linux boots with in tools/bench-linux: the programs that our kernel runs, and one that starts them.
LINUX_ARCHIVE := build/linux/$(ARCH)/linux.cpio
linux-archive: $(LINUX_ARCHIVE)
$(LINUX_ARCHIVE): $(addprefix $(U)/$(SYMBOLS_FLAVOUR)/,linux_init measure) tools/archive
	@mkdir -p $(@D)
	tools/archive $@ init=$(U)/$(SYMBOLS_FLAVOUR)/linux_init bin/measure=$(U)/$(SYMBOLS_FLAVOUR)/measure

user-on-linux: $(ARCHIVE)
	@tools/user-on-linux $(ARCHIVE)

EXAMPLES := $(B)/examples/minimal/minimal $(B)/examples/own-boot/own-boot
examples: $(EXAMPLES)
$(B)/examples/minimal/minimal: $(call OBJECTS,$(B),$(wildcard examples/minimal/*.c)) $(ARCHIVES) \
		arch/x86/$(ARCH)/kernel.ld tools/symbols.sh
	$(link_kernel)

OWN_BOOT := examples/own-boot
OWN_BOOT_SOURCES := $(wildcard $(OWN_BOOT)/*.c $(OWN_BOOT)/$(ARCH)/*.[cS])
$(B)/$(OWN_BOOT)/%.o: private KERNEL_FLAGS += -I$(OWN_BOOT)/$(ARCH)
$(B)/$(OWN_BOOT)/own-boot: $(call OBJECTS,$(B),$(OWN_BOOT_SOURCES)) $(B)/libxelixmm.a $(OWN_BOOT)/kernel.ld
	ld $(LINK_FLAGS) -T $(OWN_BOOT)/kernel.ld -o $@ $(filter %.o,$^) $(B)/libxelixmm.a

# --- The host -------------------------------------------------------------------------------------------------------------

HOST_OBJECTS := $(call OBJECTS,$(H),$(HOST_SOURCES))

host-test: $(H)/host-tests
	$(H)/host-tests $(FILTER)
host-build: $(H)/host-tests
$(H)/host-tests.list: LIST = $(HOST_OBJECTS)
$(H)/host-tests: $(HOST_OBJECTS) $(H)/host-tests.list
	$(CC) $(HOST_FLAGS) $(SANITIZE) -o $@ $(HOST_OBJECTS)

# ThreadSanitizer knows programs of 64 bits alone. Those of 32 run at full speed, and interrupts come between any two
# instructions.
THREADS_SOURCES := $(wildcard base/*.c mem/*.c tests/threads/*.c) tests/test.c bench/host_machine.c
THREADS_FLAGS := $(subst -DCONFIG_DEBUG=1,-DCONFIG_DEBUG=$(DEBUG),$(HOST_FLAGS)) -O2 -pthread \
	$(if $(filter 64,$(WIDTH)),-fsanitize=thread)
THREADS_OBJECTS := $(call OBJECTS,$(T),$(THREADS_SOURCES))

$(T)/%.c.o: %.c $(T)/flags.list
	@mkdir -p $(@D)
	$(CC) $(THREADS_FLAGS) -D_POSIX_C_SOURCE=200809L -MMD -MP -c -o $@ $<

$(T)/flags.list: LIST = $(CC) $(THREADS_FLAGS)
$(T)/threads-tests.list: LIST = $(THREADS_OBJECTS)
threads-test: $(T)/threads-tests
	$(T)/threads-tests $(FILTER)
threads-build: $(T)/threads-tests
$(T)/threads-tests: $(THREADS_OBJECTS) $(T)/threads-tests.list
	$(CC) $(THREADS_FLAGS) -o $@ $(THREADS_OBJECTS)
.PHONY: threads-test threads-build

FUZZ_FLAGS := $(subst -m$(WIDTH),-m64,$(subst arch/x86/i386,arch/x86/x86_64,$(HOST_FLAGS))) $(SANITIZE)
FUZZ_OBJECTS := $(call OBJECTS,$(F),$(FUZZ_COMMON_SOURCES))
$(F)/flags.list: LIST = $(FUZZ_FLAGS)

$(F)/%.c.o: %.c $(F)/flags.list
	@mkdir -p $(@D)
	clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(HOST_STANDARD) -MMD -MP -c -o $@ $<

# A fuzzer has no tests: their table is empty, between two equal addresses.
NO_TESTS := -Wl,--defsym=__start_tests=main,--defsym=__stop_tests=main
$(F)/fuzz_%: $(F)/fuzz/fuzz_%.c.o $(FUZZ_OBJECTS)
	clang $(FUZZ_FLAGS) $(NO_TESTS) -fsanitize=fuzzer -o $@ $^

fuzz-build: $(addprefix $(F)/,$(FUZZERS))
fuzz: $(addprefix run-,$(FUZZERS))
run-fuzz_%: $(F)/fuzz_%
	@mkdir -p build/corpus/fuzz_$*
	$< -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=build/corpus/fuzz_$*- \
		build/corpus/fuzz_$*

# --- Measuring -------------------------------------------------------------------------------------------------------------
# The same cases as a program for callgrind and as a kernel; without sanitizers, and as the kernels are optimized. The heap's
# cases alone also as a program for another heap.

BENCH_CHECK := $(if $(filter file,$(origin KMALLOC_CHECK)),none,$(KMALLOC_CHECK))
BENCH_LEVEL := $(if $(filter none,$(BENCH_CHECK)),0,$(KMALLOC_LEVEL))
M := build/bench$(WIDTH)-$(CC_NAME)$(if $(filter none,$(BENCH_CHECK)),,-$(BENCH_CHECK))
BENCH_CASES := $(filter-out bench/host% bench/guest.c,$(wildcard bench/*.c))
BENCH_SOURCES := $(BENCH_CASES) bench/host.c bench/host_machine.c bench/host_meter.c $(wildcard base/*.c mem/*.c arch/x86/memory.c)
PEER_SOURCES := bench/host_peer.c bench/host_meter.c bench/bench.c bench/heap.c bench/harness.c $(wildcard base/*.c)
BENCH_FLAGS := $(patsubst -DCONFIG_KMALLOC_CHECK=%,-DCONFIG_KMALLOC_CHECK=$(BENCH_LEVEL),\
	$(subst -O1,-O2,$(subst CONFIG_DEBUG=1,CONFIG_DEBUG=0,$(subst -Iarch/host,-Ibench -Iarch/host,$(HOST_FLAGS))))) -fno-pic -fno-pie -fno-stack-protector \
	-momit-leaf-frame-pointer -mgeneral-regs-only

$(M)/%.c.o: %.c $(M)/flags.list
	@mkdir -p $(@D)
	$(CC) $(BENCH_FLAGS) -MMD -MP -c -o $@ $<

$(M)/flags.list: LIST = $(CC) $(BENCH_FLAGS)
bench-host: $(M)/cases $(M)/peer $(M)/frozen_clock.so
$(M)/cases.list: LIST = $(call OBJECTS,$(M),$(BENCH_SOURCES))
$(M)/cases: $(call OBJECTS,$(M),$(BENCH_SOURCES)) $(M)/cases.list
$(M)/peer: $(call OBJECTS,$(M),$(PEER_SOURCES))
$(M)/cases $(M)/peer:
	$(CC) $(BENCH_FLAGS) -no-pie -o $@ $(filter %.o,$^)
$(M)/frozen_clock.so: bench/host_frozen_clock.c $(M)/flags.list
	$(CC) $(BENCH_FLAGS) -fPIC -shared -o $@ $<

bench-kernel: $(B)/bench/bench
$(B)/bench/bench: $(call OBJECTS,$(B),$(BENCH_CASES) bench/guest.c) $(ARCHIVES) arch/x86/$(ARCH)/kernel.ld tools/symbols.sh
	$(link_kernel)
.PHONY: bench-host bench-kernel

# --- Checks ---------------------------------------------------------------------------------------------------------------

headers:
	@for header in $(HEADERS) $(wildcard arch/x86/$(ARCH)/*.h); do \
		echo "#include <$$header>" | $(CC) $(KERNEL_FLAGS) -x c -fsyntax-only - || exit 1; \
		echo "#include <$$header>" | $(CC) $(filter-out -std=c11 -Wshadow,$(KERNEL_FLAGS)) -std=c++11 -x c++ -fsyntax-only - || exit 1; \
	done

layers:
	@tools/layers

format:
	clang-format -i $(FORMATTED)
format-check:
	@clang-format --dry-run -Werror $(FORMATTED)

# --- Commands ---------------------------------------------------------------------------------------------------------------

run:
	@tools/deps run
	@$(MAKE) -s archive
	@SMP=$(SMP) MEM=$(MEM) ACCEL=$(ACCEL) MODULES='$(or $(MODULES),$(ARCHIVE))' tools/run $(KERNEL) $(APPEND)

test test-long:
	@tools/deps test
	@tools/test $(if $(filter test-long,$@),--long) $(FILTER)

bench:
	@tools/deps bench
	@tools/bench

bench-linux:
	@tools/deps run
	@tools/deps linux
	@tools/bench-linux

# The linker script includes image.ld by its path from the tree's root; installed, it holds it.
INSTALLED := $(DESTDIR)$(PREFIX)
install: lib
	@install -d $(INSTALLED)/lib/xelix-mm/$(ARCH) $(INSTALLED)/lib/pkgconfig
	install -m 644 $(ARCHIVES) $(INSTALLED)/lib/xelix-mm/$(ARCH)
	sed -e '/^INCLUDE/{r arch/x86/image.ld' -e 'd}' arch/x86/$(ARCH)/kernel.ld > $(INSTALLED)/lib/xelix-mm/$(ARCH)/kernel.ld
	install -m 755 tools/symbols.sh $(INSTALLED)/lib/xelix-mm
	@for header in $(PUBLIC_HEADERS); do install -D -m 644 $$header $(INSTALLED)/include/xelix-mm/$$header || exit 1; done
	install -m 644 $(PORT)/port_inline.h $(INSTALLED)/include/xelix-mm/arch/x86/port_inline.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@ARCH@|$(ARCH)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@FLAGS@|$(PC_FLAGS)|' \
		tools/xelix-mm.pc.in > $(INSTALLED)/lib/pkgconfig/xelix-mm-$(ARCH).pc

json_entry = printf '{"directory": "%s", "file": "%s", "command": "%s"},\n' '$(CURDIR)' '$(1)' '$(CC) $(2) -c $(1)';
compile_commands.json: FORCE
	@{ echo '['; $(foreach source,$(LIBRARY_SOURCES) $(BOOT_SOURCES) $(KERNEL_SOURCES),\
		$(call json_entry,$(source),$(KERNEL_FLAGS))) \
	$(foreach source,$(wildcard arch/host/*.c tests/host/*.c fuzz/*.c bench/*.c),\
		$(call json_entry,$(source),$(HOST_FLAGS) -D_POSIX_C_SOURCE=200809L)) \
	echo ']'; } | sed -z 's/,\n]/\n]/' > $@

clean:
	rm -rf build compile_commands.json

.PHONY: help run test test-long bench bench-linux lib kernel user archive linux-archive user-on-linux closure iso examples host-test host-build fuzz fuzz-build headers layers install \
	format format-check clean FORCE

-include $(shell find $(B) $(H) $(T) $(F) $(M) -name '*.d' 2>/dev/null)
