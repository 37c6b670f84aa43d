/*
 * Prints what output/symbols knows: symbols_print [-C] FILE < ADDRESSES. One address a line, in
 * hex; each answer ends with an empty line. The integration test compares it with other tools, the
 * bench times it.
 *
 *     FUNCTION (the name in the symbol table; -C: the readable one)
 *     FILE:LINE
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/symbols.h"

int main(int argc, char **argv)
{
	static struct symbols_frame frames[256];
	bool is_readable = argc > 2 && strcmp(argv[1], "-C") == 0;
	struct symbols *s;
	struct symbols_module *m;
	struct why why = {0};
	char line[64];
	int n;

	if (argc < 2 || symbols_create(&s) < 0)
		return 2;
	m = symbols_module(s, argv[argc - 1], NULL, 0, &why);
	if (why.text[0] != '\0')
		fprintf(stderr, "%s\n", why.text);
	if (m == NULL)
		return 1;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		n = symbols_lookup(m, strtoull(line, NULL, 16), frames, 256);
		if (n == 0)
			printf("??\n??:0\n");
		for (int i = 0; i < n; i++)
			printf("%s\n%s:%" PRId64 "\n",
			       is_readable ? frames[i].name : frames[i].system_name,
			       frames[i].file[0] != '\0' ? frames[i].file : "??", frames[i].line);
		printf("\n");
	}
	symbols_destroy(s);
	return 0;
}
