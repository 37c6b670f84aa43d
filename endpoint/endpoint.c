#include "endpoint/endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "endpoint/private.h"
#include "output/output.h"

#define AGAIN_NS (NS_PER_SECOND / 200) /* for what is under way elsewhere */

/* Threads, under the name by which those who poll Go's programs know such a profile. */
static void make_goroutine(struct endpoint *e)
{
	static const struct value_type values[] = {{"goroutine", "count"}, {0}};
	const struct profile_ops *threads = profile_find(e->source.profiles, "threads");

	if (threads == NULL)
		return;
	e->goroutine = *threads;
	e->goroutine.name = "goroutine";
	e->goroutine.values = values;
	e->goroutine.period = values[0];
	e->goroutine.is_view = true;
}

struct endpoint *endpoint_create(const struct endpoint_source *source)
{
	struct endpoint *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->catalog = catalog_create(source->profiles);
	if (e->catalog == NULL) {
		free(e);
		return NULL;
	}
	e->source = *source;
	make_goroutine(e);
	return e;
}

static void end_deltas(struct endpoint *e)
{
	if (e->source.hold(e->source.user) == NULL)
		return;
	for (unsigned i = 0; i < ENDPOINT_DELTAS; i++)
		if (e->deltas[i].window != NULL)
			e->source.window_end(e->source.user, e->deltas[i].window);
	e->source.release(e->source.user);
}

void endpoint_destroy(struct endpoint *e)
{
	if (e == NULL)
		return;
	end_deltas(e);
	endpoint_rest(e);
	catalog_destroy(e->catalog);
	free(e);
}

void endpoint_rest(struct endpoint *e)
{
	if (e->source.hold(e->source.user) == NULL)
		return;
	symbols_destroy(e->symbols);
	e->symbols = NULL;
	e->source.release(e->source.user);
}

void endpoint_hurry(struct endpoint *e, bool is_wanted)
{
	if (is_wanted)
		atomic_store_explicit(&e->is_half, true, memory_order_relaxed);
	atomic_store_explicit(&e->is_hurried, is_wanted, memory_order_relaxed);
}

/* What was read in a hurry is not kept. The segment is held, and no name in use. */
static void forget_half(struct endpoint *e)
{
	if (atomic_load_explicit(&e->is_hurried, memory_order_relaxed) ||
	    !atomic_exchange_explicit(&e->is_half, false, memory_order_relaxed))
		return;
	symbols_destroy(e->symbols);
	e->symbols = NULL;
}

/* Kept from one reply to the next: reading a large program's takes longer than all else. */
struct symbols *endpoint_symbols(struct endpoint *e)
{
	if (e->symbols == NULL && symbols_create(&e->symbols) == 0)
		symbols_end_by(e->symbols, &e->is_hurried);
	return e->symbols;
}

/* ---- replies ---- */

static void drop_body(struct endpoint_request *q)
{
	if (q->reply.fd >= 0)
		close(q->reply.fd);
	q->reply.fd = -1;
}

FILE *endpoint_open_body(struct endpoint_request *q, const char *type)
{
	FILE *body = NULL;
	int copy;

	drop_body(q);
	q->stage = STAGE_DONE;
	q->reply.type = type;
	q->reply.fd = memfd_create("cprof", MFD_CLOEXEC);
	if (q->reply.fd >= 0) {
		copy = dup(q->reply.fd);
		body = copy >= 0 ? fdopen(copy, "w") : NULL;
		if (body == NULL && copy >= 0)
			close(copy);
	}
	if (body == NULL) {
		drop_body(q);
		q->reply.status = 500;
	}
	return body;
}

void endpoint_close_body(struct endpoint_request *q, FILE *body)
{
	if (body != NULL && fclose(body) != 0) {
		drop_body(q);
		q->reply.status = 500;
	}
}

void endpoint_fail(struct endpoint_request *q, int status, const char *text)
{
	FILE *body = endpoint_open_body(q, TEXT_PLAIN);

	q->reply.status = status;
	q->reply.is_error = true;
	q->reply.is_page = false;
	q->reply.file_name[0] = '\0';
	if (status == 503 || status == 429)
		q->reply.retry_sec = 1;
	if (body != NULL)
		fprintf(body, "%s\n", text);
	endpoint_close_body(q, body);
}

