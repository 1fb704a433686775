/* The console as files 0, 1 and 2. Input comes by lines, as a terminal gives it: echoed, with backspace, and a
 * carriage return is the line's end. */
#include <arch/x86/cpu.h>
#include <asm/errno.h>
#include <boot/boot.h>
#include <calls.h>
#include <kernel/archive.h>
#include <kernel/syscall.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <mem/area.h>
#include <mem/task_copy.h>

enum { PART_BYTES = 256, RANDOM_MOST = 4096, VECTORS_MAX = 1024, END_OF_INPUT = 4, BACKSPACE = 8, DELETE = 127 };

static bool is_output(uintptr_t file) {
    return file == 1 || file == 2;
}

/* In parts, since a task's memory isn't mapped here. What was written before a bad address counts. */
static intptr_t write_bytes(struct context *context, uintptr_t from, uintptr_t bytes) {
    char part[PART_BYTES];
    uintptr_t done = 0;
    if (bytes > INTPTR_MAX)
        return -EINVAL;
    while (done < bytes) {
        size_t count = bytes - done < PART_BYTES ? bytes - done : PART_BYTES;
        if (copy_from_task(context, part, from + done, count, NULL) != 0)
            return done > 0 ? (intptr_t)done : -EFAULT;
        console_write(part, count);
        done += count;
        if (!task_breathe())
            break;
    }
    return (intptr_t)done;
}

static intptr_t write(struct syscall *call) {
    if (!is_output(call->arguments[0]))
        return -EBADF;
    return write_bytes(call->task->context, call->arguments[1], call->arguments[2]);
}

static intptr_t write_vectors(struct syscall *call) {
    uintptr_t count = call->arguments[2], vector[2], total = 0;
    if (!is_output(call->arguments[0]))
        return -EBADF;
    if (count > VECTORS_MAX)
        return -EINVAL;
    for (uintptr_t i = 0; i < count; i++) {
        if (copy_from_task(call->task->context, vector, call->arguments[1] + i * sizeof(vector), sizeof(vector),
                           NULL) != 0)
            return total > 0 ? (intptr_t)total : -EFAULT;
        intptr_t written = write_bytes(call->task->context, vector[0], vector[1]);
        if (written < 0)
            return total > 0 ? (intptr_t)total : written;
        total += (uintptr_t)written;
        if ((uintptr_t)written < vector[1])
            break;
    }
    return (intptr_t)total;
}

/* The next byte typed; other tasks run meanwhile. -1 when the task is to end. */
static int next_byte(const struct task *task) {
    int byte;
    while ((byte = console_read()) < 0) {
        if (task->signal != 0)
            return -1;
        task_idle();
    }
    return byte;
}

static size_t read_line(const struct task *task, char *line, size_t room) {
    size_t count = 0;
    while (count < room) {
        int byte = next_byte(task);
        if (byte < 0 || byte == END_OF_INPUT)
            break;
        if (byte == BACKSPACE || byte == DELETE) {
            if (count > 0) {
                count--;
                console_print("\b \b");
            }
            continue;
        }
        line[count] = byte == '\r' ? '\n' : (char)byte;
        console_write(&line[count], 1);
        if (line[count++] == '\n')
            break;
    }
    return count;
}

static intptr_t read_console(struct syscall *call) {
    char line[PART_BYTES];
    size_t count = read_line(call->task, line, call->arguments[2] < PART_BYTES ? call->arguments[2] : PART_BYTES);
    if (call->task->signal != 0)
        return -EINTR;
    int error = copy_to_task(call->task->context, call->arguments[1], line, count, NULL);
    return error == 0 ? (intptr_t)count : error;
}

/* --- Files of the archive ----------------------------------------------------------------------------------------- */

static struct task_file *file_of(struct syscall *call) {
    uintptr_t index = call->arguments[0] - TASK_FIRST_FILE;
    return index < TASK_FILES && call->task->files[index].bytes != NULL ? &call->task->files[index] : NULL;
}

