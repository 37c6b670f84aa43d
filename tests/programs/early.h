/* early: what the library's constructor found, before anybody's main(). */
#ifndef EARLY_H
#define EARLY_H

#define EARLY_RESULTS 64

struct early_result {
	const char *call;
	long result;
	int error;
};

extern struct early_result early_results[EARLY_RESULTS];
extern int early_count;

#endif
