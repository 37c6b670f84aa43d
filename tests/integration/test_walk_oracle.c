/*
 * Our walk against libunwind's and against the truth, at some hundred thousand instructions of real code; see
 * walk_oracle.h. Each region runs in a child, so that one that crashes is one failure.
 *
 * Arguments: libraries made of tests/programs/walk_places*.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/integration/walk_oracle.h"
#include "tests/programs/walk_places.h"
#include "tests/tap.h"

static struct oracle_counts total;
static const char *region_name;

static volatile uint64_t sink;

/* What a region finds in a library that may not be there. */
static void *library(const char *name)
{
	return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

#define LOOK_UP(handle, result, name, ...) \
	result (*name)(__VA_ARGS__);       \
	*(void **)(&name) = dlsym(handle, #name)

static void finish_child(void)
{
	oracle_explain(region_name, 6);
	fflush(stdout);
}

/* Agreement that is asked for: all that is not explained, in a thousand. */
static void check(const char *name, int status)
{
	const struct oracle_counts *c = oracle_counts();
	uint64_t wrong = c->truths - c->ours_true - c->transfers + c->theirs_longer + c->different;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		skip("%s: not installed", name);
		return;
	}
	ok(status == 0 && c->places > 0, "%s: ran (%s %d)", name,
	   WIFSIGNALED(status) ? "signal" : "status",
	   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	ok(wrong * 1000 <= c->places,
	   "%s: %" PRIu64 " places, %.1f frames deep: ours is wrong or shorter at %" PRIu64, name,
	   c->places, c->places ? (double)c->frames / (double)c->places : 0.0, wrong);
	ok((c->places - c->as_full) * 1000 <= c->places, "%s: by rows as by all registers", name);
	ok(c->as_alone == c->places,
	   "%s: as without the walk before, from which come %.0f %% of the frames", name,
	   c->frames ? 100.0 * (double)c->taken / (double)c->frames : 0.0);
	note("%s: as libunwind at %" PRIu64 "; it ends early at %" PRIu64
	     ", is proven wrong at %" PRIu64 "; in transfer at %" PRIu64
	     "; undecided: theirs longer %" PRIu64 ", different %" PRIu64,
	     name, c->as_theirs, c->theirs_gave_up + c->ours_longer, c->theirs_went_wrong,
	     c->transfers, c->theirs_longer, c->different);
}

static void leaves(void *unused);

static void region(const char *name, void (*run)(void *), void *argument)
{
	pid_t child;
	int status = -1;

	oracle_clear();
	fflush(stdout);
	child = fork();
	if (child == 0) {
		region_name = name;
		alarm(50);
		oracle_thread(true);
		run(argument);
		finish_child();
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (run == leaves)
		oracle_explain(name, 6); /* it has ended by itself */
	check(name, status);
	for (size_t i = 0; i < sizeof(total) / sizeof(uint64_t); i++)
		((uint64_t *)&total)[i] += ((const uint64_t *)oracle_counts())[i];
}

/* Shapes. */

static void run_places(void *path)
{
	void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	const struct walk_place *place = handle != NULL ? dlsym(handle, "walk_places") : NULL;

	if (place == NULL) {
		note("%s", dlerror());
		_exit(1);
	}
	for (; place->name != NULL; place++)
		oracle_step(place->run, NULL, 1, strstr(path, "cxx") ? 16000 : 12000);
}

/* The C library and the vdso. */

static void clocks(void *unused)
{
	struct timespec t;

	for (int i = 0; i < 40; i++)
		sink += (uint64_t)clock_gettime(i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME_COARSE,
						&t) +
			(uint64_t)time(NULL);
}

static void strings(void *unused)
{
	static char a[5000], b[5000];

	for (size_t n = 1; n < sizeof(a); n = n * 3 + 1) {
		memset(a, 'a', n);
		memcpy(b, a, n);
		memmove(b + 1, b, n);
		sink += (uint64_t)memcmp(a, b, n) + strlen(b) + (memchr(a, 'b', n) != NULL) +
			(strchr(a, 'c') != NULL) + (strrchr(a, 'a') != NULL) +
			(uint64_t)strncmp(a, b, n) + (uint64_t)strcasecmp(a, b) +
			(strstr(a, "aab") != NULL);
		stpcpy(b, a);
		b[n / 2] = '\0';
		strcat(b, "x");
	}
}

static void formats(void *unused)
{
	char text[256];
	FILE *f = fmemopen(text, sizeof(text), "w+");

	for (int i = 0; i < 6; i++)
		fprintf(f, "%d %s %.17g %*d\n", i, "text", i / 3.0, 12, i);
	fseek(f, 0, SEEK_SET);
	while (fgets(text, 64, f) != NULL)
		sink += strlen(text);
	fclose(f);
	for (int i = 0; i < 20; i++) {
		void *p = malloc((size_t)i * 777), *q = calloc(3, (size_t)i + 1);

		p = realloc(p, (size_t)i * 1777 + 1);
		free(q);
		free(p);
	}
}

static void libc(void *unused)
{
	oracle_step(clocks, NULL, 1, 10000);
	oracle_step(strings, NULL, 1, 20000);
	oracle_step(formats, NULL, 1, 20000);
}

/* Signals. */

static void in_handler(void *unused)
{
	char text[64];

	snprintf(text, sizeof(text), "%f %d", 2.5, 7);
	sink += strlen(text);
}

static void on_inner(int sig)
{
	oracle_step(in_handler, NULL, 1, 20000);
	oracle_step_on(1, 40); /* out of the handler, through the code that returns from it */
}

static void on_outer(int sig, siginfo_t *info, void *uc)
{
	oracle_step(in_handler, NULL, 1, 5000);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR2);
}

static void signals(void *unused)
{
	static char memory[256 << 10];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
	struct sigaction outer = {.sa_sigaction = on_outer, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction inner = {.sa_handler = on_inner, .sa_flags = SA_ONSTACK};

	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &outer, NULL);
	sigaction(SIGUSR2, &inner, NULL);
	for (int i = 0; i < 3; i++)
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), i == 2 ? SIGUSR2 : SIGUSR1);
	inner.sa_flags = outer.sa_flags = 0; /* and on the stack itself */
	outer.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &outer, NULL);
	sigaction(SIGUSR2, &inner, NULL);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
}

