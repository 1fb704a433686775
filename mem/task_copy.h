/* mem/task_copy.h - layer 5: bytes copied between the kernel and a task.
 *
 * Every page is looked at when its bytes' turn comes: it must be the task's, and the task must be allowed to read it,
 * or write it. Pages that aren't there yet are made and those that a fork left to several are copied first, as the
 * task's own access would do. So a bad pointer is an error and no fault, a run that wraps is refused whole, and nothing
 * is counted on that was looked at before: the task may change its mappings meanwhile, and the copy then ends at the
 * first page that is gone.
 *
 * Copy or lease (mem/lease.h)? A copy costs what its bytes cost; a lease hardly more for a page than for a byte. In
 * instructions, from the middle of a page, for bytes that are there, without what is then done with them (bench cases
 * take-copy-BYTES and take-lease-BYTES in the guests):
 *
 *     bytes              64    256   1 KiB   4 KiB   16 KiB   64 KiB   256 KiB     1 MiB
 *     x86_64    copy    289    337     529   1,513    5,233   20,113    79,633   317,713
 *               lease   920    920     920     999    1,230    2,154     5,588    20,853
 *     i386      copy    591    639     831   2,106    6,699   25,071    98,559   392,512
 *               lease 1,390  1,390   1,390   1,549    2,017    3,889    11,112    42,111
 *
 * They meet a little above 2 KiB: TASK_COPY_BYTES. Instructions leave out that a lease's pages are flushed from the
 * TLB by the close, a page each, or all from 33 pages on. Copying also gives what a plain lease doesn't, bytes that the
 * task can't change after they were checked; for that without a copy, take LEASE_STABLE.
 *
 * Context: a thread's, not an interrupt's; takes the context's lock, a page at a time. */
#ifndef MEM_TASK_COPY_H
#define MEM_TASK_COPY_H

#include <mem/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Up to this many bytes a copy costs less than a lease. */
#define TASK_COPY_BYTES ((size_t)2048)

/* Copies `bytes` bytes, any alignment. 0, or ERR_FAULT, ERR_NO_MEMORY at the first page that can't be read or written:
 * then the bytes before it have been copied, and no other. *copied is how many, always, unless the pointer is NULL.
 * Cost: a walk of the tables a page, and the copy. */
int copy_from_task(struct context *context, void *to, uintptr_t from, size_t bytes, size_t *copied);
int copy_to_task(struct context *context, uintptr_t to, const void *from, size_t bytes, size_t *copied);

/* Copies a text with its zero into `room` bytes and says its length without the zero. ERR_FAULT, ERR_NO_MEMORY as
 * above; ERR_LIMIT if there is no zero in the first `room` bytes. Nothing behind the zero's page is looked at; what
 * follows the zero in `to`, and all of it after an error, is unspecified. */
int string_from_task(struct context *context, char *to, uintptr_t from, size_t room);

#ifdef __cplusplus
}
#endif
#endif