unsigned endpoint_headers(const struct endpoint_reply *reply,
			  struct endpoint_header ret[ENDPOINT_HEADERS_MAX])
{
	unsigned n = 0;

#define ADD(key, ...)                                                        \
	do {                                                                 \
		ret[n].name = key;                                           \
		snprintf(ret[n++].value, sizeof(ret[0].value), __VA_ARGS__); \
	} while (0)
	ADD("X-Content-Type-Options", "nosniff");
	if (reply->type != NULL)
		ADD("Content-Type", "%s", reply->type);
	if (reply->is_error)
		ADD("X-Go-Pprof", "1");
	if (reply->file_name[0] != '\0')
		ADD("Content-Disposition", "attachment; filename=\"%s\"", reply->file_name);
	if (reply->location[0] != '\0')
		ADD("Location", "%s", reply->location);
	if (reply->allow != NULL)
		ADD("Allow", "%s", reply->allow);
	if (reply->retry_sec != 0)
		ADD("Retry-After", "%u", reply->retry_sec);
	if (reply->is_page) {
		ADD("Content-Security-Policy",
		    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
		    "form-action 'none'; frame-ancestors 'none'");
		ADD("Referrer-Policy", "no-referrer");
	}
	ADD("Cache-Control", "no-store");
#undef ADD
	return n;
}

/* ---- what is asked ---- */

const struct profile_ops *endpoint_find(const struct endpoint *e, const char *name)
{
	const struct profile_ops *found;
	const struct segment *s;

	if (strcmp(name, "goroutine") == 0)
		return e->goroutine.name != NULL ? &e->goroutine : NULL;
	found = profile_find(e->source.profiles, strcmp(name, "fgprof") == 0 ? "wall" : name);
	if (found != NULL)
		return found;
	s = e->source.hold(e->source.user);
	if (s == NULL)
		return NULL;
	found = profile_find(catalog_list(e->catalog, s), name);
	e->source.release(e->source.user);
	return found;
}

/* 0: done, and the reply is there. */
static int change(struct endpoint_request *q, struct why *why)
{
	struct endpoint_source *source = &q->endpoint->source;
	int r = q->kind == KIND_START ? source->start(source->user, &q->call, q->text, why)
				      : source->stop(source->user, &q->call, q->text, why);
	FILE *body;

	if (r == -EINPROGRESS)
		return r;
	if (r < 0) {
		endpoint_fail(q, r == -EINVAL ? 400 : r == -EBUSY ? 409 : 500, why->text);
		return 0;
	}
	body = endpoint_open_body(q, TEXT_PLAIN);
	if (body != NULL)
		fprintf(body, "%s\n", why->text[0] != '\0' ? why->text : "done");
	endpoint_close_body(q, body);
	return 0;
}

/* The parameters of the body, then those of the query: the first of a name counts. */
static char *join_forms(const struct endpoint_ask *ask)
{
	const char *query = ask->query != NULL ? ask->query : "";
	bool is_form = ask->is_form && ask->body_size > 0;
	size_t size = ask->body_size + strlen(query) + 2;
	char *form = malloc(size);

	if (form != NULL)
		snprintf(form, size, "%.*s%s%s", is_form ? (int)ask->body_size : 0, ask->body,
			 is_form ? "&" : "", query);
	return form;
}

struct endpoint_request *endpoint_begin(struct endpoint *e, const struct endpoint_ask *ask)
{
	struct endpoint_request *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->endpoint = e;
	q->reply.fd = -1;
	q->reply.status = 200;
	q->form = join_forms(ask);
	if (q->form == NULL)
		endpoint_fail(q, 500, "out of memory");
	else
		endpoint_route(q, ask);
	free(q->form);
	q->form = NULL;
	return q;
}

/* ---- steps ---- */