/* A signal that strikes anywhere in a call, its handler walked from within. */
static void faults(void *unused)
{
	struct sigaction action = {.sa_handler = on_inner, .sa_flags = SA_ONSTACK};

	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 10; i++) {
		strings(NULL);
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
	}
}

/* Other stacks. */

static ucontext_t outside, inside;

static void coroutine(void)
{
	for (int i = 0; i < 4; i++) {
		in_handler(NULL);
		swapcontext(&inside, &outside);
	}
}

static void switches(void *unused)
{
	for (int i = 0; i < 4; i++)
		swapcontext(&outside, &inside);
}

static void contexts(void *unused)
{
	static char memory[256 << 10];

	getcontext(&inside);
	inside.uc_stack.ss_sp = memory;
	inside.uc_stack.ss_size = sizeof(memory);
	inside.uc_link = &outside;
	makecontext(&inside, coroutine, 0);
	oracle_knows_truth = false;
	oracle_step(switches, NULL, 1, 40000);
}

/* The ends of threads and of the process. */

static pthread_key_t key;

static void at_thread_end(void *value)
{
	in_handler(NULL);
}

static void *thread_main(void *unused)
{
	oracle_thread(true);
	pthread_setspecific(key, &key);
	oracle_step(in_handler, NULL, 1, 4000);
	oracle_step_on(1, 1500); /* ends while signals can still be delivered */
	return NULL;
}

static void *thread_exits(void *unused)
{
	oracle_thread(false);
	pthread_setspecific(key, &key);
	oracle_step_on(1, 1500);
	pthread_exit(NULL);
}

static void threads(void *unused)
{
	pthread_t thread;

	pthread_key_create(&key, at_thread_end);
	for (int i = 0; i < 6; i++) {
		if (pthread_create(&thread, NULL, i % 2 ? thread_main : thread_exits, NULL) != 0)
			_exit(1);
		pthread_join(thread, NULL);
	}
}

static void leaves(void *unused)
{
	fopen("/dev/null", "w"); /* something to flush */
	oracle_step_on(1, 20000);
	exit(0);
}

/* libcrypto: assembly written by hand, with CFI in most places. */

struct digest_calls {
	void *type;
	const void *data;
	size_t size;
	int (*digest)(const void *, size_t, unsigned char *, unsigned *, const void *, void *);
};

static void digest_once(void *user)
{
	struct digest_calls *c = user;
	unsigned char out[64];
	unsigned n = 0;

	sink += (uint64_t)c->digest(c->data, c->size, out, &n, c->type, NULL);
}

static void digests(void *handle)
{
	static const char *const names[] = {"SHA1", "SHA256",     "SHA512",   "SHA3-256",
					    "MD5",  "BLAKE2b512", "RIPEMD160"};
	static unsigned char data[700];
	LOOK_UP(handle, void *, EVP_get_digestbyname, const char *);
	LOOK_UP(handle, int, EVP_Digest, const void *, size_t, unsigned char *, unsigned *,
		const void *, void *);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct digest_calls calls = {EVP_get_digestbyname(names[i]), data, sizeof(data),
					     EVP_Digest};

		if (calls.type != NULL)
			oracle_step(digest_once, &calls, 3, 5000);
	}
}

