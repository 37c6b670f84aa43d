/* index, inside: what is in the file, and how one is made. */
#pragma once

#include "output/file.h"
#include "viewer/index.h"
#include "viewer/map.h"
#include "viewer/varint.h"

#define INDEX_MAGIC   "CPROFIDX"
#define INDEX_VERSION 4

#define INDEX_SERIES_MAX 1024 /* counters beyond are not kept */
#define INDEX_POINTS     128  /* of a leaf of values */

/* A tile of more leaves is kept: others read no more, some 100 us. All that are kept take a twelfth of the index. */
#define INDEX_TILE_LEAVES             128
#define INDEX_TILE_LEVELS             41
#define INDEX_TILE_KEY(level, number) ((uint64_t)(level) << 56 | (number))

/* Numbers of records: in the trailer, and of what is in memory. */
struct index_sizes {
	uint64_t rows, tracks, tile_rows, point_rows, series, files, borders;
};

/* Borders are 2^@level ns apart from @begin_ns on. */
struct index_grid {
	uint64_t begin_ns, level;
};

/* Of all threads together, up to a border. */
struct index_border {
	uint64_t before_ns[TRACE_STATES];
};
#define INDEX_BORDERS_MAX (UINT64_C(1) << 18) /* 16 MiB */

/* At the end of the file, which is written from front to back: leaves, the tables in the order of their sizes, this. */
struct index_trailer {
	uint8_t uuid[16];
	uint64_t trace_bytes, trace_stamp_ns;
	uint64_t data_bytes; /* of leaves and tiles */
	struct index_sizes sizes;
	struct index_grid grid;
	struct story_counts counts;
	char magic[8];
	uint32_t version, crc; /* of the tables and all before it here */
};

/* A leaf, and what was before it. */
struct index_row {
	uint64_t begin_ns, offset;
	uint32_t bytes, crc; /* of the leaf */
	uint64_t before_ns[TRACE_STATES];
	uint64_t longest_ns, lock_ns;
	uint32_t lock; /* waited for longest; 0: none */
	uint16_t spans;
	uint8_t longest; /* its place */
	uint8_t flags;   /* enum index_flag, of any of them */
};

struct index_entry {
	struct index_track track;
	uint64_t first, n; /* rows */
	uint64_t first_tile, tiles;
};

/* A tile that is kept: struct index_tile. Those of a track are in the order of their keys. */
struct index_tile_row {
	uint64_t key, offset;
	uint32_t crc, zero;
};

/* A leaf of values. */
struct index_point_row {
	uint64_t begin_ns, end_ns, offset;
	uint32_t bytes, crc;
	int64_t min, max, last;
	uint64_t points;
};

struct index_series_entry {
	struct index_series series;
	uint64_t first, n; /* rows of values */
};

/* As files are called at the end. */
struct index_file {
	uint32_t id, number, name, kind;
};

/* The most that an interval and a value take. */
#define INDEX_SPAN_BYTES  (2 + 8 * VARINT_BYTES_MAX)
#define INDEX_POINT_BYTES (2 * VARINT_BYTES_MAX)

struct index_point {
	uint64_t ns;
	int64_t value;
};

struct index {
	int fd;
	bool is_new;
	struct file file; /* its name, as long as it has one; @directory -1: none */
	struct story_counts counts;
	struct index_sizes n;
	void *tables; /* all that follow, of a file */
	size_t tables_bytes;
	struct index_row *rows;
	struct index_entry *tracks;
	struct index_tile_row *tile_rows;
	struct index_point_row *point_rows;
	struct index_series_entry *series;
	struct index_file *files;
	struct index_grid grid;
	struct index_border *borders;
	bool has_all; /* nothing is behind the last border */
	struct map track_of, series_of;
	uint64_t data_bytes;