static void go_on(struct endpoint_request *q, uint64_t now)
{
	struct endpoint_source *source = &q->endpoint->source;

	if (q->stage == STAGE_WAIT && source->window_stop != NULL && q->window != NULL)
		source->window_stop(source->user, q->window);
	q->call = (struct endpoint_call){0};
	if (q->stage != STAGE_DONE)
		q->stage++;
	if (q->stage == STAGE_OPEN && !q->has_window)
		q->stage = STAGE_WRITE;
	if (q->stage == STAGE_WAIT)
		q->until_ns = now + q->window_ns;
	if (q->stage == STAGE_LAST_LOOK && q->kind == KIND_TRACE)
		q->stage = STAGE_WRITE;
}

static void fail_because(struct endpoint_request *q, int error, const struct why *why)
{
	char text[400];

	if (error == -ENOSPC || error == -ECANCELED) {
		endpoint_fail(q, 503,
			      error == -ENOSPC ? "too many windows are open"
					       : "the process has ended");
		return;
	}
	snprintf(text, sizeof(text), "%s%s",
		 q->kind == KIND_TRACE    ? "Could not enable tracing: "
		 : q->ops->run == RUN_CPU ? "Could not enable CPU profiling: "
					  : "failed to collect profile: ",
		 why->text[0] != '\0' ? why->text : strerrordesc_np(-error));
	endpoint_fail(q, 500, text);
}

/* Of a profile that never ran there is nothing to subtract, and an empty one is written. */
static int open_window(struct endpoint_request *q, const struct segment *s, struct why *why)
{
	struct endpoint *e = q->endpoint;
	int r;

	if (e->waiting >= ENDPOINT_WAITING_MAX)
		return -ENOSPC;
	if (q->kind == KIND_TRACE) {
		r = e->source.trace_begin(e->source.user, &q->call, why);
		q->has_trace = r == 0;
	} else {
		r = e->source.window_begin(e->source.user, &q->call, q->ops, q->starts, &q->window,
					   why);
		if (r == -EAGAIN || r == -ENOTSUP)
			r = 0;
	}
	(void)s;
	if (r == 0)
		e->waiting++;
	return r;
}

static struct endpoint_delta *find_delta(struct endpoint *e, const struct profile_ops *ops)
{
	for (unsigned i = 0; i < ENDPOINT_DELTAS; i++)
		if (e->deltas[i].ops == ops || e->deltas[i].ops == NULL) {
			e->deltas[i].ops = ops;
			return &e->deltas[i];
		}
	return NULL;
}

static int write_folded(struct endpoint_request *q, const struct segment *s, struct why *why)
{
	struct profile profile;
	FILE *body;
	int r = reading_profile(s, q->ops, q->window, endpoint_symbols(q->endpoint), &profile, NULL,
				why);

	if (r < 0)
		return r;
	body = fdopen(dup(q->reply.fd), "w");
	r = body != NULL ? endpoint_write_folded(&profile, body) : -ENOMEM;
	if (body != NULL && fclose(body) != 0)
		r = -EIO;
	profile_fini(&profile);
	return r;
}

static int write_profile(struct endpoint_request *q, const struct segment *s, struct why *why)
{
	struct endpoint *e = q->endpoint;
	struct endpoint_delta *delta = q->is_delta ? find_delta(e, q->ops) : NULL;
	struct reading_window *next = NULL, *window = delta != NULL ? delta->window : q->window;
	int r;

	/* it is opened first: what comes between the two is in both, and in neither is worse */
	if (delta != NULL &&
	    e->source.window_begin(e->source.user, &q->call, q->ops, false, &next, why) == 0)
		reading_window_keep_in_use(next);
	if (!reading_is_there(s, q->ops) || (q->has_window && q->window == NULL))
		r = endpoint_write_empty(s, q->ops, q->window_ns, q->debug, q->reply.fd);
	else if (q->is_folded)
		r = write_folded(q, s, why);
	else
		r = output_write(s, q->ops, window, endpoint_symbols(e), q->reply.fd, q->debug,
				 "the profile", why);
	if (delta != NULL) {
		if (delta->window != NULL)
			e->source.window_end(e->source.user, delta->window);
		delta->window = next;
	}
	if (e->symbols != NULL)
		symbols_forget_jit(e->symbols);
	return r;
}

