#include "tracer/syscalls/record_slow.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "core/stacks.h"
#include "core/syscalls.h"
#include "core/walk.h"
#include "tracer/chunk.h"
#include "tracer/syscalls/socket.h"

uint64_t record_long_ticks;

/* What /proc says, told by how it begins. */
static enum trace_fd_kind kind_of(const char *name, uint32_t length)
{
	static const struct {
		const char *begins;
		enum trace_fd_kind kind;
	} kinds[] = {
		{"pipe:", TRACE_FD_PIPE},
		{"anon_inode:[eventfd", TRACE_FD_EVENT},
		{"anon_inode:[timerfd", TRACE_FD_TIMER},
		{"anon_inode:[eventpoll", TRACE_FD_EPOLL},
		{"anon_inode:[signalfd", TRACE_FD_SIGNAL},
		{"anon_inode:inotify", TRACE_FD_INOTIFY},
		{"/memfd:", TRACE_FD_MEMORY},
		{"/", TRACE_FD_FILE},
	};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].begins);

		if (length >= n && memcmp(name, kinds[i].begins, n) == 0)
			return kinds[i].kind;
	}
	return length > 0 ? TRACE_FD_OTHER : TRACE_FD_UNKNOWN;
}

#define NAME_BYTES 512

struct file {
	enum trace_fd_kind kind;
	uint32_t length;
	char name[NAME_BYTES];
};

/* /proc takes longer than all that a socket is asked. False: it is not open, or there is no /proc. */
static bool look_at(int number, int other, const struct socket_address *peer, struct file *ret)
{
	char path[32] = "/proc/self/fd/", digits[12];
	unsigned n = 0, at = 14;
	struct stat st, others = {.st_ino = 0};
	long r;

	if (sys2(SYS_fstat, number, &st) < 0)
		return false;
	if (S_ISSOCK(st.st_mode)) {
		ret->kind = TRACE_FD_SOCKET;
		if (other >= 0 && sys2(SYS_fstat, other, &others) < 0)
			others.st_ino = 0;
		ret->length =
			socket_name(number, st.st_ino, others.st_ino, peer, ret->name, NAME_BYTES);
		return true;
	}
	for (unsigned rest = (unsigned)number; n == 0 || rest != 0; rest /= 10)
		digits[n++] = (char)('0' + rest % 10);
	while (n > 0)
		path[at++] = digits[--n];
	path[at] = '\0';
	r = sys4(SYS_readlinkat, AT_FDCWD, path, ret->name, NAME_BYTES);
	if (r < 0)
		return false;
	ret->kind = kind_of(ret->name, (uint32_t)r);
	ret->length = (uint32_t)r;
	return true;
}

SIGSAFE uint32_t record_file(int number, int other)
{
	struct segment *s = segment_live();
	uint64_t arguments[4] = {0};
	struct trace_text text = {NULL, 0, 3};
	struct file file;

	if (s == NULL || !look_at(number, other, NULL, &file))
		return 0;
	text.text = file.name;
	text.length = file.length;
	arguments[0] =
		atomic_fetch_add_explicit(&s->header->trace_files, 1, memory_order_relaxed) + 1;
	arguments[1] = (uint64_t)number;
	arguments[2] = file.kind;
	trace_write_text(TRACE_FD_OPEN_EVENT, trace_ticks(), arguments, 4, &text, 1);
	return (uint32_t)arguments[0];
}

SIGSAFE void record_socket(int number, uint32_t instance, const void *peer, uint32_t peer_bytes)
{
	struct socket_address to = {.bytes = 0};
	uint64_t arguments[4] = {instance, 0, (uint64_t)number};
	struct trace_text text = {NULL, 0, 1};
	struct file file;

	if (peer != NULL && peer_bytes <= sizeof(to.any)) {
		memcpy(&to.any, peer, peer_bytes);
		to.bytes = peer_bytes;
	}
	if (!look_at(number, -1, to.bytes != 0 ? &to : NULL, &file))
		return;
	text.text = file.name;
	text.length = file.length;
	arguments[3] = file.kind;
	trace_write_text(TRACE_FD_NAME_EVENT, trace_ticks(), arguments, 4, &text, 1);
}

/* By the kernel: a call that failed may never have looked at what it was given. */
SIGSAFE void record_path(uintptr_t address, uint64_t ticks)
{
	struct segment *s = segment_live();
	char name[512];
	/* what lies behind the end of its page may not be there */
	size_t first = 4096 - (address & 4095), rest;
	struct iovec local = {name, sizeof(name)}, remote[2];
	struct trace_text text = {name, 0, 0};
	uint64_t none = 0;
	const char *end;
	long n;

	if (s == NULL || address == 0)
		return;
	first = first < sizeof(name) ? first : sizeof(name);
	rest = sizeof(name) - first;
	remote[0] = (struct iovec){(void *)address, first};
	remote[1] = (struct iovec){(void *)(address + first), rest};
	n = sys6(SYS_process_vm_readv, (long)s->header->pid, &local, 1, remote, rest > 0 ? 2 : 1,
		 0);
	if (n <= 0)
		return;
	end = memchr(name, '\0', (size_t)n);
	text.length = end != NULL ? (uint32_t)(end - name) : (uint32_t)n;
	if (text.length > 0) /* else it is of the descriptor itself */
		trace_write_text(TRACE_SYSCALL_PATH_EVENT, ticks, &none, 1, &text, 1);
}

SIGSAFE uint32_t record_stack(const struct syscall_frame *f)
{
	struct segment *s = segment_live();
	struct arch_regs regs = {{0}};
	struct walk_result walk;
	struct thread *t;
	uint32_t id;

	if (s == NULL || !walk_has_room(thread_self_block))
		return 0;
	t = thread_begin(s);
	if (t == NULL)
		return 0;
	regs.r[ARCH_PC] = syscall_frame_pc(f);
	regs.r[ARCH_SP] = syscall_frame_sp(f);
	regs.r[ARCH_BP] = f->bp;
	walk = walk_regs(s, t, &regs);
	id = stacks_intern(s, SEGMENT_LASTING, walk.frames, walk.depth);
	thread_done(s, t);
	if (id == 0)
		segment_count_lost(s, LOST_STACKS_FULL, 1);
	return id;
}

SIGSAFE void record_exit(uint64_t ticks)
{
	struct thread *self = thread_self_block;
	struct segment *s = segment_live();

	TRACE_WRITE(TRACE_THREAD_EXIT_EVENT, ticks, TRACE_EXIT_RETURN);
	trace_close(true);
	thread_self_block = NULL;
	if (s != NULL && self != NULL)
		thread_release(s, self);
}

SIGSAFE void record_write(unsigned type, uint64_t ticks, const uint64_t *arguments, unsigned n)
{
	trace_write_text(type, ticks, arguments, n, NULL, 0);
}
