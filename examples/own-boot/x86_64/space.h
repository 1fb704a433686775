/* examples/own-boot/x86_64/space.h - the address space that this kernel gives to the library. */
#define SPACE_FIRST ((uintptr_t)0xffff800000000000)
#define SPACE_END   ((uintptr_t)0xffffff0000000000)
