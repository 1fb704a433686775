/* examples/own-boot/i386/space.h - the address space that this kernel gives to the library. */
#define SPACE_FIRST ((uintptr_t)0x90000000)
#define SPACE_END   ((uintptr_t)0xff000000)
