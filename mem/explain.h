/* mem/explain.h - above layer 5: "what is at this address?"
 *
 * For fault reports, the monitor and tests. Context: any with the locks below free; a report after a fault in this code
 * itself must not call it again. */
#ifndef MEM_EXPLAIN_H
#define MEM_EXPLAIN_H

#include <mem/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void explain_print(const char *format, ...);

/* Prints some lines, each ended by a newline: in which area of which context the address lies; its range or guard; the
 * heap's block, with where it was allocated and freed, and whether it is intact; open leases on it; the entry at each
 * level of the tables; the translation; the page behind it with owner and counts, in debug builds with who took it; and
 * the likely mistake, where one can be told. */
void explain_in(struct context *context, uintptr_t address, explain_print *print);
void explain_address(uintptr_t address, explain_print *print); /* in the kernel's context */

/* The same for a physical page; of one that isn't RAM, where RAM ends and begins again. */
void explain_frame(pfn_t pfn, explain_print *print);

#ifdef __cplusplus
}
#endif
#endif