struct cipher_calls {
	void *context, *type;
	int (*init)(void *, const void *, void *, const unsigned char *, const unsigned char *,
		    int);
	int (*update)(void *, unsigned char *, int *, const unsigned char *, int);
	int (*final)(void *, unsigned char *, int *);
};

static void cipher_once(void *user)
{
	static unsigned char secret[64], iv[16], in[1500], out[2000];
	struct cipher_calls *c = user;
	int n = 0;

	for (int encrypt = 1; encrypt >= 0; encrypt--) {
		sink += (uint64_t)c->init(c->context, c->type, NULL, secret, iv, encrypt);
		sink += (uint64_t)c->update(c->context, out, &n, in, sizeof(in));
		sink += (uint64_t)c->final(c->context, out + n, &n);
	}
}

static void ciphers(void *handle)
{
	static const char *const names[] = {"AES-128-CBC",      "AES-256-CTR",  "AES-128-GCM",
					    "AES-256-XTS",      "AES-128-CCM",  "ChaCha20-Poly1305",
					    "CAMELLIA-128-CBC", "DES-EDE3-CBC", "AES-128-OCB"};
	LOOK_UP(handle, void *, EVP_get_cipherbyname, const char *);
	LOOK_UP(handle, void *, EVP_CIPHER_CTX_new, void);
	struct cipher_calls calls = {.context = EVP_CIPHER_CTX_new()};
	*(void **)&calls.init = dlsym(handle, "EVP_CipherInit_ex");
	*(void **)&calls.update = dlsym(handle, "EVP_CipherUpdate");
	*(void **)&calls.final = dlsym(handle, "EVP_CipherFinal_ex");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		calls.type = EVP_get_cipherbyname(names[i]);
		if (calls.type != NULL)
			oracle_step(cipher_once, &calls, 3, 8000);
	}
}

static void make_key(void *user)
{
	void *handle = library("libcrypto.so.3");
	LOOK_UP(handle, void *, EVP_PKEY_Q_keygen, void *, void *, const char *, ...);
	const char *name = user;

	if (strncmp(name, "P-", 2) == 0)
		sink += (uintptr_t)EVP_PKEY_Q_keygen(NULL, NULL, "EC", name);
	else if (strcmp(name, "RSA") == 0)
		sink += (uintptr_t)EVP_PKEY_Q_keygen(NULL, NULL, name, (size_t)512);
	else
		sink += (uintptr_t)EVP_PKEY_Q_keygen(NULL, NULL, name);
}

static void power(void *user)
{
	static unsigned char bytes[128];
	void *handle = library("libcrypto.so.3");
	LOOK_UP(handle, void *, BN_new, void);
	LOOK_UP(handle, void *, BN_CTX_new, void);
	LOOK_UP(handle, void *, BN_bin2bn, const unsigned char *, int, void *);
	LOOK_UP(handle, int, BN_mod_exp, void *, const void *, const void *, const void *, void *);
	LOOK_UP(handle, int, BN_mod_exp_mont_consttime, void *, const void *, const void *,
		const void *, void *, void *);
	void *base, *exponent, *modulus, *result, *context;

	result = BN_new();
	context = BN_CTX_new();
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + 131);
	base = BN_bin2bn(bytes, 100, NULL);
	exponent = BN_bin2bn(bytes + 20, 60, NULL);
	bytes[127] |= 1;
	modulus = BN_bin2bn(bytes, 128, NULL);
	sink += (uint64_t)BN_mod_exp(result, base, exponent, modulus, context);
	sink += (uint64_t)BN_mod_exp_mont_consttime(result, base, exponent, modulus, context, NULL);
}

static void crypto(void *unused)
{
	static const char *const keys[] = {"X25519", "ED25519", "X448", "P-256",
					   "P-384",  "P-521",   "RSA"};
	void *handle = library("libcrypto.so.3");

	if (handle == NULL)
		_exit(77);
	digests(handle);
	ciphers(handle);
	oracle_step(power, NULL, 5, 40000);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		oracle_step(make_key, (void *)keys[i], 5, 10000);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		oracle_sample(make_key, (void *)keys[i], 150);
}

/* Big programs. */