static intptr_t open_file(struct task *task, uintptr_t path_at, uintptr_t flags) {
    char path[PART_BYTES];
    struct cpio_member member;
    if (string_from_task(task->context, path, path_at, sizeof(path)) < 0)
        return -EFAULT;
    if (archive_find(path, &member) != 1)
        return -ENOENT;
    if ((flags & O_ACCMODE) != O_RDONLY)
        return -EROFS;
    for (unsigned i = 0; i < TASK_FILES; i++)
        if (task->files[i].bytes == NULL) {
            task->files[i] = (struct task_file){ .bytes = member.content, .size = member.bytes };
            return (intptr_t)(i + TASK_FIRST_FILE);
        }
    return -EMFILE;
}

static intptr_t open(struct syscall *call) {
    return open_file(call->task, call->arguments[0], call->arguments[1]);
}

static intptr_t open_at(struct syscall *call) {
    return open_file(call->task, call->arguments[1], call->arguments[2]);
}

static intptr_t close(struct syscall *call) {
    struct task_file *file = file_of(call);
    if (file == NULL)
        return call->arguments[0] < TASK_FIRST_FILE ? 0 : -EBADF;
    *file = (struct task_file){ .bytes = NULL };
    return 0;
}

static intptr_t read(struct syscall *call) {
    struct task_file *file = file_of(call);
    if (call->arguments[0] == 0)
        return read_console(call);
    if (file == NULL)
        return -EBADF;
    size_t rest = file->at < file->size ? file->size - file->at : 0, wish = call->arguments[2];
    size_t count = wish < rest ? wish : rest;
    int error = copy_to_task(call->task->context, call->arguments[1], file->bytes + file->at, count, NULL);
    if (error != 0)
        return error;
    file->at += count;
    return (intptr_t)count;
}

static intptr_t seek_to(struct task_file *file, int64_t offset, uintptr_t from) {
    int64_t base = from == SEEK_SET ? 0 : from == SEEK_CUR ? (int64_t)file->at : (int64_t)file->size, place;
    if (from > SEEK_END || __builtin_add_overflow(base, offset, &place) || place < 0 || place > INTPTR_MAX)
        return -EINVAL;
    file->at = (size_t)place;
    return (intptr_t)place;
}

static intptr_t seek(struct syscall *call) {
    struct task_file *file = file_of(call);
    if (file == NULL)
        return call->arguments[0] < TASK_FIRST_FILE ? -ESPIPE : -EBADF;
    return seek_to(file, (intptr_t)call->arguments[1], call->arguments[2]);
}

/* i386's, with an offset of 64 bits in two halves and the result in memory. */
static intptr_t seek_far(struct syscall *call) {
    struct task_file *file = file_of(call);
    if (file == NULL)
        return call->arguments[0] < TASK_FIRST_FILE ? -ESPIPE : -EBADF;
    int64_t offset = (int64_t)((uint64_t)call->arguments[1] << 32 | (uint32_t)call->arguments[2]);
    int64_t place = seek_to(file, offset, call->arguments[4]);
    if (place < 0)
        return (intptr_t)place;
    return copy_to_task(call->task->context, call->arguments[3], &place, sizeof(place), NULL);
}

/* Nothing can be set on the console. */
static intptr_t control(struct syscall *call) {
    return call->arguments[0] <= 2 ? -ENOTTY : -EBADF;
}

static intptr_t random_bytes(struct syscall *call) {
    uint64_t word = cpu_cycles() | 1;
    uintptr_t bytes = call->arguments[1] < RANDOM_MOST ? call->arguments[1] : RANDOM_MOST;
    for (uintptr_t done = 0; done < bytes; done += sizeof(word)) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        size_t count = bytes - done < sizeof(word) ? bytes - done : sizeof(word);
        if (copy_to_task(call->task->context, call->arguments[0] + done, &word, count, NULL) != 0)
            return -EFAULT;
    }
    return (intptr_t)bytes;
}

const struct syscall_entry syscall_file_entries[] = {
    { __NR_write, write },
    { __NR_writev, write_vectors },
    { __NR_read, read },
    { __NR_open, open },
    { __NR_openat, open_at },
    { __NR_close, close },
    { __NR_lseek, seek },
    { __NR__llseek, seek_far },
    { __NR_ioctl, control },
    { __NR_getrandom, random_bytes },
    { 0, NULL },
};
