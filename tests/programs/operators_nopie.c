/* operators_nopie: takes the address of malloc(), linked to a fixed address: the function is then a stub in this program. */
#include <stdlib.h>

int main(void)
{
	void *(*volatile allocate)(size_t size) = malloc;

	return allocate(100) == NULL;
}
