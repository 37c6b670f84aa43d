/*
 * Wrappers of calls that mind how many threads a process has, or change whose rights it has.
 *
 * The C library changes the rights of all threads that it knows of, and does not know of our helper; it would keep those
 * that the host means to give up. And the kernel refuses some namespaces to a process with more than one thread. So the
 * helper ends before such a call, and a new one begins after, which has what its maker has then.
 */
#include <errno.h>
#include <grp.h>
#include <sched.h>

#include "core/helper.h"
#include "cprof/cprof.h"
#include "preload/http.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/wrap_rights.h"

struct segment *rights_pause_helper(void)
{
	struct segment *s = segment_live();

	if (!process_is_ours(s))
		return NULL;
	helper_pause(s);
	return s;
}

void rights_resume_helper(struct segment *s)
{
	int saved = errno;

	if (process_is_ours(s))
		helper_resume(s);
	errno = saved;
}

#define WITHOUT_HELPER(call)                               \
	do {                                               \
		struct segment *s = rights_pause_helper(); \
		int result = (call);                       \
                                                           \
		rights_resume_helper(s);                   \
		return result;                             \
	} while (0)

CPROF_PUBLIC int setuid(uid_t uid)
{
	WITHOUT_HELPER(real.setuid(uid));
}

CPROF_PUBLIC int setgid(gid_t gid)
{
	WITHOUT_HELPER(real.setgid(gid));
}

CPROF_PUBLIC int seteuid(uid_t uid)
{
	WITHOUT_HELPER(real.seteuid(uid));
}

CPROF_PUBLIC int setegid(gid_t gid)
{
	WITHOUT_HELPER(real.setegid(gid));
}

CPROF_PUBLIC int setreuid(uid_t ruid, uid_t euid)
{
	WITHOUT_HELPER(real.setreuid(ruid, euid));
}

CPROF_PUBLIC int setregid(gid_t rgid, gid_t egid)
{
	WITHOUT_HELPER(real.setregid(rgid, egid));
}

CPROF_PUBLIC int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
	WITHOUT_HELPER(real.setresuid(ruid, euid, suid));
}

CPROF_PUBLIC int setresgid(gid_t rgid, gid_t egid, gid_t sgid)
{
	WITHOUT_HELPER(real.setresgid(rgid, egid, sgid));
}

CPROF_PUBLIC int setgroups(size_t n, const gid_t *groups)
{
	WITHOUT_HELPER(real.setgroups(n, groups));
}

CPROF_PUBLIC int initgroups(const char *user, gid_t group)
{
	WITHOUT_HELPER(real.initgroups(user, group));
}

struct rights_alone rights_be_alone(void)
{
	struct segment *s = rights_pause_helper();

	return (struct rights_alone){.segment = s, .was_serving = s != NULL && http_pause()};
}

void rights_end_alone(struct rights_alone alone)
{
	int saved = errno;

	rights_resume_helper(alone.segment);
	http_resume(alone.was_serving);
	errno = saved;
}

#define ALONE(call)                                            \
	do {                                                   \
		struct rights_alone alone = rights_be_alone(); \
		int result = (call);                           \
                                                               \
		rights_end_alone(alone);                       \
		return result;                                 \
	} while (0)

CPROF_PUBLIC int unshare(int flags)
{
	ALONE(real.unshare(flags));
}

CPROF_PUBLIC int setns(int fd, int type)
{
	ALONE(real.setns(fd, type));
}
