# config.mk - the build's options, each with one sentence. Set them on the command line: make run ARCH=i386 MEM=64M

# The machine to build for: x86_64 or i386.
ARCH ?= x86_64

# The compiler: gcc or clang, or a path that ends in one of them.
ifeq ($(origin CC),default)
CC := gcc
endif

# 1 checks our own invariants as we go and allows forced failures (CONFIG_DEBUG), 0 leaves both out.
DEBUG ?= 1

# The most processors that per-processor data has room for (CONFIG_PROCESSORS).
PROCESSORS ?= 16

# How much the heap checks (CONFIG_KMALLOC_CHECK): none, canary, guard or asan; docs/heap.md says what each finds.
KMALLOC_CHECK ?= $(if $(filter 1,$(DEBUG)),canary,none)

# The folder whose port_inline.h (mem/port.h) the library is compiled with.
PORT ?= arch/x86

# Processors that QEMU gives the machine.
SMP ?= 1

# RAM that QEMU gives the machine, with QEMU's suffixes M and G.
MEM ?= 256M

# How QEMU runs it: tcg emulates and shows every protection everywhere, kvm uses the host's processor.
ACCEL ?= tcg

# Words for the kernel's command line.
APPEND ?=

# Files that the loader hands to the kernel as modules, separated by commas; for x86_64, QEMU's own loader takes only one.
MODULES ?=

# The width of a host build in bits: 64 or 32.
WIDTH ?= 64

# Only the tests whose name contains this; empty for all.
FILTER ?=

# Seconds that each fuzzer runs in `make fuzz` and `make test`.
FUZZ_SECONDS ?= 10

# Where `make install` puts headers, archives and the pkg-config file; DESTDIR goes in front of it.
PREFIX ?= /usr/local
DESTDIR ?=
