#include "core/signals.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/arch.h"
#include "core/signals_private.h"

__thread unsigned char signals_host_blocks __attribute__((tls_model("initial-exec")));
__thread unsigned signals_host_seen __attribute__((tls_model("initial-exec")));

void (*signals_host_runs)(int sig, void (*handler)(int sig));
struct signals_taken signals_taken[SIGNALS_MAX];

SIGSAFE struct signals_taken *signals_find(int sig)
{
	for (int i = 0; i < SIGNALS_MAX; i++)
		if (atomic_load_explicit(&signals_taken[i].sig, memory_order_acquire) == sig)
			return &signals_taken[i];
	return NULL;
}

/* Signal @sig again, with the default action: it ends the process, as it would have without us. */
static void die_as_usual(int sig)
{
	struct kernel_sigaction default_action = {0};

	sys4(SYS_rt_sigaction, sig, &default_action, NULL, 8);
	sys3(SYS_tgkill, sys1(SYS_getpid, 0), sys1(SYS_gettid, 0), sig);
}

/*
 * A foreign signal for a thread that believes to have it blocked: it is blocked from here on, and the signal waits, for
 * sigwait() or for the day it is unblocked. Until then the thread cannot be sampled.
 */
static void keep_pending(int sig, siginfo_t *info, ucontext_t *uc)
{
	long pid = sys1(SYS_getpid, 0);
	unsigned long mask;

	memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	mask |= 1ul << (sig - 1);
	memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
	if (info->si_code == SI_TKILL)
		sys4(SYS_rt_tgsigqueueinfo, pid, sys1(SYS_gettid, 0), sig, info);
	else
		sys3(SYS_rt_sigqueueinfo, pid, sig, info);
}

static void call_host(struct signals_taken *taken, int sig, siginfo_t *info, void *ucontext)
{
	unsigned slot = atomic_load_explicit(&taken->current,
					     memory_order_acquire); /* pairs: signals_host_action */
	struct sigaction action = taken->host[slot & 1];
	ucontext_t *uc = ucontext;
	unsigned long mask, before;

	if (action.sa_handler == SIG_IGN)
		return;
	if (signals_host_blocks) {
		keep_pending(sig, info, uc);
		return;
	}
	if (action.sa_handler == SIG_DFL) {
		die_as_usual(sig);
		return;
	}
	if (signals_host_runs != NULL)
		signals_host_runs(sig, action.sa_handler);
	if (action.sa_flags & (int)SA_RESETHAND)
		taken->host[slot & 1].sa_handler = SIG_DFL;
	/* ours blocks everything; the host's runs with what was blocked before, and what it asked for */
	memcpy(&mask, &action.sa_mask, sizeof(mask));
	memcpy(&before, &uc->uc_sigmask, sizeof(before));
	mask |= before;
	if (!(action.sa_flags & (int)SA_NODEFER))
		mask |= 1ul << (sig - 1);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, 8);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(sig, info, ucontext);
	else
		action.sa_handler(sig);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
}

/* Of signals 1 to 31. In plain code: a builtin may call into a library. */
static int count_blocked(unsigned long mask)
{
	int n = 0;

	for (mask &= 0x7fffffff; mask != 0; mask &= mask - 1)
		n++;
	return n;
}

SIGSAFE void signals_dispatch(int sig, siginfo_t *info, void *ucontext)
{
	struct signals_taken *taken = signals_find(sig);
	const ucontext_t *uc = ucontext;
	int saved = errno;
	unsigned long mask;
	bool is_ours = false;

	/* a mask that came back behind our wrappers' back, by siglongjmp() or setcontext(): the view is an old one */
	memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	if (signals_host_blocks && count_blocked(mask) < SIGNALS_NEARLY_ALL - 3)
		signals_host_blocks = 0;
	/* one signal may stand for two: a pending one is not queued again */
	for (int i = 0; taken != NULL && i < SIGNALS_OURS; i++) {
		signals_ours ours = atomic_load_explicit(&taken->ours[i], memory_order_acquire);

		if (ours != NULL && ours(sig, info, ucontext))
			is_ours = true;
	}
	if (taken != NULL && !is_ours) {
		signals_host_seen++;
		errno = saved;
		call_host(taken, sig, info, ucontext);
		return; /* errno is the host's handler's affair */
	}
	errno = saved;
}

SIGSAFE bool signals_restarts(int sig)
{
	struct signals_taken *taken = signals_find(sig);
	const struct sigaction *host;

	if (taken == NULL)
		return false;
	host = &taken->host[atomic_load_explicit(&taken->current, memory_order_acquire) & 1];
	return host->sa_handler == SIG_DFL || host->sa_handler == SIG_IGN ||
	       (host->sa_flags & SA_RESTART) != 0; /* as install() in signals.c sets it */
}

#define ROOM_BYTES \
	2304 /* measured: 1.7 KiB for the deepest walk, by -fstack-usage, and a reserve */

SIGSAFE bool signals_has_room(const void *ucontext)
{
	const ucontext_t *uc = ucontext;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0), low = (uintptr_t)uc->uc_stack.ss_sp;

	if ((uc->uc_stack.ss_flags & SS_DISABLE) || here < low ||
	    here - low >= uc->uc_stack.ss_size)
		return true; /* not on it */
	return here - low >= ROOM_BYTES;
}
