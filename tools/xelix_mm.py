"""What tools/xelix-gdb.py's commands stand on: the stopped kernel's memory, structures and descriptors of pages.

    a variable --symbols--> its address --the image's program headers--> physical        needs no table
    anything else of the kernel's --kernel context's root, a walk--> physical
    a task's --its root, a walk--> physical

Structures and constants are taken from the image's debugging information by name, so what is compiled is what is read.
Whatever was read stands in a cache until the command ends."""

import struct
import gdb

PAGE_SHIFT, PAGE = 12, 4096
PRESENT, WRITE, USER, LARGE, GLOBAL, NO_EXECUTE = 1, 2, 4, 1 << 7, 1 << 8, 1 << 63
PFN_NONE = 0xFFFFFFFF
TOO_MANY = 10_000_000  # of anything in a list: it isn't one


class Trouble(gdb.GdbError):
    pass


class Image:
    """The file that gdb debugs: its width, and where its bytes are in physical memory."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        self.wide = data[4] == 2
        if self.wide:
            offset, size, count = *struct.unpack_from("<Q", data, 0x20), *struct.unpack_from("<HH", data, 0x36)
        else:
            offset, size, count = *struct.unpack_from("<I", data, 0x1C), *struct.unpack_from("<HH", data, 0x2A)
        self.segments = []
        for at in range(offset, offset + size * count, size):
            if self.wide:
                kind, _, _, address, physical, _, length = struct.unpack_from("<IIQQQQQ", data, at)
            else:
                kind, _, address, physical, _, length = struct.unpack_from("<IIIIII", data, at)
            if kind == 1:
                self.segments.append((address, physical, length))
        self.bits = 64 if self.wide else 32
        self.index_bits = [9, 9, 9, 9] if self.wide else [9, 9, 2]  # from the lowest level up

    def physical(self, address):
        for first, physical, length in self.segments:
            if first <= address < first + length:
                return physical + address - first
        return None


class Physical:
    """While one of these is entered, the stub's addresses are physical."""

    def __enter__(self):
        answer = gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)
        if "OK" not in answer:
            raise Trouble("this stub can't read physical memory: it isn't QEMU's")

    def __exit__(self, *unused):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)


