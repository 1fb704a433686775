/* Control bits, in an order that is safe while the boot code's tables are live: those tables use neither no-execute nor
 * global nor user pages, so each bit changes nothing that is mapped by then. NXE comes before the first table that has
 * the bit, since without NXE it is reserved and faults (SDM volume 3A, 4.4.2 and 4.5.4).
 *
 * The PAT is rewritten with caches on. The procedure of SDM 12.11.8 (all processors, caches off, flush) guards pages
 * that are in use with a type that changes; entry 0 keeps write-back, and 1 and 3 are in use for nothing yet. Caches
 * themselves are switched on last: firmware does that on most machines, not on all. */
#include <arch/arch.h>
#include <arch/x86/cpu.h>
#include <arch/x86/processor.h>
#include <base/string.h>

struct arch_features arch_features;

/* CPUID: leaf 1 EDX, leaf 7 EBX and ECX, leaf 0x80000001 EDX (SDM volume 2A, CPUID). */
#define ID1_TIME_STAMP    (1u << 4)
#define ID1_RANDOM        (1u << 30) /* ECX */
#define ID1_MACHINE_CHECK (1u << 7)
#define ID1_PAGE_GLOBAL   (1u << 13)
#define ID1_PAT           (1u << 16)
#define ID7_SMEP          (1u << 7)
#define ID7_SMAP          (1u << 20)
#define ID7_UMIP          (1u << 2)
#define ID81_NO_EXECUTE   (1u << 20)

/* Entries 0 to 7, a byte each: WB WC UC- UC, twice. 6 is WB, 1 WC, 7 UC-, 0 UC (SDM volume 3A, table 12-10). */
#define PAT_VALUE ((uint64_t)0x0007010600070106)

static void read_brand(char brand[49]) {
    memset(brand, 0, 49);
    if (cpu_id(0x80000000).eax < 0x80000004)
        return;
    for (uint32_t i = 0; i < 3; i++) {
        struct cpuid part = cpu_id(0x80000002 + i);
        memcpy(brand + i * sizeof(part), &part, sizeof(part));
    }
}

static void find_features(struct arch_features *features) {
    struct cpuid one = cpu_id(1), seven = cpu_id(7), extended = cpu_id(0x80000001), sizes = cpu_id(0x80000008);
    features->global_pages = (one.edx & ID1_PAGE_GLOBAL) != 0;
    features->pat = (one.edx & ID1_PAT) != 0;
    features->smep = (seven.ebx & ID7_SMEP) != 0;
    features->smap = (seven.ebx & ID7_SMAP) != 0;
    features->umip = (seven.ecx & ID7_UMIP) != 0;
    features->no_execute = (extended.edx & ID81_NO_EXECUTE) != 0;
    features->physical_bits = sizes.eax != 0 ? (uint8_t)sizes.eax : 36;
    read_brand(features->brand);
}

static uintptr_t cr4_bits(const struct arch_features *features) {
    uintptr_t bits = 0;
    if (features->global_pages)
        bits |= CR4_PAGE_GLOBAL;
    if (features->smep)
        bits |= CR4_SMEP;
    if (features->smap)
        bits |= CR4_SMAP;
    if (features->umip)
        bits |= CR4_UMIP;
    if (cpu_id(1).edx & ID1_MACHINE_CHECK)
        bits |= CR4_MACHINE_CHECK;
    return bits;
}

void arch_processor_start(void) {
    struct arch_features *features = &arch_features;
    find_features(features);
    if (features->no_execute)
        cpu_set_msr(MSR_EFER, cpu_msr(MSR_EFER) | EFER_NO_EXECUTE);
    arch_no_execute = features->no_execute ? PTE_NO_EXECUTE : 0;
    if (features->pat)
        cpu_set_msr(MSR_PAT, PAT_VALUE);
    cpu_set_cr4((cpu_cr4() & ~CR4_FSGSBASE) | cr4_bits(features));
    cpu_set_cr0((cpu_cr0() & ~(CR0_CACHE_DISABLE | CR0_NOT_WRITE_THROUGH)) | CR0_WRITE_PROTECT | CR0_NUMERIC_ERROR |
                CR0_MONITOR_COPROCESSOR);
}

/* RDRAND may fail for want of entropy and says so in CF; ten tries is the manual's advice (SDM volume 1, 7.3.17.1). */
static uintptr_t random_word(void) {
    uintptr_t word = 0;
    bool done = false;
    for (unsigned i = 0; i < 10 && !done; i++)
        __asm__ volatile("rdrand %0; setc %1" : "=r"(word), "=qm"(done) : : "cc");
    return word;
}

uint64_t arch_processor_random(void) {
    struct cpuid one = cpu_id(1);
    uint64_t value = one.edx & ID1_TIME_STAMP ? cpu_cycles() : 0;
    if (one.ecx & ID1_RANDOM)
        value ^= (uint64_t)random_word() << 32 ^ random_word();
    return value;
}
