/* nothing: a program that could not do less; also as a static one, and as one of another C library. */
#include <stdio.h>

int main(void)
{
	puts("nothing");
	return 0;
}
