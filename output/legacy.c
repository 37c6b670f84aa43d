#include "output/legacy.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/pprof.h"

/* What is the profiler's own, or the allocator's, at the leaf end; source: as above. */
#define HEAP_FRAMES                                                                         \
	"calloc|cfree|malloc|free|memalign|do_memalign|(__)?posix_memalign|pvalloc|valloc|" \
	"realloc|tcmalloc::.*|tc_calloc|tc_cfree|tc_malloc|tc_free|tc_memalign|"            \
	"tc_posix_memalign|tc_pvalloc|tc_valloc|tc_realloc|tc_new|tc_delete|tc_newarray|"   \
	"tc_deletearray|tc_new_nothrow|tc_newarray_nothrow|malloc_zone_malloc|"             \
	"malloc_zone_calloc|malloc_zone_valloc|malloc_zone_realloc|malloc_zone_memalign|"   \
	"malloc_zone_free|runtime\\..*|BaseArena::.*|(::)?do_malloc_no_errno|"              \
	"(::)?do_malloc_pages|(::)?do_malloc|DoSampledAllocation|"                          \
	"MallocedMemBlock::MallocedMemBlock|_M_allocate|__builtin_(vec_)?delete|"           \
	"__builtin_(vec_)?new|__gnu_cxx::new_allocator::allocate|__libc_malloc|"            \
	"__malloc_alloc_template::allocate|allocate|cpp_alloc|operator new(\\[\\])?|"       \
	"simple_alloc::allocate"
#define HEAP_KEPT "runtime\\.panic|runtime\\.reflectcall|runtime\\.call[0-9]*"
#define CPU_FRAMES                                                              \
	"ProfileData::Add|ProfileData::prof_handler|CpuProfiler::prof_handler|" \
	"__pthread_sighandler|__restore"
#define LOCK_FRAMES                                                                            \
	"RecordLockProfileData|(base::)?RecordLockProfileData.*|"                              \
	"(base::)?SubmitMutexProfileData.*|(base::)?SubmitSpinLockProfileData.*|"              \
	"(base::Mutex::)?AwaitCommon.*|(base::Mutex::)?Unlock.*|(base::Mutex::)?UnlockSlow.*|" \
	"(base::Mutex::)?ReaderUnlock.*|(base::MutexLock::)?~MutexLock.*|"                     \
	"(Mutex::)?AwaitCommon.*|(Mutex::)?Unlock.*|(Mutex::)?UnlockSlow.*|"                   \
	"(Mutex::)?ReaderUnlock.*|(MutexLock::)?~MutexLock.*|(SpinLock::)?Unlock.*|"           \
	"(SpinLock::)?SlowUnlock.*|(SpinLockHolder::)?~SpinLockHolder.*"

static void choose_dropped(struct profile *p)
{
	const char *last = p->sample_types_n > 0 ? p->sample_types[p->sample_types_n - 1].type : "";

	p->drop_frames = CPU_FRAMES;
	if (strcmp(last, "inuse_space") == 0 || strcmp(last, "space") == 0) {
		p->drop_frames = HEAP_FRAMES;
		p->keep_frames = HEAP_KEPT;
	} else if (strcmp(last, "delay") == 0) {
		p->drop_frames = LOCK_FRAMES;
	}
	p->drop_frames = profile_string(p, p->drop_frames);
	p->keep_frames = profile_string(p, p->keep_frames);
}

bool legacy_next(struct legacy *l, struct legacy_line *ret)
{
	const char *end;

	if (l->at == l->end)
		return false;
	end = memchr(l->at, '\n', (size_t)(l->end - l->at));
	ret->at = l->at;
	ret->end = end != NULL ? end : l->end;
	l->at = end != NULL ? end + 1 : l->end;
	l->line++;
	while (ret->at < ret->end && isspace((unsigned char)ret->at[0]))
		ret->at++;
	while (ret->at < ret->end && isspace((unsigned char)ret->end[-1]))
		ret->end--;
	return true;
}

bool legacy_is_blank(const struct legacy_line *line)
{
	return line->at == line->end || line->at[0] == '#';
}

bool legacy_starts(const struct legacy_line *line, const char *start)
{
	size_t n = strlen(start);

	return (size_t)(line->end - line->at) >= n && memcmp(line->at, start, n) == 0;
}

bool legacy_has(const struct legacy_line *line, const char *text)
{
	return memmem(line->at, (size_t)(line->end - line->at), text, strlen(text)) != NULL;
}

bool legacy_ends_samples(const struct legacy_line *line)
{
	return legacy_has(line, "--- Memory map: ---") || legacy_has(line, "MAPPED_LIBRARIES:");
}

int legacy_push(struct legacy *l, uint64_t address)
{
	struct profile_location location = {.address = address, .mapping = PROFILE_NONE};
	uint32_t *bigger;
	size_t room;

	if (l->stack_n == l->stack_room) {
		room = l->stack_room * 2 + 64;
		bigger = realloc(l->stack, room * sizeof(*bigger));
		if (bigger == NULL)
			return -ENOMEM;
		l->stack = bigger;
		l->stack_room = room;
	}
	l->stack[l->stack_n++] = profile_add_location(l->p, &location);
	return profile_error(l->p);
}

int legacy_add_sample(struct legacy *l, const int64_t *values, const struct profile_label *label)
{
	struct profile_sample *s = profile_append_sample(l->p);
	size_t types_n = l->p->sample_types_n;

	if (s == NULL)
		return profile_error(l->p);
	s->locations = profile_alloc(l->p, l->stack_n * sizeof(*s->locations));
	s->values = profile_alloc(l->p, types_n * sizeof(*s->values));
	s->labels = profile_alloc(l->p, sizeof(*s->labels));
	if (s->locations == NULL || s->values == NULL || s->labels == NULL)
		return profile_error(l->p);
	if (l->stack_n > 0)
		memcpy(s->locations, l->stack, l->stack_n * sizeof(*s->locations));
	memcpy(s->values, values, types_n * sizeof(*s->values));
	s->locations_n = (uint32_t)l->stack_n;
	if (label != NULL)
		s->labels[s->labels_n++] = *label;
	l->stack_n = 0;
	return 0;
}

int legacy_refuse(struct legacy *l, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (l->line > 0)
		why_set(l->why, "line %llu: %s", (unsigned long long)l->line, text);
	else
		why_set(l->why, "%s", text);
	return -EBADMSG;
}

int legacy_decode(const uint8_t *bytes, size_t size, struct profile *ret, struct why *why)
{
	struct legacy l = {.p = ret, .why = why, .at = (const char *)bytes};
	int r = profile_init(ret);

	l.end = l.at + size;
	profile_limit(ret, PPROF_MEMORY_MAX);
	if (r == 0)
		r = legacy_read_cpu(&l);
	if (r == -ENOENT)
		r = legacy_read_text(&l);
	if (r == 0)
		choose_dropped(ret);
	if (r == 0)
		r = profile_error(ret);
	free(l.stack);
	if (r == 0)
		return 0;
	profile_fini(ret);
	if (r == -E2BIG) {
		why_set(why,
			"it needs more than %zu MiB of memory, more than any profile should; "
			"nothing was read",
			PPROF_MEMORY_MAX >> 20);
		r = -EFBIG;
	} else if (r == -ENOMEM) {
		why_set(why, "out of memory");
	}
	return r;
}
