"""The memory manager's state in gdb, of a stopped kernel: `mm explain|ranges|tables|frames|leases`.

gdb loads this file by itself when it stands beside the image as IMAGE-gdb.py (the Makefile puts it there) and gdb was
told to trust the folder: gdb -iex 'add-auto-load-safe-path build' IMAGE. Else: source tools/xelix-gdb.py. Either way
xelix_mm.py stands beside it.

Nothing of the kernel is called or changed. It may be stopped anywhere, in ring 3 too, where its memory isn't mapped:
so all is read by physical address, which QEMU's stub offers (Qqemu.PhyMemMode), and virtual addresses are translated
here.

QEMU's stub speaks of registers of 64 bits for the kernel of 32 too (tools/run says why it is that QEMU). So gdb is set
to that architecture, callers are found by frame pointers, and what the debugging information says of variables in
registers or on the stack is wrong there; global variables are right.

A lock that is held is told, since what it guards may be half changed."""

import os
import struct
import sys
import gdb
from gdb.unwinder import Unwinder, register_unwinder

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True  # beside the sources, maybe
from xelix_mm import (PAGE, PAGE_SHIFT, PRESENT, Frames, Image, Machine, Physical, Trouble, held_note, names_of,
                      pfn_of, range_name, rights_of, symbol)

# --- The heap -------------------------------------------------------------------------------------------------------


