#include "cli/tls.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libgnutls.so.30"
#define GNUTLS_FUNCTIONS(X)                             \
	X(gnutls_init)                                  \
	X(gnutls_deinit)                                \
	X(gnutls_set_default_priority)                  \
	X(gnutls_credentials_set)                       \
	X(gnutls_certificate_allocate_credentials)      \
	X(gnutls_certificate_free_credentials)          \
	X(gnutls_certificate_set_x509_system_trust)     \
	X(gnutls_certificate_set_x509_trust_file)       \
	X(gnutls_certificate_set_x509_key_file)         \
	X(gnutls_certificate_verification_status_print) \
	X(gnutls_session_set_verify_cert)               \
	X(gnutls_session_get_verify_cert_status)        \
	X(gnutls_server_name_set)                       \
	X(gnutls_transport_set_ptr2)                    \
	X(gnutls_transport_set_pull_function)           \
	X(gnutls_transport_set_errno)                   \
	X(gnutls_handshake)                             \
	X(gnutls_record_send)                           \
	X(gnutls_record_recv)                           \
	X(gnutls_strerror)

static struct {
#define DECLARE(name) __typeof__(name) *name;
	GNUTLS_FUNCTIONS(DECLARE)
#undef DECLARE
} lib;
static bool is_loaded;

struct tls {
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
	tls_pull *pull;
	void *user;
	int error; /* what pull() said last: GnuTLS has no place for it */
};

static void load(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (handle == NULL)
		return;
#define LOOK_UP(name)                               \
	*(void **)&lib.name = dlsym(handle, #name); \
	if (lib.name == NULL)                       \
		return;
	GNUTLS_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	is_loaded = true;
}

/* What GnuTLS reads by. */
static ssize_t pull(gnutls_transport_ptr_t user, void *to, size_t size)
{
	struct tls *t = user;
	ssize_t n = t->pull(t->user, to, size);

	if (n >= 0)
		return n;
	t->error = (int)n;
	lib.gnutls_transport_set_errno(t->session, (int)-n);
	return -1;
}

static int set_files(struct tls *t, const struct tls_files *files, struct why *why)
{
	int r;

	if (lib.gnutls_certificate_allocate_credentials(&t->credentials) < 0)
		return -ENOMEM;
	r = files->authorities != NULL
		    ? lib.gnutls_certificate_set_x509_trust_file(t->credentials, files->authorities,
								 GNUTLS_X509_FMT_PEM)
		    : lib.gnutls_certificate_set_x509_system_trust(t->credentials);
	if (files->authorities != NULL && r <= 0) {
		why_set(why, "-tls_ca=%.200s: there is no certificate to be read",
			files->authorities);
		return -EINVAL;
	}
	if (files->certificate == NULL)
		return 0;
	r = lib.gnutls_certificate_set_x509_key_file(t->credentials, files->certificate, files->key,
						     GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		why_set(why, "-tls_cert=%.100s -tls_key=%.100s: %s", files->certificate, files->key,
			lib.gnutls_strerror(r));
		return -EINVAL;
	}
	return 0;
}

/* An address is no name, and is not sent as one. */
static bool is_address(const char *host)
{
	return strchr(host, ':') != NULL || host[strspn(host, "0123456789.")] == '\0';
}

static int set_up(struct tls *t, int sock, const char *host, bool is_unchecked,
		  const struct tls_files *files, struct why *why)
{
	int r;

	if (lib.gnutls_init(&t->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) < 0 ||
	    lib.gnutls_set_default_priority(t->session) < 0)
		return -ENOMEM;
	r = set_files(t, files, why);
	if (r < 0)
		return r;
	if (lib.gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->credentials) < 0)
		return -ENOMEM;
	if (!is_address(host) &&
	    lib.gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, host, strlen(host)) < 0)
		return -ENOMEM;
	if (!is_unchecked)
		lib.gnutls_session_set_verify_cert(t->session, host, 0);
	lib.gnutls_transport_set_ptr2(t->session, t, (gnutls_transport_ptr_t)(intptr_t)sock);
	lib.gnutls_transport_set_pull_function(t->session, pull);
	return 0;
}

/* A refused certificate: why, in GnuTLS's words, which end with a blank. */
static int refuse(struct tls *t, const char *host, struct why *why)
{
	gnutls_datum_t text = {NULL, 0};

	lib.gnutls_certificate_verification_status_print(
		lib.gnutls_session_get_verify_cert_status(t->session), GNUTLS_CRT_X509, &text, 0);
	why_set(why,
		"%.80s is not proved to be who answers: %.140s(-tls_ca=FILE names who to trust)",
		host, text.data != NULL ? (char *)text.data : "");
	free(text.data); /* of the allocator that all of us use */
	return -EACCES;
}

static int agree(struct tls *t, const char *host, struct why *why)
{
	int r;

	do {
		r = lib.gnutls_handshake(t->session);
	} while (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED ||
		 r == GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (r == GNUTLS_E_SUCCESS)
		return 0;
	if (t->error < 0) {
		why_set(why, "the connection broke: %s", strerror(-t->error));
		return t->error;
	}
	if (r == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
		return refuse(t, host, why);
	why_set(why, "no agreement with it on TLS: %s", lib.gnutls_strerror(r));
	return -EPROTO;
}

int tls_begin(struct tls **ret, int sock, tls_pull *how, void *user, const char *host,
	      bool is_unchecked, const struct tls_files *files, struct why *why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct tls *t;
	int r;

	pthread_once(&once, load);
	if (!is_loaded) {
		why_set(why, "https:// needs %s, which cannot be loaded (package libgnutls30)",
			LIBRARY);
		return -ENOSYS;
	}
	why_set(why, "out of memory");
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->pull = how;
	t->user = user;
	r = set_up(t, sock, host, is_unchecked, files, why);
	if (r == 0)
		r = agree(t, host, why);
	if (r < 0) {
		tls_end(t);
		return r;
	}
	*ret = t;
	return 0;
}

ssize_t tls_send(struct tls *t, const void *bytes, size_t size)
{
	ssize_t n;

	do {
		n = lib.gnutls_record_send(t->session, bytes, size);
	} while (n == GNUTLS_E_INTERRUPTED);
	return n >= 0 ? n : n == GNUTLS_E_AGAIN ? -ETIMEDOUT : -EPIPE;
}

ssize_t tls_receive(struct tls *t, void *to, size_t size)
{
	ssize_t n;

	do {
		n = lib.gnutls_record_recv(t->session, to, size);
	} while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_REHANDSHAKE ||
		 n == GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (n >= 0)
		return n;
	return t->error < 0 ? t->error : -ECONNRESET;
}

void tls_end(struct tls *t)
{
	if (t == NULL)
		return;
	if (t->session != NULL)
		lib.gnutls_deinit(t->session);
	if (t->credentials != NULL)
		lib.gnutls_certificate_free_credentials(t->credentials);
	free(t);
}
