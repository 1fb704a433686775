/* kernel/mistake.h - mistakes on purpose, so that their reports can be seen and tested. Layer: kernel. */
#ifndef KERNEL_MISTAKE_H
#define KERNEL_MISTAKE_H

/* Makes the named mistake and doesn't return; an unknown name is said and passed by. */
void mistake_make(const char *name);

#endif
