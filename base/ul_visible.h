/* base/ul_visible.h - what of the kernel a task's tables hold.
 *
 *     UL_VISIBLE("data") static uint64_t table[8];
 *
 * puts a symbol into the window: a few pages that stand at one address in every context, for ring 0 only. The parts,
 * each with its own rights: "text" read and execute, "rodata" read (written during boot alone, before the final tables
 * are loaded), "data" and "bss" read and write, "percpu" read and write, one instance a processor.
 *
 * It is a promise: what is marked reaches nothing unmarked but the gates, functions whose names begin with ul_gate_,
 * and these only after the kernel's own tables are loaded. tools/closure checks it when the kernel is linked. Marked
 * text is assembler: a compiler may put a part of C code elsewhere. */
#ifndef BASE_UL_VISIBLE_H
#define BASE_UL_VISIBLE_H

#define UL_VISIBLE(part) __attribute__((section("ul_visible_" part)))

#endif
