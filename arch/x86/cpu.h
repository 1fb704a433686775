/* arch/x86/cpu.h - instructions that C has no words for. Layer: arch. Context: ring 0, any. */
#ifndef ARCH_X86_CPU_H
#define ARCH_X86_CPU_H

#include <base/types.h>

#define CR0_MONITOR_COPROCESSOR ((uintptr_t)1 << 1)
#define CR0_EMULATION           ((uintptr_t)1 << 2)
#define CR0_TASK_SWITCHED       ((uintptr_t)1 << 3)
#define CR0_NUMERIC_ERROR       ((uintptr_t)1 << 5)
#define CR0_WRITE_PROTECT       ((uintptr_t)1 << 16)
#define CR0_NOT_WRITE_THROUGH   ((uintptr_t)1 << 29)
#define CR0_CACHE_DISABLE       ((uintptr_t)1 << 30)

#define CR4_MACHINE_CHECK   ((uintptr_t)1 << 6)
#define CR4_PAGE_GLOBAL     ((uintptr_t)1 << 7)
#define CR4_FXSAVE          ((uintptr_t)1 << 9)
#define CR4_SIMD_EXCEPTIONS ((uintptr_t)1 << 10)
#define CR4_UMIP            ((uintptr_t)1 << 11)
#define CR4_FSGSBASE        ((uintptr_t)1 << 16)
#define CR4_SMEP            ((uintptr_t)1 << 20)
#define CR4_SMAP            ((uintptr_t)1 << 21)

#define FLAGS_FIXED     ((uintptr_t)1 << 1)
#define FLAGS_INTERRUPT ((uintptr_t)1 << 9)

enum { MSR_PAT = 0x277 };
#define MSR_EFER        0xc0000080u
#define MSR_STAR        0xc0000081u
#define MSR_LSTAR       0xc0000082u
#define MSR_SFMASK      0xc0000084u
#define MSR_FS_BASE     0xc0000100u
#define MSR_GS_BASE     0xc0000101u
#define EFER_SYSCALL    ((uint64_t)1 << 0)
#define EFER_NO_EXECUTE ((uint64_t)1 << 11)

/* --- Ports ------------------------------------------------------------------------------------------------------- */

static inline void cpu_out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void cpu_out16(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void cpu_out32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t cpu_in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* --- Control registers ------------------------------------------------------------------------------------------- */

static inline uintptr_t cpu_cr0(void) {
    uintptr_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static inline void cpu_set_cr0(uintptr_t value) {
    __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}

static inline uintptr_t cpu_cr2(void) {
    uintptr_t value;
    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

static inline uintptr_t cpu_cr3(void) {
    uintptr_t value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static inline void cpu_set_cr3(uintptr_t value) {
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static inline uintptr_t cpu_cr4(void) {
    uintptr_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static inline void cpu_set_cr4(uintptr_t value) {
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static inline void cpu_invalidate_page(uintptr_t address) {
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline uint64_t cpu_msr(uint32_t number) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static inline void cpu_set_msr(uint32_t number, uint64_t value) {
    __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* --- Interrupts and the rest ------------------------------------------------------------------------------------- */

static inline uintptr_t cpu_flags(void) {
    uintptr_t flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags) : : "memory");
    return flags;
}

static inline void cpu_interrupts_off(void) {
    __asm__ volatile("cli" : : : "memory");
}

static inline void cpu_interrupts_on(void) {
    __asm__ volatile("sti" : : : "memory");
}

static inline void cpu_halt(void) {
    __asm__ volatile("hlt" : : : "memory");
}

/* STI lets one more instruction run before an interrupt can come (SDM volume 2B, STI), none is lost between. */
static inline void cpu_sleep(void) {
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

static inline uint64_t cpu_cycles(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void cpu_pause(void) {
    __asm__ volatile("pause");
}

/* What LGDT and LIDT read. */
struct cpu_table {
    uint16_t last_byte;
    uintptr_t base;
} __attribute__((packed));

static inline void cpu_load_gdt(const void *base, size_t bytes) {
    struct cpu_table table = { (uint16_t)(bytes - 1), (uintptr_t)base };
    __asm__ volatile("lgdt %0" : : "m"(table) : "memory");
}

static inline void cpu_load_idt(const void *base, size_t bytes) {
    struct cpu_table table = { (uint16_t)(bytes - 1), (uintptr_t)base };
    __asm__ volatile("lidt %0" : : "m"(table) : "memory");
}

static inline void cpu_load_task(uint16_t selector) {
    __asm__ volatile("ltr %0" : : "r"(selector) : "memory");
}

static inline void cpu_load_data_segments(uint16_t selector) {
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs; mov %0, %%ss"
                     :
                     : "r"(selector)
                     : "memory");
}

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/* All zero for a leaf that the processor doesn't have. */
static inline struct cpuid cpu_id(uint32_t leaf) {
    struct cpuid id, highest;
    uint32_t family = leaf & 0x80000000u;
    __asm__ volatile("cpuid"
                     : "=a"(highest.eax), "=b"(highest.ebx), "=c"(highest.ecx), "=d"(highest.edx)
                     : "a"(family), "c"(0));
    if (highest.eax < leaf)
        return (struct cpuid){ 0, 0, 0, 0 };
    __asm__ volatile("cpuid" : "=a"(id.eax), "=b"(id.ebx), "=c"(id.ecx), "=d"(id.edx) : "a"(leaf), "c"(0));
    return id;
}

#endif
