/* Who has what, and for how long. Age counts requests, since the port has no clock: a block that outlived a million
 * requests is older than most leaks need. */
#include <mem/kmalloc.h>
#include <mem/kmalloc_path.h>

static struct kmalloc_place *find_place(struct kmalloc_place *table, size_t *count, size_t room, uintptr_t place) {
    for (size_t i = 0; i < *count; i++)
        if (table[i].place == place)
            return &table[i];
    if (*count == room)
        return NULL;
    table[*count] = (struct kmalloc_place){ .place = place, .youngest = SIZE_MAX };
    return &table[(*count)++];
}

static void add(struct kmalloc_place *sum, const struct kmalloc_object *object) {
    sum->blocks++;
    sum->bytes += object->bytes;
    if (object->age < sum->youngest)
        sum->youngest = object->age;
    if (object->age > sum->oldest)
        sum->oldest = object->age;
}

/* The blocks that are no older than this. */
static size_t sum_up(size_t age, struct kmalloc_place *table, size_t room, struct kmalloc_place *others) {
    size_t count = 0;
    struct kmalloc_object object;
    *others = (struct kmalloc_place){ .youngest = SIZE_MAX };
    for (uintptr_t at = 0; CONFIG_KMALLOC_CANARY && kmalloc_next(at, &object); at = object.address) {
        if (!object.in_use || object.age > age)
            continue;
        struct kmalloc_place *sum = find_place(table, &count, room, object.place);
        add(sum == NULL ? others : sum, &object);
    }
    return count;
}

size_t kmalloc_places(struct kmalloc_place *table, size_t room, struct kmalloc_place *others) {
    return sum_up(SIZE_MAX, table, room, others);
}

size_t kmalloc_mark(void) {
    slab_lock();
    size_t now = magazine_clock();
    slab_unlock();
    return now;
}

size_t kmalloc_places_since(size_t mark, struct kmalloc_place *table, size_t room, struct kmalloc_place *others) {
    return sum_up(kmalloc_mark() - mark, table, room, others);
}
