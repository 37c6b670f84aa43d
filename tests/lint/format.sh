#!/bin/sh
# Is every C file as .clang-format has it? With -i, makes it so.
cd "$(dirname "$0")/../.." || exit 1

clang_format=
for program in clang-format-14 clang-format; do
	if command -v $program >/dev/null 2>&1; then
		clang_format=$program
		break
	fi
done
if [ -z "$clang_format" ]; then
	echo '1..0 # SKIP clang-format is not installed'
	exit 0
fi
# Each version breaks some lines in its own way.
version=$($clang_format --version | sed 's/.*version \([0-9]*\).*/\1/')
if [ "$version" != 14 ]; then
	echo "1..0 # SKIP clang-format is version $version, the tree is formatted by 14"
	exit 0
fi

# A file that git does not know yet counts too. Without git, in an unpacked archive, all do.
files=$(git ls-files --cached --others --exclude-standard '*.c' '*.h' 2>/dev/null) || files=
[ -n "$files" ] || files=$(find . -path './build*' -prune -o -name '*.[ch]' -print | sort)

if [ "${1:-}" = -i ]; then
	for file in $files; do
		[ ! -f "$file" ] || $clang_format -i "$file"
	done
	exit 0
fi

count=0
failed=0
for file in $files; do
	[ -f "$file" ] || continue # removed and not committed yet
	count=$((count + 1))
	if messages=$($clang_format --dry-run -Werror "$file" 2>&1); then
		continue
	fi
	failed=$((failed + 1))
	echo "$messages" | sed -n 's/^\([^ :]*:[0-9]*\):.*/# \1/p' | sort -u -t: -k2n | head -n 5
done
if [ $failed -eq 0 ]; then
	echo "ok 1 - $count files are formatted"
else
	echo "not ok 1 - $failed of $count files are not formatted; make format does it"
fi
echo '1..1'
[ $failed -eq 0 ]
