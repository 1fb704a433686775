#!/bin/sh
# tools/symbols.sh - from `nm -n KERNEL` on standard input to an assembler file on standard output: the table that
# boot/symbols.c reads. Linked a second time with it, the kernel knows its own functions; nothing else moves, since the
# table's section is the image's last.
#
#     nm -n first.elf | tools/symbols.sh > symbols.S
exec awk '
BEGIN { count = 0 }
$2 ~ /^[TtDdBbRr]$/ && $3 !~ /^(image_|\.|__start_|__stop_)/ {
    address[count] = "0x" substr($1, length($1) - 7)
    name[count++] = $3
}
END {
    print "    .section .symbols, \"a\""
    printf "    .long %d\n", count
    offset = 0
    for (i = 0; i < count; i++) {
        printf "    .long %s, %d\n", address[i], offset
        offset += length(name[i]) + 1
    }
    for (i = 0; i < count; i++)
        printf "    .asciz \"%s\"\n", name[i]
    print "    .section .note.GNU-stack, \"\", @progbits"
}'
