/* The console as files 0, 1 and 2. Input comes by lines, as a terminal gives it: echoed, with backspace, and a
 * carriage return is the line's end. */
#include <arch/x86/cpu.h>
#include <asm/errno.h>
#include <boot/boot.h>
#include <calls.h>
#include <kernel/syscall.h>
#include <mem/area.h>

enum { PART_BYTES = 256, VECTORS_MAX = 1024, END_OF_INPUT = 4, BACKSPACE = 8, DELETE = 127 };

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
        if (area_read(context, part, from + done, count) != 0)
            return done > 0 ? (intptr_t)done : -EFAULT;
        console_write(part, count);
        done += count;
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
        if (area_read(call->task->context, vector, call->arguments[1] + i * sizeof(vector), sizeof(vector)) != 0)
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

static intptr_t read(struct syscall *call) {
    char line[PART_BYTES];
    if (call->arguments[0] != 0)
        return -EBADF;
    size_t count = read_line(call->task, line, call->arguments[2] < PART_BYTES ? call->arguments[2] : PART_BYTES);
    if (call->task->signal != 0)
        return -EINTR;
    int error = area_write(call->task->context, call->arguments[1], line, count);
    return error == 0 ? (intptr_t)count : error;
}

/* Nothing can be set on the console. */
static intptr_t control(struct syscall *call) {
    return call->arguments[0] <= 2 ? -ENOTTY : -EBADF;
}

static intptr_t random_bytes(struct syscall *call) {
    uint64_t word = cpu_cycles() | 1;
    uintptr_t bytes = call->arguments[1];
    for (uintptr_t done = 0; done < bytes; done += sizeof(word)) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        size_t count = bytes - done < sizeof(word) ? bytes - done : sizeof(word);
        if (area_write(call->task->context, call->arguments[0] + done, &word, count) != 0)
            return -EFAULT;
    }
    return (intptr_t)bytes;
}

const struct syscall_entry syscall_file_entries[] = {
    { __NR_write, write },   { __NR_writev, write_vectors },   { __NR_read, read },
    { __NR_ioctl, control }, { __NR_getrandom, random_bytes }, { 0, NULL },
};
