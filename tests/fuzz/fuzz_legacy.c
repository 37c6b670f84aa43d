/*
 * The readers of the formats that were before profile.proto, on any bytes: clang -fsanitize=fuzzer,address,undefined.
 *
 * What is read is a sound profile: it is checked, merged with itself and written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "output/check.h"
#include "output/legacy.h"
#include "output/pprof.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int is_true, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "fuzz_legacy: %s\n", what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct profile profile, together, *both[] = {&profile, &profile};
	struct why why = {""};
	uint8_t *written;
	size_t written_n;
	int r = legacy_decode(bytes, size, &profile, &why);

	if (r < 0) {
		require(r == -ENOENT || why.text[0] != '\0', "refused without a reason");
		return 0;
	}
	require(check_valid(&profile, NULL, &why) == 0, "what was read is not sound");
	require(profile_merge(both, 2, &together, &why) == 0, "what was read cannot be merged");
	require(pprof_encode(&together, &written, &written_n) == 0,
		"what was read cannot be written");
	free(written);
	profile_fini(&together);
	profile_fini(&profile);
	return 0;
}