static void query(void *database)
{
	void *handle = library("libsqlite3.so.0");
	LOOK_UP(handle, int, sqlite3_exec, void *, const char *, void *, void *, char **);

	sink += (uint64_t)sqlite3_exec(
		database,
		"create table if not exists t(a integer primary key, b text);"
		"insert into t(b) values('one'),('two'),('three');"
		"select b, count(*), avg(a) from t where b like '%o%' group by b order by 2 desc;"
		"with recursive n(i) as (select 1 union all select i+1 from n where i<200) "
		"select sum(i*i), group_concat(i) from n;",
		NULL, NULL, NULL);
}

static void sqlite(void *unused)
{
	void *handle = library("libsqlite3.so.0"), *database = NULL;
	LOOK_UP(handle, int, sqlite3_open, const char *, void **);

	if (handle == NULL)
		_exit(77);
	sqlite3_open(":memory:", &database);
	oracle_step(query, database, 5, 60000);
	oracle_sample(query, database, 700);
}

static void interpret(void *unused)
{
	static void *handle;

	if (handle == NULL)
		handle = library("libpython3.11.so.1.0");
	LOOK_UP(handle, int, PyRun_SimpleString, const char *);
	sink += (uint64_t)PyRun_SimpleString(
		"import re, json\n"
		"def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)\n"
		"fib(9)\n"
		"json.loads(json.dumps({str(i): [i, i/3, None] for i in range(30)}))\n"
		"sorted(re.findall('[a-z]+', 'some words that are to be found'*5), key=lambda w: "
		"w[1:])\n"
		"try:\n    [][1]\nexcept IndexError: pass\n");
}

static void python(void *unused)
{
	void *handle = library("libpython3.11.so.1.0");

	if (handle == NULL)
		_exit(77);
	LOOK_UP(handle, void, Py_InitializeEx, int);
	Py_InitializeEx(0);
	oracle_step(interpret, NULL, 5, 60000);
	oracle_sample(interpret, NULL, 700);
}

/* At full speed, at random. */

static void mixture(void *unused)
{
	clocks(NULL);
	strings(NULL);
	formats(NULL);
}

static void sampled(void *path)
{
	void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	const struct walk_place *places = dlsym(handle, "walk_places");

	oracle_sample(mixture, NULL, 500);
	for (const struct walk_place *place = places; place->name != NULL; place++)
		if (strcmp(place->name, "jumps") != 0) /* stepped; there libunwind is often wrong */
			oracle_sample(place->run, NULL, 300);
}

/* What has been looked into, so that a reader of the counts need not. */
static void explain(void)
{
	note("in transfer: longjmp() and the C++ runtime write the target's registers over their "
	     "own saved ones and load "
	     "them; for these instructions the tables lead to the target already, and so do both "
	     "walks");
	note("ours is wrong in longjmp(): its last two instructions, when the stack pointer is the "
	     "target's");
	note("libunwind is wrong in realigned functions behind `leave`: gcc says that rbp is saved "
	     "where rbp points");
	note("libunwind is wrong where a function follows a call that does not return: it "
	     "remembers "
	     "rules by address, and a return address and an interrupted pc may be the same number");
	note("libunwind ends early, or goes into data, in code without rules: .init, .fini and the "
	     "plain stubs");
	note("libunwind reports an error where makecontext()'s first frame is said to be the "
	     "outermost");
}

int main(int argc, char **argv)
{
	const char *why;

	plan_begin();
	if (sizeof(void *) != 8)
		skip_all("not on this processor");
	why = oracle_init();
	if (why != NULL)
		skip_all("%s", why);
	for (int i = 1; i < argc; i++) {
		const char *name = strrchr(argv[i], '/');

		region(name != NULL ? name + 1 : argv[i], run_places, argv[i]);
	}
	region("libc", libc, NULL);
	region("signals", signals, NULL);
	region("faults", faults, NULL);
	region("contexts", contexts, NULL);
	region("threads", threads, NULL);
	region("exit", leaves, NULL);
	region("libcrypto", crypto, NULL);
	region("sqlite", sqlite, NULL);
	region("python", python, NULL);
	if (argc > 1)
		region("sampled", sampled, argv[1]);
	ok(total.places >= 200000, "%" PRIu64 " places, %" PRIu64 " frames", total.places,
	   total.frames);
	ok(total.as_alone == total.places && total.taken * 4 > total.frames,
	   "%.0f %% of the frames come from the walk before, and nothing is different for it",
	   100.0 * (double)total.taken / (double)total.frames);
	note("all: as libunwind %" PRIu64 ", as by all registers %" PRIu64 ", truth known %" PRIu64
	     ", ours true %" PRIu64 ", libunwind's true %" PRIu64,
	     total.as_theirs, total.as_full, total.truths, total.ours_true, total.theirs_true);
	explain();
	return plan_end();
}
