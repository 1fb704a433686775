/* H3 to H6 of mem/slab.c, recounted from the runs and the notes. */
#include <mem/slab.h>
#include <base/check.h>

static void audit_notes(const struct slab *slab) {
    unsigned taken = 0;
    for (unsigned i = 0; i < slab->blocks; i++) {
        const uint8_t *note = slab->notes + i * NOTE_BYTES;
        bool is_free = *note <= BLOCK_RAW;
        taken += !is_free;
        require(*note <= BLOCK_QUARANTINED && (*note != BLOCK_RAW || slab->of->constructed),
                "heap: H4 broken: slab at %#zx: block %u has state %u", (size_t)slab->first, i, *note);
        require(!is_free || note >= slab->lowest, "heap: H4 broken: slab at %#zx: block %u is free before the lowest",
                (size_t)slab->first, i);
    }
    require(taken == slab->taken, "heap: H4 broken: slab at %#zx: %u blocks taken, %u noted", (size_t)slab->first,
            taken, slab->taken);
}

static void audit_slab(const struct slab *slab) {
    const struct slab_class *of = slab->of;
    const struct vspace_range *run = vspace_find(&heap_pages.runs, page_number(slab->first));
    bool large = of->pages == 0;
    require(run->first == page_number(slab->first) && run->end - run->first == slab->pages,
            "heap: H3 broken: slab at %#zx has %zu pages, its run %zu", (size_t)slab->first, slab->pages,
            (size_t)(run->end - run->first));
    for (size_t i = 0; i < slab->pages; i++)
        require(heap_pages_owner(slab->first + (i << PAGE_SHIFT)) == slab, "heap: H3 broken: page %zu of slab at %#zx",
                i, (size_t)slab->first);
    require(slab->blocks == of->blocks && slab->reciprocal == of->reciprocal && slab->magazine == slab_magazine(of) &&
                slab->blocks <= slab->room &&
                (large ? slab->block_bytes == slab->pages << PAGE_SHIFT
                       : slab->block_bytes == of->block_bytes && slab->pages == of->pages),
            "heap: H3 broken: slab at %#zx has %u blocks of %zu bytes", (size_t)slab->first, slab->blocks,
            slab->block_bytes);
    require(!large || slab->taken == 1 || slab->urgent, "heap: H5 broken: large block at %#zx isn't in use",
            (size_t)slab->first);
    audit_notes(slab);
}

static size_t audit_partial(const struct slab_class *of) {
    size_t listed = 0;
    const struct slab *previous = NULL;
    for (const struct slab *slab = of->partial; slab != NULL; previous = slab, slab = slab->next)
        require(slab->previous == previous && slab->of == of && slab->taken > 0 && slab->taken < slab->blocks &&
                    ++listed <= of->slabs,
                "heap: H5 broken: slab at %#zx with %u of %u blocks taken is on the list for %u bytes",
                (size_t)slab->first, slab->taken, slab->blocks, of->block_bytes);
    return listed;
}

/* Slabs of one list of wholly free ones, which must all have so many pages. */
static size_t audit_free(const struct slab *list, size_t pages, bool urgent) {
    size_t listed = 0;
    const struct slab *previous = NULL;
    for (const struct slab *slab = list; slab != NULL; previous = slab, slab = slab->next, listed++)
        require(slab->previous == previous && slab->taken == 0 && slab->pages == pages && slab->urgent == urgent,
                "heap: H5 broken: slab at %#zx with %zu pages and %u blocks taken is among the free ones of %zu",
                (size_t)slab->first, slab->pages, slab->taken, pages);
    return listed;
}

/* What the slabs of a class, or of all, add up to. */
struct sums {
    size_t slabs, taken, full, unused, pages, urgent;
};

static struct sums sum_up(const struct slab_class *of, size_t *note_pages) {
    struct sums sum = { .slabs = 0 };
    for (const struct slab *slab = slab_next(0); slab != NULL;
         slab = slab_next(slab->first + (slab->pages << PAGE_SHIFT))) {
        if (of != NULL && slab->of != of)
            continue;
        sum.slabs++;
        sum.taken += slab->taken;
        sum.full += slab->taken == slab->blocks;
        sum.unused += slab->taken == 0;
        sum.pages += slab->pages;
        sum.urgent += slab->urgent;
        if (note_pages != NULL && CONFIG_KMALLOC_CANARY && slab->room > 1)
            *note_pages += (slab->room * NOTE_BYTES + PAGE_SIZE - 1) >> PAGE_SHIFT;
    }
    return sum;
}

static void audit_class(const struct slab_class *of) {
    size_t listed = audit_partial(of);
    struct sums sum = of->slabs == 0 ? (struct sums){ .slabs = 0 } : sum_up(of, NULL);
    require(listed + sum.full + sum.unused == sum.slabs,
            "heap: H5 broken: of %zu slabs for %u bytes %zu are listed, %zu full and %zu unused", sum.slabs,
            of->block_bytes, listed, sum.full, sum.unused);
    require(sum.slabs == of->slabs && sum.taken == of->taken && sum.pages == of->run_pages,
            "heap: H6 broken: %zu slabs with %zu blocks taken and %zu pages for %u bytes, noted %zu, %zu and %zu",
            sum.slabs, sum.taken, sum.pages, of->block_bytes, of->slabs, of->taken, of->run_pages);
}

static void audit_sums(size_t other_pages) {
    size_t notes = 0, kept = 0, kept_pages = 0, slabs = 0;
    for (const struct slab_class *of = slab_lists.classes; of != NULL; of = of->next)
        slabs += of->slabs;
    for (size_t i = 0; i <= SLAB_PAGES_MAX; i++) {
        size_t listed = audit_free(slab_lists.kept[i], i, false);
        kept += listed;
        kept_pages += listed * i;
    }
    size_t reserve = audit_free(slab_lists.reserve, 1, true);
    struct sums all = sum_up(NULL, &notes);
    require(all.unused == kept + reserve && kept == slab_lists.kept_slabs && kept_pages == slab_lists.kept_pages &&
                all.urgent == slab_lists.reserve_pages,
            "heap: H5 broken: %zu slabs are unused, %zu kept (%zu pages; noted %zu, %zu), %zu in the reserve",
            all.unused, kept, kept_pages, slab_lists.kept_slabs, slab_lists.kept_pages, reserve);
    size_t described = slab_lists.small.objects + slab_lists.big.objects - slab_lists.hidden;
    require(all.pages + notes + other_pages == heap_pages.pages && all.slabs == described && slabs == described,
            "heap: H6 broken: slabs have %zu pages, notes %zu, caches %zu, runs %zu; %zu slabs, %zu in classes, %zu "
            "descriptions",
            all.pages, notes, other_pages, heap_pages.pages, all.slabs, slabs, described);
}

void slab_audit(size_t other_pages) {
    for (const struct slab *slab = slab_next(0); slab != NULL;
         slab = slab_next(slab->first + (slab->pages << PAGE_SHIFT)))
        audit_slab(slab);
    for (const struct slab_class *of = slab_lists.classes; of != NULL; of = of->next)
        audit_class(of);
    audit_sums(other_pages);
    pool_audit(&slab_lists.small);
    pool_audit(&slab_lists.big);
}
