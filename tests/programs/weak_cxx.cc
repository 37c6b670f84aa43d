/* weak, as C++11. */
#include "tests/programs/weak.c"
