/*
 * embed: runs when cprof is built: writes the files of a page as C, the list NAME of page/assets.h: embed OUT NAME FILE...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/gzip.h"
#include "page/assets.h"

#define FILE_MAX (4 << 20)

static int put(void *context, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		fprintf(context, "%u,%s", at[i], i % 32 == 31 ? "\n" : "");
	return ferror(context) ? -EIO : 0;
}

static int embed(FILE *out, unsigned number, const char *path, size_t *ret_size)
{
	static uint8_t bytes[FILE_MAX];
	struct gzip_packer *packer = NULL;
	FILE *in = fopen(path, "rb");
	size_t n = in != NULL ? fread(bytes, 1, sizeof(bytes), in) : 0;
	int r = in == NULL || ferror(in) || n == sizeof(bytes) ? -EIO : 0;

	if (in != NULL)
		fclose(in);
	fprintf(out, "static const uint8_t bytes_%u[] = {\n", number);
	if (r == 0)
		r = gzip_pack_create(&packer, put, out);
	if (r == 0)
		r = gzip_pack(packer, bytes, n);
	if (r == 0)
		r = gzip_pack_finish(packer);
	gzip_pack_destroy(packer);
	fprintf(out, "};\n");
	*ret_size = n;
	return r;
}

int main(int argc, char **argv)
{
	FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
	size_t sizes[256];

	if (out == NULL || argc < 3 || argc > 256) {
		fprintf(stderr, "usage: embed OUT NAME FILE...\n");
		return 2;
	}
	fprintf(out, "#include \"page/assets.h\"\n");
	for (int i = 3; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/');

		argv[i] = asset_type(argv[i]) != NULL ? argv[i] : "";
		if (embed(out, (unsigned)i, argv[i], &sizes[i]) < 0) {
			fprintf(stderr,
				"embed: %s cannot be read, is too large, or of no known type\n",
				slash != NULL ? slash + 1 : argv[i]);
			return 1;
		}
	}
	fprintf(out, "extern const struct asset %s[];\nconst struct asset %s[] = {\n", argv[2],
		argv[2]);
	for (int i = 3; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/');

		fprintf(out, "{\"%s\", \"%s\", bytes_%d, %zu, sizeof(bytes_%d)},\n",
			slash != NULL ? slash + 1 : argv[i], asset_type(argv[i]), i, sizes[i], i);
	}
	fprintf(out, "{0}};\n");
	return fclose(out) == 0 ? 0 : 1;
}
