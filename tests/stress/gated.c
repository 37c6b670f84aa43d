/*
 * gated: a program of a dozen functions with a fixed amount of work, for what cprof diff says of it.
 *
 *     gated ROUNDS PERCENT     function lookup() does as much more as makes the whole take about PERCENT % longer
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS (1 << 15)

static uint32_t data[WORDS], sink;

/* A function that turns over @steps words, each in a way of its own, so that nothing is merged. */
#define FUNCTION(name, expression)                                 \
	__attribute__((noinline)) static void name(unsigned steps) \
	{                                                          \
		uint32_t x = sink, i;                              \
                                                                   \
		for (i = 0; i < steps; i++)                        \
			x = (expression);                          \
		sink = x;                                          \
	}

FUNCTION(parse, x * 1664525 + 1013904223 + data[i & 1023])
FUNCTION(hash, (x ^ data[i & (WORDS - 1)]) * 16777619u)
FUNCTION(lookup, x + data[(x >> 7) & (WORDS - 1)])
FUNCTION(sort, x > data[i & 4095] ? x - data[i & 4095] : data[i & 4095] - x)
FUNCTION(copy, data[(i * 7) & (WORDS - 1)] + (x >> 1))
FUNCTION(encode, (x << 5 | x >> 27) ^ i)
FUNCTION(decode, (x >> 3 | x << 29) + data[i & 255])
FUNCTION(compress, x % 65521u + i)
FUNCTION(verify, x ^ (x << 13) ^ (x >> 17) ^ i)
FUNCTION(render, (uint32_t)((float)x * 0.5f) + i)
FUNCTION(merge, x / 3u + data[i & 511])
FUNCTION(flush, x + (i ^ data[(i * 64) & (WORDS - 1)]))

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
	double more = argc > 2 ? atof(argv[2]) / 100 : 0;
	unsigned extra = (unsigned)(more * 2000 /
				    0.287); /* its part of the whole, as a profile of -O2 has it */

	for (unsigned i = 0; i < WORDS; i++)
		data[i] = i * 2654435761u;
	for (unsigned i = 0; i < rounds; i++) {
		parse(4000);
		hash(3500);
		lookup(2000 + extra);
		sort(3000);
		copy(2500);
		encode(2000);
		decode(2000);
		compress(1500);
		verify(1500);
		render(1000);
		merge(1000);
		flush(1000);
	}
	printf("%u\n", sink);
	return 0;
}
