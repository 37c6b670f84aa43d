#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/checksum.h"
#include "output/file.h"
#include "viewer/index_private.h"

#define KEPT     16 /* files: of the traces that were looked at last */
#define ROWS_MAX (UINT64_C(1) << 26)
#define ENDING   ".idx"
#define BEGUN    ".part"
#define BEGUN_S  3600 /* one that is being made is written to all the time */

/* ---- what is in one ---- */

static int read_all(int fd, void *to, size_t size, uint64_t offset)
{
	uint8_t *at = to;
	ssize_t n;

	for (; size > 0; at += n, size -= (size_t)n, offset += (uint64_t)n) {
		n = pread(fd, at, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return -EBADMSG;
	}
	return 0;
}

static bool is_right(const struct index_trailer *t, const struct reader *r, uint64_t size)
{
	const struct index_sizes *n = &t->sizes;

	if (memcmp(t->magic, INDEX_MAGIC, sizeof(t->magic)) != 0 || t->version != INDEX_VERSION ||
	    !r->has_header || memcmp(t->uuid, r->header.uuid, sizeof(t->uuid)) != 0 ||
	    t->trace_bytes != r->source.size || t->trace_stamp_ns != r->source.stamp_ns)
		return false;
	if (n->rows > ROWS_MAX || n->tracks > ROWS_MAX || n->tile_rows > ROWS_MAX ||
	    n->point_rows > ROWS_MAX || n->series > INDEX_SERIES_MAX || n->files > ROWS_MAX ||
	    n->borders > INDEX_BORDERS_MAX || t->grid.level >= 64 || t->data_bytes > size)
		return false;
	return size == t->data_bytes + n->rows * sizeof(struct index_row) +
			       n->tracks * sizeof(struct index_entry) +
			       n->tile_rows * sizeof(struct index_tile_row) +
			       n->point_rows * sizeof(struct index_point_row) +
			       n->series * sizeof(struct index_series_entry) +
			       n->files * sizeof(struct index_file) +
			       n->borders * sizeof(struct index_border) + sizeof(*t);
}

static bool is_leaf(const struct index *x, uint64_t offset, uint64_t bytes, uint64_t room)
{
	return bytes <= room && offset <= x->data_bytes && bytes <= x->data_bytes - offset;
}

/* Rows of a track lie in the order of time, and in the file. */
static bool are_right(const struct index *x)
{
	for (uint64_t i = 0; i < x->n.tracks; i++) {
		const struct index_entry *e = &x->tracks[i];

		if (e->first > x->n.rows || e->n > x->n.rows - e->first || e->n == 0)
			return false;
		for (uint64_t k = e->first; k < e->first + e->n; k++) {
			const struct index_row *row = &x->rows[k];

			if (!is_leaf(x, row->offset, row->bytes, INDEX_LEAF * INDEX_SPAN_BYTES) ||
			    row->spans == 0 || row->spans > INDEX_LEAF ||
			    row->longest >= row->spans ||
			    (k > e->first && row->begin_ns <= row[-1].begin_ns))
				return false;
		}
		if (e->first_tile > x->n.tile_rows || e->tiles > x->n.tile_rows - e->first_tile)
			return false;
	}
	for (uint64_t i = 0; i < x->n.tile_rows; i++)
		if (!is_leaf(x, x->tile_rows[i].offset, sizeof(struct index_tile),
			     sizeof(struct index_tile)))
			return false;
	for (uint64_t i = 0; i < x->n.series; i++) {
		const struct index_series_entry *e = &x->series[i];

		if (e->first > x->n.point_rows || e->n > x->n.point_rows - e->first || e->n == 0)
			return false;
		for (uint64_t k = e->first; k < e->first + e->n; k++) {
			const struct index_point_row *row = &x->point_rows[k];

			if (!is_leaf(x, row->offset, row->bytes,
				     INDEX_POINTS * INDEX_POINT_BYTES) ||
			    row->points == 0 || row->points > INDEX_POINTS ||
			    row->end_ns < row->begin_ns ||
			    (k > e->first && row->begin_ns < row[-1].end_ns))
				return false;
		}
	}
	return true;
}

static void forget(struct index *x)
{
	if (x->tables != NULL)
		munmap(x->tables, x->tables_bytes);
	map_fini(&x->track_of);
	map_fini(&x->series_of);
	x->tables = NULL;
	x->rows = NULL;
	x->tracks = NULL;
	x->tile_rows = NULL;
	x->point_rows = NULL;
	x->series = NULL;
	x->files = NULL;
	x->borders = NULL;
	memset(&x->n, 0, sizeof(x->n));
	if (x->fd >= 0)
		close(x->fd);
	x->fd = -1;
}

/*
 * The tables, which follow one another. They are shared memory: processes that work out an answer are forked while somebody waits,
 * and what is shared need not be copied then, not even its page tables.
 */
static int load_tables(struct index *x, uint64_t offset, uint64_t bytes, uint32_t *crc)
{
	uint8_t *at =
		mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -ENOMEM;
	x->tables = at;
	x->tables_bytes = bytes + 1;
	if (read_all(x->fd, at, bytes, offset) < 0)
		return -EBADMSG;
	mprotect(at, bytes + 1, PROT_READ);
	*crc = checksum_crc32c(0, at, bytes);
#define TABLE(name)                                 \
	do {                                        \
		x->name = (void *)at;               \
		at += x->n.name * sizeof(*x->name); \
	} while (0)
	TABLE(rows);
	TABLE(tracks);
	TABLE(tile_rows);
	TABLE(point_rows);
	TABLE(series);
	TABLE(files);
	TABLE(borders);
#undef TABLE
	return 0;
}

/* Reads all but the leaves. 0, -EBADMSG when this is not it, or -ENOMEM. */
static int load(struct index *x, const struct reader *r, struct tables *t)
{
	struct index_trailer trailer;
	uint32_t crc = 0;
	struct stat st;
	int result;

	if (fstat(x->fd, &st) < 0 || (uint64_t)st.st_size < sizeof(trailer) ||
	    read_all(x->fd, &trailer, sizeof(trailer), (uint64_t)st.st_size - sizeof(trailer)) <
		    0 ||
	    !is_right(&trailer, r, (uint64_t)st.st_size))
		return -EBADMSG;
	x->counts = trailer.counts;
	x->data_bytes = trailer.data_bytes;
	x->n = trailer.sizes;
	x->grid = trailer.grid;
	result = load_tables(x, x->data_bytes,
			     (uint64_t)st.st_size - sizeof(trailer) - x->data_bytes, &crc);
	if (result < 0)
		return result;
	crc = checksum_crc32c(crc, &trailer, offsetof(struct index_trailer, crc));
	if (crc != trailer.crc || !are_right(x))
		return -EBADMSG;
	index_all_check(x);
	for (uint32_t i = 0; i < x->n.tracks; i++)
		if (map_set(&x->track_of, x->tracks[i].track.thread, i) < 0)
			return -ENOMEM;
	for (uint32_t i = 0; i < x->n.series; i++)
		if (map_set(&x->series_of,
			    index_series_key(x->series[i].series.kind, x->series[i].series.name),
			    i) < 0)
			return -ENOMEM;
	for (uint64_t i = 0; i < x->n.files; i++) {
		const struct index_file *f = &x->files[i];
		const struct table_file file = {.id = f->id,
						.number = f->number,
						.name = f->name,
						.kind = (uint8_t)f->kind};

		if (tables_set_file(t, &file) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- where it is ---- */

static int open_directory(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char path[4096];
	struct why why;
	int n;

	if (cache != NULL && cache[0] == '/')
		n = snprintf(path, sizeof(path), "%s/cprof", cache);
	else if (home != NULL && home[0] == '/')
		n = snprintf(path, sizeof(path), "%s/.cache/cprof", home);
	else
		return -ENOENT;
	return n < (int)sizeof(path) ? file_open_directory(path, &why) : -ENAMETOOLONG;
}

static bool ends_with(const char *name, const char *ending)
{
	size_t n = strlen(name), m = strlen(ending);

	return n > m && strcmp(name + n - m, ending) == 0;
}

/* The one that was not looked at for longest, when there are many; and what was begun by somebody who has ended since. */
static void remove_old(int directory)
{
	char oldest[256] = "";
	struct timespec when = {0};
	struct dirent *e;
	struct stat st;
	unsigned n = 0;
	DIR *d;
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (fstatat(directory, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (ends_with(e->d_name, BEGUN) && st.st_mtim.tv_sec + BEGUN_S < time(NULL))
			unlinkat(directory, e->d_name, 0);
		if (!ends_with(e->d_name, ENDING))
			continue;
		n++;
		if (oldest[0] == '\0' || st.st_mtim.tv_sec < when.tv_sec) {
			snprintf(oldest, sizeof(oldest), "%s", e->d_name);
			when = st.st_mtim;
		}
	}
	closedir(d);
	if (n > KEPT)
		unlinkat(directory, oldest, 0);
}

/* One that this user wrote, and that is of this trace as it is now. */
int index_read(struct index *x, const struct reader *r, struct tables *t)
{
	struct stat st;
	int result;

	if (x->file.directory < 0)
		return -ENOENT;
	x->fd = openat(x->file.directory, x->file.name,
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (x->fd < 0)
		return -ENOENT;
	result = fstat(x->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid()
			 ? load(x, r, t)
			 : -EBADMSG;
	if (result < 0) {
		forget(x);
		return -ENOENT;
	}
	futimens(x->fd, NULL);
	return 0;
}

struct index *index_new(const struct reader *r, bool is_kept)
{
	struct index *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->fd = -1;
	x->file.directory = x->file.fd = -1;
	if (!is_kept || !r->has_header || r->source.stamp_ns == 0)
		return x;
	for (unsigned i = 0; i < sizeof(r->header.uuid); i++)
		snprintf(x->file.name + 2 * i, 3, "%02x", r->header.uuid[i]);
	/* a part that was cut out of a trace is of the same run */
	snprintf(x->file.name + 2 * sizeof(r->header.uuid), 32, "-%" PRIx64 ENDING, r->source.size);
	x->file.directory = open_directory();
	return x;
}

/* ---- making one ---- */

bool index_is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}

static void lose_name(struct index *x)
{
	if (x->file.directory >= 0)
		close(x->file.directory);
	x->file.directory = -1;
}

int index_prepare(struct index *x, bool has_name, struct why *why)
{
	const char *where;
	struct why ignored;
	char name[256];
	int result;

	x->is_new = true;
	if (!has_name)
		lose_name(x);
	if (x->file.directory >= 0) {
		memcpy(name, x->file.name, sizeof(name));
		result = file_create_nameless(&x->file, x->file.directory, "the cache", name,
					      &ignored);
		if (result == 0) {
			remove_old(x->file.directory);
			return 0;
		}
		lose_name(x);
	}
	x->file.fd = file_open_unnamed(&where);
	if (x->file.fd < 0)
		x->file.fd = memfd_create("cprof index", MFD_CLOEXEC);
	if (x->file.fd >= 0)
		return 0;
	why_set(why, "no file for an index: %s", strerror(errno));
	return -errno;
}

void index_abandon(struct index *x)
{
	if (x->file.fd < 0)
		return;
	if (x->file.directory >= 0)
		file_abandon(&x->file);
	else
		close(x->file.fd);
	x->file.fd = -1;
}

int index_finish(struct index *x, const struct reader *r, struct tables *t, struct why *why)
{
	int result = 0;

	x->fd = fcntl(x->file.fd, F_DUPFD_CLOEXEC, 0);
	if (x->fd < 0)
		result = -errno;
	if (x->file.directory >= 0 && result == 0)
		result = file_commit(&x->file, why);
	else
		index_abandon(x);
	x->file.fd = -1;
	if (result == 0)
		result = load(x, r, t);
	if (result == -EBADMSG)
		why_set(why, "the index of %s is not what was just written", r->name);
	if (result == -ENOMEM)
		why_set(why, "out of memory");
	return result;
}

int index_find(struct index **ret, struct reader *r, struct tables *t)
{
	struct index *x = index_new(r, true);
	int result = -ENOMEM;

	if (x != NULL)
		result = index_read(x, r, t);
	if (result < 0)
		index_close(x);
	else
		*ret = x;
	return result;
}

int index_open(struct index **ret, struct reader *r, const struct streams *s, struct tables *t,
	       bool is_kept, const struct watch *watch, struct why *why)
{
	struct index *x = index_new(r, is_kept);
	int result = 0;

	if (x == NULL) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	if (index_read(x, r, t) == 0) {
		*ret = x;
		return 0;
	}
	for (bool has_name = true;; has_name = false) {
		result = index_prepare(x, has_name, why);
		if (result == 0)
			result = index_make(x->file.fd, r, s, t, watch, why);
		if (result == 0 || !has_name || x->file.directory < 0 || !index_is_full(result))
			break;
		index_abandon(x);
	}
	if (result == 0)
		result = index_finish(x, r, t, why);
	if (result != 0) {
		index_close(x);
		return result;
	}
	*ret = x;
	return 0;
}

int index_load(struct index **ret, int fd, const struct reader *r, struct tables *t)
{
	struct index *x = index_new(r, false);
	int result;

	if (x == NULL) {
		close(fd);
		return -ENOMEM;
	}
	x->fd = fd;
	result = load(x, r, t);
	if (result == 0)
		*ret = x;
	else
		index_close(x);
	return result;
}

int index_file(const struct index *x)
{
	return x->fd;
}

void index_distrust(struct index *x)
{
	if (x->file.directory >= 0)
		unlinkat(x->file.directory, x->file.name, 0);
	lose_name(x);
}

void index_close(struct index *x)
{
	if (x == NULL)
		return;
	index_abandon(x);
	forget(x);
	lose_name(x);
	free(x);
}