	/* the leaf that was read last, by its offset, and those that were unpacked last, + 1; 0: none */
	uint64_t read;
	uint64_t leaf, point_leaf;
	uint32_t spans_n, points_n;
	struct interval spans[INDEX_LEAF];
	uint8_t flags[INDEX_LEAF];
	struct index_point points[INDEX_POINTS];
	uint8_t bytes[INDEX_LEAF * INDEX_SPAN_BYTES + VARINT_BYTES_MAX * 8];
};

static inline uint64_t index_series_key(unsigned kind, uint32_t name)
{
	return (uint64_t)kind << 32 | name;
}

/* The last of @n rows of @size bytes, ordered by the ns that they begin with, that begins by @ns; the first when none does. */
uint64_t index_search(const void *rows, size_t size, uint64_t n, uint64_t ns);

/* Of the file: bytes with that checksum, or a leaf into index.bytes, with zeros behind it. 0 or -EBADMSG. */
int index_read_bytes(struct index *x, void *to, uint64_t offset, uint32_t bytes, uint32_t crc);
int index_read_leaf(struct index *x, uint64_t offset, uint32_t bytes, uint32_t crc);

/* The last row that begins by @ns; the first when none does. */
uint64_t index_row_at(const struct index *x, const struct index_entry *e, uint64_t ns);
/* Where its leaf ends: intervals follow one another without a gap. */
uint64_t index_row_end(const struct index *x, const struct index_entry *e, uint64_t at);

uint8_t *index_put(uint8_t *at, const struct interval *i, unsigned flags);
/* What follows it, or NULL. @begin_ns is where the one before ends. */
const uint8_t *index_get(const uint8_t *at, const uint8_t *end, uint64_t begin_ns,
			 struct interval *ret, uint8_t *ret_flags);
/* The same when no more is asked than how long it was in what state. */
const uint8_t *index_pass(const uint8_t *at, const uint8_t *end, uint8_t *ret_state,
			  uint64_t *ret_length);

/* Writes the index of the trace into @fd, which is empty. */
int index_make(int fd, struct reader *r, const struct streams *s, struct tables *t,
	       const struct watch *watch, struct why *why);

/* ---- index_tiles.c ---- */

/* Those that are kept. @put writes one into the file, and says where. */
struct index_tiler {
	int (*put)(void *context, const void *bytes, size_t size, uint64_t *ret_offset);
	void *context;
	struct index_tile_row *rows;
	uint64_t n, room;
};
/* Of @x, which has one track, whose leaves are in its file. 0, -EBADMSG, -ENOMEM or what @put said. */
int index_tiles_make(struct index_tiler *t, struct index *x);

/* ---- index_all.c ---- */

/* The borders of a grid as they grow: what is added to each, and by how much it grows from there on. {0}: there is none. */
struct index_grower {
	struct index_grid grid;
	struct index_border *borders;
	struct index_slope {
		int32_t by[TRACE_STATES];
	} * slopes;
	uint64_t n;
};
/* 0 or -ENOMEM. Where there are few events there is no grid. */
int index_grow_begin(struct index_grower *g, const struct reader *r);
void index_grow(struct index_grower *g, const struct interval *i);
/* After the last one: g->borders are what they are called. */
void index_grow_end(struct index_grower *g);
void index_grow_fini(struct index_grower *g);
/* After the tables were read. */
void index_all_check(struct index *x);

/* ---- index_file.c ---- */

/* An empty file to make one in, with a name to come or without. 0 or a negative errno with @why. */
int index_prepare(struct index *x, bool has_name, struct why *why);
/* It is not to be, after all. */
void index_abandon(struct index *x);
/* What index_make() has filled it with: it gets its name, and is read. */
int index_finish(struct index *x, const struct reader *r, struct tables *t, struct why *why);
/* An empty one, with the name that it is to have. NULL: no memory. */
struct index *index_new(const struct reader *r, bool is_kept);
/* Reads the file of that name. -ENOENT when it is not to be believed. */
int index_read(struct index *x, const struct reader *r, struct tables *t);
/* Is it the disk, so that it may be better elsewhere? */
bool index_is_full(int error);
/* What is in the file is not what was written: the next one is made anew. */
void index_distrust(struct index *x);
