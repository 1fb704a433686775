/* mem/palloc_tables.h - where palloc's descriptors live: made once, at boot, from the RAM that they describe.
 *
 * Layer: inside mem/palloc.
 *
 *     address                             palloc_metadata_bytes()
 *     | words, 8 bytes for each page number up to the end   | free | held | tied | RAM extents |
 *       backed where there is RAM, a hole elsewhere           backed whole
 *
 * Cost: a bit of each bitmap is written, so 3 bits for each page number; the words of free pages are not touched. */
#ifndef MEM_PALLOC_TABLES_H
#define MEM_PALLOC_TABLES_H

#include <mem/palloc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct palloc_tables {
    pfn_t end;
    union palloc_word *words;
    uintptr_t *free_map, *held, *tied;
    struct extent *ram; /* sorted, never touching */
    size_t ram_count, ram_pages;
    size_t carved_bytes;
};

/* Carves and maps as palloc_init() says, and writes the start: every page tied, none free or held. */
int palloc_tables_make(struct palloc_tables *tables, struct bootmap *map, uintptr_t address,
                       palloc_map_function *map_pages, void *argument);

/* The page has a word. Cost: the logarithm of the number of extents. */
bool palloc_tables_has(const struct palloc_tables *tables, pfn_t pfn);

/* Checks P1 of mem/palloc.c and counts pages by their bits. Cost: linear in RAM. */
struct palloc_counts {
    size_t held, tied, none; /* held: and not tied; none: no bit set */
};
void palloc_tables_audit(const struct palloc_tables *tables, struct palloc_counts *counts);

#ifdef __cplusplus
}
#endif
#endif
