/*
 * heap_text: a program that writes its own heap profile, in all formats.
 *
 *     heap_text DIRECTORY SPEC
 *
 * heap.pb.gz, heap.txt, allocs.pb.gz and allocs.txt are of one moment; delta.pb.gz is of what keep_meanwhile() does. The last
 * line is the truth in JSON, at that moment and, of the delta, for it.
 */
#include <cprof/cprof.h>

#include <fcntl.h>

#define SITES(X)        \
	X(keep_small)   \
	X(keep_mixed)   \
	X(keep_large)   \
	X(keep_to_free) \
	X(keep_pool)    \
	X(keep_meanwhile)

#include "tests/programs/heap.h"

static char *blocks[4096];

#define KEEPS(name)                                                      \
	SITE static void name(int n, size_t size, size_t step, int keep) \
	{                                                                \
		for (int i = 0; i < n; i++) {                            \
			struct block b = {0};                            \
			size_t bytes = size + step * (size_t)(i % 100);  \
			char *p;                                         \
                                                                         \
			made(&b, SITE_##name, malloc(bytes), bytes);     \
			p = b.p;                                         \
			if (i % keep != 0) {                             \
				gone(&b);                                \
				free(p);                                 \
			} else if (SITE_##name == SITE_keep_to_free) {   \
				blocks[i] = p;                           \
			}                                                \
		}                                                        \
	}

KEEPS(keep_small)
KEEPS(keep_mixed)
KEEPS(keep_large)
KEEPS(keep_to_free)
KEEPS(keep_meanwhile)

SITE static void keep_pool(int n, size_t size)
{
	static char memory[1 << 20];

	for (int i = 0; i < n && cprof_alloc != NULL; i++) {
		cprof_alloc(memory + (size_t)i * size, size);
		count_made(SITE_keep_pool, 1, size);
		if (i % 2 != 0) {
			cprof_free(memory + (size_t)i * size);
			count_gone(SITE_keep_pool, 1, size);
		}
	}
}

static const char *directory;

static int open_file(const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		wrong("cannot be opened", name);
	return fd;
}

static void write_one(const char *file, const char *profile, int debug)
{
	int fd = open_file(file), r = cprof_write(profile, fd, debug);

	close(fd);
	if (r < 0)
		wrong(strerror(-r), file);
}

static volatile int is_written;

static void *write_delta(void *arg)
{
	int fd = open_file("delta.pb.gz"), r = cprof_write_delta("heap", fd, 1.5);

	close(fd);
	if (r < 0)
		wrong(strerror(-r), "delta.pb.gz");
	is_written = 1;
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t id;
	int fd, r;

	if (argc < 3)
		return 2;
	directory = argv[1];
	r = cprof_start(argv[2]);
	if (r < 0)
		wrong(strerror(-r), "cprof_start");
	keep_small(100000, 128, 0, 10);
	keep_mixed(20000, 16, 160, 4);
	keep_large(300, 1 << 20, 4096, 3);
	keep_to_free(1000, 20000, 0, 1);
	keep_pool(1000, 1000);
	write_one("heap.pb.gz", "heap", 0);
	write_one("heap.txt", "heap", 1);
	write_one("allocs.pb.gz", "allocs", 0);
	write_one("allocs.txt", "allocs", 1);
	fd = open_file("none");
	if (cprof_write("heaps", fd, 0) != -ENOENT || cprof_write("heap", fd, 3) != -EINVAL)
		wrong("is written", "what is not there");
	close(fd);
	pthread_create(&id, NULL, write_delta, NULL);
	usleep(500000); /* until the window is open: the output library is */
	keep_meanwhile(2000, 60000, 0, 4);
	for (int i = 0; i < 1000; i += 2)
		free(blocks[i]);
	if (is_written)
		wrong("has ended already", "delta.pb.gz");
	pthread_join(id, NULL);
	print_truth();
	r = cprof_stop();
	if (r < 0)
		wrong(strerror(-r), "cprof_stop");
	return wrongs != 0;
}
