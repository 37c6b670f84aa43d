#include <inttypes.h>
#include <stdio.h>

#include "viewer/export_perfetto.h"

/* The name is in x->name. */
int perfetto_describe(struct export *x, const struct track *t)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	size_t at, inner;

	perfetto_begin_packet(x, &f->main, 0, 0);
	at = proto_begin(p, TRACK_DESCRIPTOR);
	proto_u64(p, 1, t->uuid);
	proto_u64(p, 5, t->parent);
	perfetto_put_name(x, 2);
	if (t->merge != 0)
		proto_u64(p, 15, t->merge);
	if (t->key != NULL)
		perfetto_put_text(p, 16, t->key);
	if (t->counter != 0) {
		inner = proto_begin(p, 8);
		proto_u64(p, 3, t->counter);
		if (t->share != NULL || t->counter == 3)
			perfetto_put_text(p, 7, t->share != NULL ? t->share : "bytes");
		proto_end(p, inner);
	}
	if (t->is_state)
		proto_end(p, proto_begin(p, 18));
	proto_end(p, at);
	return perfetto_end_packet(x);
}

int perfetto_describe_process(struct export *x)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	const char *command = tables_metadata(x->tables, "cmdline");
	size_t at, inner;

	perfetto_begin_packet(x, &f->main, 0, 0);
	at = proto_begin(p, TRACK_DESCRIPTOR);
	proto_u64(p, 1, perfetto_uuid(f, OF_PROCESS, 0));
	inner = proto_begin(p, 3);
	proto_u64(p, 1, x->reader->header.pid);
	if (command != NULL)
		perfetto_put_text(p, 2, command);
	export_program(x, &x->name);
	perfetto_put_name(x, 6);
	proto_end(p, inner);
	proto_end(p, at);
	return perfetto_end_packet(x);
}

static int describe_thread(struct export *x, uint32_t thread)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	uint64_t track = perfetto_uuid(f, OF_THREAD, thread);
	struct track states = {
		.uuid = perfetto_uuid(f, OF_STATES, thread), .parent = track, .is_state = true};
	size_t at, inner;
	int r;

	perfetto_begin_packet(x, &f->main, 0, 0);
	at = proto_begin(p, TRACK_DESCRIPTOR);
	proto_u64(p, 1, track);
	proto_u64(p, 5, perfetto_uuid(f, OF_PROCESS, 0));
	inner = proto_begin(p, 4);
	proto_u64(p, 1, x->reader->header.pid);
	proto_u64(p, 2, export_tid(x, thread));
	export_thread_name(x, thread);
	perfetto_put_name(x, 5);
	proto_end(p, inner);
	proto_end(p, at);
	r = perfetto_end_packet(x);
	name_clear(&x->name);
	name_format(&x->name, "state");
	return r != 0 ? r : perfetto_describe(x, &states);
}

/* The tracks of a thread, which are described when they are met. NULL: out of memory. */
struct thread_tracks *perfetto_tracks(struct export *x, uint32_t thread)
{
	struct perfetto *f = x->own;
	struct thread_tracks *t;
	bool is_new;
	uint32_t id;
	int r;

	t = rows_at(&f->thread_of, thread, &f->threads, &f->threads_n, &f->threads_room, sizeof(*t),
		    &is_new);
	if (t == NULL || !is_new)
		return t;
	id = 16 + 8 * (uint32_t)(t - f->threads);
	*t = (struct thread_tracks){
		.thread = thread,
		.slices = {.id = id, .track = perfetto_uuid(f, OF_THREAD, thread)},
		.states = {.id = id + 1, .track = perfetto_uuid(f, OF_STATES, thread)},
	};
	for (uint32_t i = 0; i < WAKES_MAX; i++)
		t->wakes[i] = (struct sequence){.id = id + 2 + i,
						.track = perfetto_uuid(f, OF_THREAD, thread)};
	f->name = x->name;
	r = describe_thread(x, thread);
	x->name = f->name;
	return r == 0 || x->out->error != 0 ? t : NULL;
}

/* Is the track new? Marks that it is described. */
bool perfetto_is_undescribed(struct perfetto *f, uint64_t uuid)
{
	if (map_get(&f->described, uuid) != MAP_NONE)
		return false;
	if (map_set(&f->described, uuid, 0) < 0)
		f->p.is_broken = true;
	return true;
}

struct sequence *perfetto_lock(struct export *x, uint32_t object, uint32_t reader)
{
	struct perfetto *f = x->own;
	uint64_t key = (uint64_t)object << 8 | reader;
	struct track group = {.uuid = perfetto_uuid(f, OF_LOCKS, 0),
			      .parent = perfetto_uuid(f, OF_PROCESS, 0)},
		     track = {.uuid = perfetto_uuid(f, OF_LOCK, key),
			      .parent = group.uuid,
			      .merge = 2};
	struct sequence *lock;
	bool is_new;
	char text[32];

	lock = rows_at(&f->lock_of, key, &f->locks, &f->locks_n, &f->locks_room, sizeof(*lock),
		       &is_new);
	if (lock == NULL || !is_new)
		return lock;
	*lock = (struct sequence){.id = (UINT32_C(1) << 30) + (uint32_t)(lock - f->locks),
				  .track = track.uuid};
	if (!f->has_locks) {
		f->has_locks = true;
		name_clear(&x->name);
		name_format(&x->name, "Locks");
		perfetto_describe(x, &group);
	}
	/* readers of one lock are shown as one */
	snprintf(text, sizeof(text), "lock %" PRIu32, object);
	if (tables_object(x->tables, object) != NULL &&
	    tables_object(x->tables, object)->kind == TRACE_OBJECT_RWLOCK) {
		track.merge = 3;
		track.key = text;
	}
	name_clear(&x->name);
	name_object(&x->name, x->tables, object);
	perfetto_describe(x, &track);
	return lock;
}
