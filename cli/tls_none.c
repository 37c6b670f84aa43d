/* tls.h where GnuTLS was not there to build with. */
#include "cli/tls.h"

#include <errno.h>

int tls_begin(struct tls **ret, int sock, tls_pull *pull, void *user, const char *host,
	      bool is_unchecked, const struct tls_files *files, struct why *why)
{
	why_set(why, "cprof was built without GnuTLS, for https://; `curl -o FILE URL` fetches it");
	return -ENOSYS;
}

ssize_t tls_send(struct tls *t, const void *bytes, size_t size)
{
	return -ENOSYS;
}

ssize_t tls_receive(struct tls *t, void *to, size_t size)
{
	return -ENOSYS;
}

void tls_end(struct tls *t)
{
}