def heap_lines(machine, address):
    heap = machine.object(gdb.parse_and_eval("&heap_pages"), "struct heap_pages")
    first, indexed = int(heap["first"]), int(heap["indexed"])
    if first == 0 or not first <= address < first + (int(heap["region_pages"]) << PAGE_SHIFT):
        return
    page = (address - first) >> PAGE_SHIFT
    size = machine.image.bits // 8
    owner = 0
    if page < indexed:
        owner = int.from_bytes(machine.read(int(heap["owners"]) + page * size, size), "little")
    if owner in (0, int(gdb.parse_and_eval("&slab_none"))):
        yield "heap: no block has this page"
        return
    slab = machine.object(owner, "struct slab")
    block_bytes, blocks = int(slab["block_bytes"]), int(slab["blocks"])
    index = (address - int(slab["first"])) // block_bytes
    if not 0 <= index < blocks:
        yield "heap: behind the blocks of a slab of %d bytes each" % block_bytes
        return
    states = owner + [f.bitpos // 8 for f in gdb.lookup_type("struct slab").fields() if f.name == "states"][0]
    notes, block = int(slab["notes"]), int(slab["first"]) + index * block_bytes
    # With canaries each block has a whole note, in a run of their own; else a byte in the slab itself.
    note_type = gdb.lookup_type("struct note")
    whole = notes != states
    state = machine.read(notes + index * (note_type.sizeof if whole else 1), 1)[0]
    cache = int(slab["of"]) and int(machine.object(slab["of"], "struct slab_class")["cache"])
    yield "heap: %d bytes into the block of %d bytes at 0x%x, %s%s" % (
        address - block, block_bytes, block, names_of("block_state").get(state, "state %d" % state),
        ", of the cache " + machine.text(cache) if cache else "")
    if whole:
        note = machine.object(notes + index * note_type.sizeof, note_type)
        if note["used"]:
            yield "heap: %d bytes were asked for, at 0x%x, allocated by %s" % (
                int(note["bytes"]), block + int(note["before"]), symbol(int(note["place"])))
        if note["used"] and int(note["freed_place"]):
            yield "heap: freed by %s" % symbol(int(note["freed_place"]))


# --- Commands -------------------------------------------------------------------------------------------------------


def say(text):
    gdb.write(text + "\n")


def lease_line(info):
    return "number %d: %d bytes at 0x%x of context %d (%s), seen at 0x%x, to %s, opened by %s" % (
        int(info["number"]), int(info["bytes"]), int(info["address"]), int(info["context_number"]),
        info["context_name"].string(), int(info["pointer"]),
        names_of("lease_access").get(int(info["access"]), "?"), symbol(int(info["place"])))


def layout_area(machine, address):
    layout = machine.object(gdb.parse_and_eval("&mem_layout"), "struct mem_layout")
    for name, title in (("view", "the frame view"), ("metadata", "the descriptors of physical pages"),
                        ("nodes", "the node pages"), ("ranges", "the kernel's ranges")):
        if int(layout[name]) <= address < int(layout[name + "_end"]):
            return title
    if machine.image.physical(address) is not None:
        return "the kernel's image: " + symbol(address)
    return "nothing of the memory manager's"


def explain_range(machine, context, page):
    below = above = None
    for node in machine.ranges(context["ranges"]):
        first, end = int(node["first"]), int(node["end"])
        if first <= page < end:
            return "range: 0x%x to 0x%x (%d pages, %s)" % (
                machine.address_of(first), machine.address_of(end), end - first, range_name(int(node["attributes"])))
        if first - int(node["guard_before"]) <= page < end + int(node["guard_after"]):
            return "range: guard page of 0x%x to 0x%x (%s)\n  likely mistake: access past the %s of the range" % (
                machine.address_of(first), machine.address_of(end), range_name(int(node["attributes"])),
                "beginning" if page < first else "end")
        if first > page:
            above = first
            break
        below = end
    return "range: none; %s, %s" % (
        "the one below ends %d pages lower" % (page - below) if below is not None else "none below",
        "the next begins %d pages higher" % (above - page) if above is not None else "none above")


def mm_explain(machine, words):
    if not 1 <= len(words) <= 2:
        raise Trouble("mm explain ADDRESS [CONTEXT]: CONTEXT is a number, the loaded one's if it isn't given")
    address = evaluate(words[0]) & ((1 << machine.image.bits) - 1)
    number = int(words[1], 0) if len(words) > 1 else machine.loaded()
    for context in machine.contexts(number):
        task = bool(context["task"])
        say("0x%x in %s: in %s" % (address, machine.context_title(context), "a task's memory" if task
                                    else layout_area(machine, address)))
        page = address >> PAGE_SHIFT
        if machine.image.wide and address >> 47 not in (0, (1 << 17) - 1):
            say("  not a canonical address: the upper bits must all equal bit 47")
            return
        if int(context["ranges"]["first"]) <= page < int(context["ranges"]["end"]):
            say("  " + explain_range(machine, context, page))
        walked = machine.walk(int(context["tables"]["root"]), address)
        for level, index, entry in walked:
            say("  level %d: entry %3d is 0x%016x: %s" % (
                level, index, entry, "not present" if not entry & PRESENT else
                "page 0x%x, %s" % (pfn_of(entry), rights_of(entry)) if machine.is_leaf(level, entry) else
                "table in page 0x%x" % pfn_of(entry)))
        level, _, entry = walked[-1]
        if entry & PRESENT:
            pfn = pfn_of(entry) + (address >> PAGE_SHIFT & (1 << 9 * level) - 1)
            say("  frame: page 0x%x, %s" % (pfn, Frames(machine).describe(pfn)))
        elif address < PAGE:
            say("  likely mistake: a null pointer, or a member of what it points to")
        for info in machine.leases():
            start = int(info["address"]) if task else int(info["pointer"])
            first, last = start & -PAGE, start + int(info["bytes"]) - 1 | PAGE - 1
            if first <= address <= last and (not task or int(info["context_number"]) == number):
                say("  lease: " + lease_line(info))
        if not task:
            for line in heap_lines(machine, address):
                say("  " + line)


def evaluate(text):
    """A number, a register, the address of a variable. It may not need memory: the stub's addresses are physical."""
    return int(gdb.parse_and_eval(text))


def one_number(words):
    if len(words) > 1:
        raise Trouble("at most one context's number")
    return int(words[0], 0) if words else None


def mm_ranges(machine, words):
    for context in machine.contexts(one_number(words)):
        say(machine.context_title(context) + ":")
        count = 0
        for node in machine.ranges(context["ranges"]):
            pages = int(node["end"]) - int(node["first"])
            say("  %s %7d pages, %s%s" % (machine.hex(int(node["first"]) << PAGE_SHIFT), pages,
                                          range_name(int(node["attributes"])),
                                          ", guard" if int(node["guard_after"]) else ""))
            count += 1
        said = int(context["ranges"]["ranges"])
        say("  %d ranges%s" % (count, "" if said == count else ", though the space says %d" % said))


def mm_tables(machine, words):
    for context in machine.contexts(one_number(words)):
        tables = context["tables"]
        say("%s, root in page 0x%x, %d pages of tables%s:" % (machine.context_title(context), int(tables["root"]),
                                                              int(tables["tables"]), held_note(tables["lock"])))
        for page, pages, pfn, rights in machine.translations(int(tables["root"])):
            say("  %s %7d pages -> page 0x%x, %s" % (machine.hex(machine.address_of(page)), pages, pfn, rights))


def mm_frames(machine, words):
    frames = Frames(machine)
    if words:
        pfn = evaluate(words[0])
        say("page 0x%x: %s" % (pfn, frames.describe(pfn)))
        return
    say("physical pages%s:" % held_note(frames.tables["lock"]))
    totals = frames.count()
    for owner in sorted(totals):
        say("  %-14s %9d pages" % (owner, totals[owner]))
    total, ram = sum(totals.values()), int(frames.tables["ram_pages"])
    say("  %-14s %9d pages%s" % ("sum", total, "" if total == ram else ", though RAM has %d" % ram))


def mm_leases(machine, words):
    count = 0
    for info in machine.leases():
        say("  " + lease_line(info))
        count += 1
    say("  %d open" % count)


COMMANDS = {
    "explain": (mm_explain, "ADDRESS [CONTEXT]: what is at a virtual address, in the loaded context or another"),
    "ranges": (mm_ranges, "[CONTEXT]: virtual ranges of every context, or of one"),
    "tables": (mm_tables, "[CONTEXT]: translations of every context, or of one"),
    "frames": (mm_frames, "[PAGE]: physical pages by owner; or who has this one"),
    "leases": (mm_leases, "task memory that the kernel sees now"),
}


class MmPrefix(gdb.Command):
    """The memory manager's state: mm explain ADDRESS [CONTEXT], ranges, tables, frames, leases."""

    def __init__(self):
        super().__init__("mm", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class MmCommand(gdb.Command):
    def __init__(self, name, function, help_text):
        self.function = function
        self.__doc__ = "mm %s %s" % (name, help_text)
        super().__init__("mm " + name, gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        with Physical():
            try:
                self.function(Machine(), gdb.string_to_argv(argument))
            except (gdb.MemoryError, ValueError) as error:
                raise Trouble(str(error))


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class FramePointers(Unwinder):
    """Callers of a kernel of 32 bits, whose debugging information numbers other registers than gdb has then: by the
    frame pointers that it is compiled with. A function that calls none may have none, and its caller is left out."""

    def __init__(self):
        super().__init__("xelix-mm-frame-pointers")

    def __call__(self, pending):
        frame, here = int(pending.read_register("rbp")), pending.read_register("rip")
        long, pointer = gdb.lookup_type("unsigned long long"), here.type
        try:
            saved = struct.unpack("<II", bytes(gdb.selected_inferior().read_memory(frame, 8)))
        except gdb.MemoryError:
            return None
        stack = gdb.Value(frame + 8).cast(long)
        info = pending.create_unwind_info(FrameId(stack, here))
        info.add_saved_register("rip", gdb.Value(saved[1]).cast(pointer))
        info.add_saved_register("rbp", gdb.Value(saved[0]).cast(long))
        info.add_saved_register("rsp", stack)
        return info


def start():
    MmPrefix()
    for name, (function, help_text) in COMMANDS.items():
        MmCommand(name, function, help_text)
    # QEMU's machine of 64 bits runs the kernel of 32, and its stub speaks of registers of 64.
    file = gdb.current_progspace().filename
    if file and not Image(file).wide:
        gdb.execute("set architecture i386:x86-64", to_string=True)
        register_unwinder(None, FramePointers(), replace=True)


start()
