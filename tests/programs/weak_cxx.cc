/* weak, as C++11; and its scopes. */
#define main weak_main
#include "tests/programs/weak.c"
#undef main

int main()
{
	cprof::task task("outer");
	cprof::working working(task.id());
	cprof::region region("scope");
	return weak_main();
}
