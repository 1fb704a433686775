/* mem/audit.h - above layer 5: the whole state, checked and summed.
 *
 * Context: a task's, not an interrupt's; takes each lock in turn, so others should be quiet. Cost: linear in RAM and
 * tables. */
#ifndef MEM_AUDIT_H
#define MEM_AUDIT_H

#include <base/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs every layer's audit, and checks A1 of mem/audit.c over all of them. Panics with the first contradiction. */
void audit_all(void);

/* A sum over the logical state: owner and counts of each page, the ranges and translations of each context. Pages in
 * caches count as free, and spare pages of pools are given back first; so two equal states have equal sums, whatever
 * the order of lists and the fill of caches. Two different ones differ but for a chance of 2^-64. */
uint64_t audit_hash(void);

#ifdef __cplusplus
}
#endif
#endif