static int write_reply(struct endpoint_request *q, const struct segment *s, struct why *why)
{
	struct endpoint *e = q->endpoint;

	if (q->reply.fd < 0)
		q->reply.fd = memfd_create("cprof", MFD_CLOEXEC);
	if (q->reply.fd < 0)
		return -errno;
	return q->kind == KIND_TRACE
		       ? e->source.trace_write(e->source.user, &q->call,
					       q->has_window ? q->until_ns - q->window_ns : 0,
					       q->reply.fd, why)
		       : write_profile(q, s, why);
}

/* The segment is held. 0, -EINPROGRESS, or what did not work. */
static int step(struct endpoint_request *q, const struct segment *s, struct why *why)
{
	struct endpoint *e = q->endpoint;

	switch (q->stage) {
	case STAGE_FIRST_LOOK:
	case STAGE_LAST_LOOK:
		/* what cannot be looked at is empty, or what was seen last */
		return e->source.look(e->source.user, &q->call, q->ops, why) == -EINPROGRESS
			       ? -EINPROGRESS
			       : 0;
	case STAGE_OPEN:
		return open_window(q, s, why);
	case STAGE_WRITE:
		return q->kind == KIND_START || q->kind == KIND_STOP ? change(q, why)
								     : write_reply(q, s, why);
	default:
		return 0;
	}
}

static void end_window(struct endpoint_request *q)
{
	struct endpoint *e = q->endpoint;

	if (q->window != NULL)
		e->source.window_end(e->source.user, q->window);
	if (q->has_trace)
		e->source.trace_end(e->source.user);
	q->window = NULL;
	q->has_trace = false;
	if (q->call.state != 0)
		e->source.cancel(e->source.user, &q->call);
	q->call = (struct endpoint_call){0};
}

/* It has an open one, or did without. */
static void stop_waiting(struct endpoint_request *q, enum endpoint_stage stage)
{
	if (q->has_window && stage > STAGE_OPEN)
		q->endpoint->waiting--;
	q->has_window = false;
}

struct endpoint_reply *endpoint_step(struct endpoint_request *q, uint64_t now_ns, bool is_last,
				     uint64_t *ret_next_ns)
{
	struct endpoint *e = q->endpoint;
	const struct segment *s;
	int r = 0;

	while (q->stage != STAGE_DONE) {
		enum endpoint_stage before = q->stage;
		struct why why = {""};

		if (q->stage == STAGE_WAIT && now_ns < q->until_ns && !is_last) {
			*ret_next_ns = q->until_ns;
			return NULL;
		}
		s = e->source.hold(e->source.user);
		if (s == NULL) {
			q->window = NULL; /* it went with the segment */
			stop_waiting(q, before);
			endpoint_fail(q, 503, "the process has ended");
			break;
		}
		forget_half(e);
		patience_look(&q->call.patience, now_ns);
		r = step(q, s, &why);
		if (r == 0)
			go_on(q, now_ns);
		if (r == -EINPROGRESS && is_last)
			r = -ECANCELED;
		if (q->stage == STAGE_DONE || (r < 0 && r != -EINPROGRESS)) {
			end_window(q);
			stop_waiting(q, before);
		}
		e->source.release(e->source.user);
		if (r == -EINPROGRESS) {
			*ret_next_ns = now_ns + AGAIN_NS;
			return NULL;
		}
		if (r < 0)
			fail_because(q, r, &why);
	}
	return &q->reply;
}

void endpoint_end(struct endpoint_request *q)
{
	struct endpoint *e;

	if (q == NULL)
		return;
	e = q->endpoint;
	if (q->stage != STAGE_DONE) {
		if (e->source.hold(e->source.user) != NULL) {
			end_window(q);
			stop_waiting(q, q->stage);
			e->source.release(e->source.user);
		}
	}
	drop_body(q);
	free(q);
}