class Machine:
    """One command's view of the stopped kernel."""

    def __init__(self):
        self.image = Image(gdb.current_progspace().filename)
        self.pages = {}  # of physical memory, as they were read: nothing runs meanwhile
        self.root = None
        kernel = self.variable("mem/context.c", "state")["kernel"]
        self.root = int(kernel["tables"]["root"])
        if self.root in (0, PFN_NONE):
            raise Trouble("the memory manager isn't up yet")

    # --- Addresses --------------------------------------------------------------------------------------------------

    def page(self, pfn):
        if pfn not in self.pages:
            self.pages[pfn] = bytes(gdb.selected_inferior().read_memory(pfn << PAGE_SHIFT, PAGE))
        return self.pages[pfn]

    def walk(self, root, address):
        """The entries from the top down to the one that decides: (level, index, entry)."""
        seen, table = [], root
        for level in range(len(self.image.index_bits) - 1, -1, -1):
            index = address >> (PAGE_SHIFT + 9 * level) & ((1 << self.image.index_bits[level]) - 1)
            entry = struct.unpack_from("<Q", self.page(table), 8 * index)[0]
            seen.append((level, index, entry))
            if not entry & PRESENT or self.is_leaf(level, entry):
                break
            table = pfn_of(entry)
        return seen

    def is_leaf(self, level, entry):
        return level == 0 or (level < len(self.image.index_bits) - 1 and entry & LARGE != 0)

    def read(self, address, length):
        """Bytes at an address of the kernel's."""
        out = b""
        while len(out) < length:
            at = address + len(out)
            part = min(length - len(out), PAGE - at % PAGE)
            physical = self.image.physical(at)
            if physical is None:
                if self.root is None:
                    raise Trouble("0x%x isn't in the image" % at)
                level, _, entry = self.walk(self.root, at)[-1]
                if not entry & PRESENT:
                    raise Trouble("0x%x isn't mapped in the kernel's context" % at)
                size = 1 << (PAGE_SHIFT + 9 * level)
                physical = (pfn_of(entry) << PAGE_SHIFT & ~(size - 1)) + at % size
            out += self.page(physical >> PAGE_SHIFT)[physical % PAGE:physical % PAGE + part]
        return out

    # --- Values -----------------------------------------------------------------------------------------------------

    def object(self, address, type_name):
        kind = gdb.lookup_type(type_name) if isinstance(type_name, str) else type_name
        return gdb.Value(self.read(int(address), kind.sizeof), kind)

    def variable(self, file, name):
        try:
            pointer = gdb.parse_and_eval("&'%s'::%s" % (file, name))
        except gdb.error as error:
            raise Trouble("%s of %s isn't in this image: %s" % (name, file, error))
        return self.object(pointer, pointer.type.target())

    def text(self, pointer):
        out, at = b"", int(pointer)
        while at != 0 and b"\0" not in out and len(out) < 64:
            out += self.read(at + len(out), min(16, PAGE - (at + len(out)) % PAGE))
        return out.split(b"\0")[0].decode("ascii", "replace")

    # --- Contexts and ranges ----------------------------------------------------------------------------------------

    def contexts(self, number=None):
        found, count = False, 0
        context = self.variable("mem/context.c", "state")["kernel"]
        while True:
            if number is None or int(context["number"]) == number:
                found = True
                yield context
            count += 1
            if int(context["next"]) == 0 or count > TOO_MANY:
                break
            context = self.object(context["next"], "struct context")
        if not found:
            raise Trouble("there is no context %d" % number)

    def loaded(self):
        """The number of the context in CR3; the kernel's, where that is none of them."""
        root = int(gdb.parse_and_eval("$cr3")) >> PAGE_SHIFT & 0xFFFFFFFF
        for context in self.contexts():
            if int(context["tables"]["root"]) == root:
                return int(context["number"])
        return 0

    def context_title(self, context):
        return "context %d, %s%s" % (int(context["number"]), self.text(context["name"]), held_note(context["lock"]))

    def ranges(self, space):
        """In order of address."""
        stack, at, count = [], int(space["root"]), 0
        while stack or at != 0:
            while at != 0:
                node = self.object(at, "struct vspace_range")
                stack.append(node)
                at = int(node["left"])
            node = stack.pop()
            yield node
            count += 1
            if count > TOO_MANY or len(stack) > 100:
                raise Trouble("the ranges' tree is broken")
            at = int(node["right"])

    def leases(self):
        """Oldest first."""
        out, at = [], int(self.variable("mem/lease.c", "leases")["newest"])
        while at != 0 and len(out) < TOO_MANY:
            lease = self.object(at, "struct lease")
            out.append(lease["info"])
            at = int(lease["next"])
        return reversed(out)

    def mapped(self, table, level, base):
        """Translations below a table, in order: (page, pages, pfn, entry)."""
        entries = struct.unpack_from("<%dQ" % (1 << self.image.index_bits[level]), self.page(table))
        for index, entry in enumerate(entries):
            if not entry & PRESENT:
                continue
            page = base + (index << 9 * level)
            if self.is_leaf(level, entry):
                yield page, 1 << 9 * level, pfn_of(entry) & ~((1 << 9 * level) - 1), entry
            else:
                yield from self.mapped(pfn_of(entry), level - 1, page)

    def translations(self, root):
        """The same for a whole context, what goes on in both spaces as one."""
        run = None
        for page, pages, pfn, entry in self.mapped(root, len(self.image.index_bits) - 1, 0):
            rights = rights_of(entry) + (", large" if pages > 1 else "")
            if run and run[0] + run[1] == page and run[2] + run[1] == pfn and run[3] == rights:
                run[1] += pages
                continue
            if run:
                yield run
            run = [page, pages, pfn, rights]
        if run:
            yield run

    def address_of(self, page):
        """A page's address, sign-extended where the width has a hole."""
        address = page << PAGE_SHIFT
        if self.image.wide and address >> 47 & 1:
            address |= 0xFFFF << 48
        return address

    def hex(self, address):
        return "%0*x" % (self.image.bits // 4, address)


def pfn_of(entry):
    return entry >> PAGE_SHIFT & 0xFFFFFFFF


def rights_of(entry):
    return "read%s%s%s%s" % (" write" if entry & WRITE else "", "" if entry & NO_EXECUTE else " execute",
                             " user" if entry & USER else "", " global" if entry & GLOBAL else "")


def constant(name):
    return int(gdb.parse_and_eval(name))


def names_of(enum):
    """What an enumeration's constants are called, without what all share in front, by number."""
    fields = gdb.lookup_type("enum " + enum).fields()
    return {field.enumval: field.name.split("_", 1)[1].lower().replace("_", " ") for field in fields}


def range_name(attributes):
    fields = gdb.lookup_type("enum context_range").fields()
    kinds = {field.enumval: field.name[len("CONTEXT_RANGE_"):].lower() for field in fields if not
             field.name.endswith("_KIND")}
    return kinds.get(attributes & constant("CONTEXT_RANGE_KIND"), "?")


def held_note(lock):
    """The port's lock is a word or a struct of one, nil when free."""
    value = lock["port"]
    while value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        value = value[value.type.fields()[0]]
    return " (its lock is held: what follows may be half changed)" if int(value) != 0 else ""


def symbol(address):
    text = gdb.execute("info symbol 0x%x" % address, to_string=True).strip()
    return text.split(" in section")[0] if not text.startswith("No symbol") else "0x%x" % address


# --- Frames ---------------------------------------------------------------------------------------------------------


class Frames:
    """Each page's owner, from palloc's descriptors alone."""

    def __init__(self, machine):
        self.machine = machine
        self.tables = machine.object(gdb.parse_and_eval("&palloc_tables"), "struct palloc_tables")
        ram = int(self.tables["ram"])
        size = gdb.lookup_type("struct extent").sizeof
        self.extents = []
        for i in range(int(self.tables["ram_count"])):
            extent = machine.object(ram + i * size, "struct extent")
            self.extents.append((int(extent["first"]), int(extent["end"])))
        self.chunk_shift = constant("CHUNK_SHIFT")
        self.ready = machine.read(int(self.tables["ready"]), int(self.tables["chunks"]))
        self.tag = {name: constant("TAG_" + name) for name in (
            "EDGE", "LONG", "TIED", "HELD_TIED", "HELD_ONE", "CACHED", "CACHED_RUN", "CACHED_RUN_LAST")}
        self.fields = {name: (constant(name + "_SHIFT"), constant(name + "_BITS")) for name in (
            "OWNER", "TYPE", "MAPPINGS", "TYPED", "PINS")}
        self.word_bits = gdb.lookup_type("uintptr_t").sizeof * 8
        self.owner_names = names_of("frame_owner")

    def tag_at(self, pfn):
        """None where the tag isn't ready: inside a free run."""
        chunk = pfn >> self.chunk_shift
        if chunk >= len(self.ready) or not self.ready[chunk]:
            return None
        return self.machine.read(int(self.tables["tags"]) + pfn, 1)[0]

    def word_at(self, pfn):
        return struct.unpack("<Q", self.machine.read(int(self.tables["words"]) + 8 * pfn, 8))[0]

    def held_at(self, pfn):
        size = self.word_bits // 8
        raw = self.machine.read(int(self.tables["held"]) + pfn // self.word_bits * size, size)
        return int.from_bytes(raw, "little") >> pfn % self.word_bits & 1

    def is_ram(self, pfn):
        return any(first <= pfn < end for first, end in self.extents)

    def field(self, word, name):
        shift, bits = self.fields[name]
        return word >> shift & ((1 << bits) - 1)

    def free_run(self, pfn, tag):
        """Pages of the free run that begins here by its tag; 0 if none does."""
        if tag is None or not self.tag["EDGE"] <= tag < self.tag["EDGE"] + self.tag["LONG"]:
            return 0
        return tag if tag < self.tag["LONG"] else self.word_at(pfn + 1) & 0xFFFFFFFF

    def describe(self, pfn):
        if not self.is_ram(pfn):
            return "not RAM"
        tag = self.tag_at(pfn)
        if tag in (self.tag["TIED"], self.tag["HELD_TIED"]):
            return self.describe_tied(pfn, tag)
        if tag == self.tag["HELD_ONE"] or (tag == 0 and self.held_at(pfn)):
            return "held by palloc's caller, not mapped" + self.trace(pfn)
        if tag == self.tag["CACHED"]:
            return "free, in a processor's cache" + self.trace(pfn)
        return "free" + self.trace(pfn)

    def describe_tied(self, pfn, tag):
        word = self.word_at(pfn)
        owner = self.field(word, "OWNER")
        text = "%s%s" % (self.owner_names.get(owner, "owner %d" % owner),
                         ", held by palloc's caller" if tag == self.tag["HELD_TIED"] else "")
        kind, typed = self.field(word, "TYPE"), self.field(word, "TYPED")
        if owner == constant("FRAME_TABLE"):
            text += ", %d entries in use" % self.field(word, "MAPPINGS")
        else:
            text += ", %d mappings (%d writable, %d executable)" % (
                self.field(word, "MAPPINGS"), typed if kind == constant("TYPE_WRITABLE") else 0,
                typed if kind == constant("TYPE_EXECUTABLE") else 0)
        return text + ", %d pins" % self.field(word, "PINS") + self.trace(pfn)

    def trace(self, pfn):
        """Debug builds know who took it and who freed it, by the lower halves of addresses in the image."""
        traces = int(self.tables["traces"])
        tag_ready = self.tag_at(pfn) is not None
        if traces == 0 or not tag_ready:
            return ""
        had, freed = struct.unpack("<II", self.machine.read(traces + 8 * pfn, 8))
        upper = self.machine.image.segments[0][0] >> 32 << 32
        out = [word + " " + symbol(upper + place) for word, place in (("taken by", had), ("freed by", freed)) if place]
        return " (%s)" % ", ".join(out) if out else ""

    def count(self):
        """Pages by owner over all RAM; each extent is passed from edge to edge."""
        totals = {}
        for first, end in self.extents:
            pfn = first
            block, block_first = b"", first
            while pfn < end:
                if not block_first <= pfn < block_first + len(block):
                    chunk_end = min(end, ((pfn >> self.chunk_shift) + 1) << self.chunk_shift)
                    if not self.ready[pfn >> self.chunk_shift]:
                        raise Trouble("page 0x%x: no run leads past it: its tag isn't ready" % pfn)
                    block, block_first = self.machine.read(int(self.tables["tags"]) + pfn, chunk_end - pfn), pfn
                tag, pages, owner = block[pfn - block_first], 1, "caller"
                run = self.free_run(pfn, tag)
                if run:
                    pages, owner = run, "free"
                elif tag in (self.tag["TIED"], self.tag["HELD_TIED"]):
                    owner = self.owner_names.get(self.field(self.word_at(pfn), "OWNER"), "?")
                elif tag == self.tag["CACHED"]:
                    owner = "free, cached"
                elif self.tag["CACHED_RUN"] < tag <= self.tag["CACHED_RUN_LAST"]:
                    pages, owner = 1 << tag - self.tag["CACHED_RUN"], "free, cached"
                elif tag != self.tag["HELD_ONE"] and not self.held_at(pfn):
                    raise Trouble("page 0x%x: tag %d says nothing of who has it" % (pfn, tag))
                totals[owner] = totals.get(owner, 0) + pages
                pfn += pages
        return totals
