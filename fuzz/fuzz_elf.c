/* Any bytes as an ELF file of either width: elf_plan() must refuse them with a reason, or keep the promises E1 to E4 of
 * kernel/elf.c, which are judged here from the plan alone. */
#include <base/check.h>
#include <kernel/elf.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct elf_machine machines[] = {
    { 64, 0x10000, 0x7ffffffff000, 0x555555554000 },
    { 32, 0x10000, 0xffe00000, 0x400000 },
};

static void judge(const struct elf_plan *plan, size_t bytes, const struct elf_machine *machine) {
    uint64_t from = machine->first;
    bool runs = false;
    require(plan->segment_count > 0 && plan->segment_count <= ELF_SEGMENTS_MAX, "%zu segments", plan->segment_count);
    for (size_t i = 0; i < plan->segment_count; i++) {
        const struct elf_segment *segment = &plan->segments[i];
        require(segment->first >= from && segment->end > segment->first && segment->end <= machine->end &&
                    (segment->first | segment->end) % PAGE_SIZE == 0,
                "E1 broken by segment %zu", i);
        require(segment->file_offset <= bytes && segment->file_bytes <= bytes - segment->file_offset &&
                    segment->address >= segment->first && segment->file_bytes <= segment->end - segment->address,
                "E2 broken by segment %zu", i);
        require(segment->rights != (ELF_WRITE | ELF_EXECUTE), "E4 broken by segment %zu", i);
        runs = runs || ((segment->rights & ELF_EXECUTE) && plan->entry >= segment->first && plan->entry < segment->end);
        from = segment->end;
    }
    require(runs && plan->end == from, "E3 broken, or a wrong end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
        struct elf_plan plan;
        const char *why;
        int error = elf_plan(data, bytes, &machines[i], &plan, &why);
        if (error == 0)
            judge(&plan, bytes, &machines[i]);
        else
            require(error == ERR_INVALID && why != NULL, "refused with %d and no reason", error);
    }
    return 0;
}
