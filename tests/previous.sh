#!/usr/bin/env bash
# previous.sh DIR: DIR/conn25 is the program as of the commit before this one, built from the
# history; where there is none, DIR/why says so, and there is no DIR/conn25.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$1
CC=${CC:-gcc}
mkdir -p "$dir"
git=(git -c safe.directory='*') # the checkout may be another user's

why() {
	rm -f "$dir/conn25"
	echo "$1" >"$dir/why"
	exit 0
}
command -v git >/dev/null || why "git is not installed"
"${git[@]}" rev-parse --git-dir >/dev/null 2>&1 || why "this is no checkout of git's"
commit=$("${git[@]}" rev-parse -q --verify 'HEAD^^{commit}') || why "the history here ends with this commit"
[ "$(cat "$dir/commit" 2>/dev/null)" = "$commit" ] && [ -x "$dir/conn25" ] && exit 0

rm -rf "$dir/src" "$dir/conn25" "$dir/why"
mkdir -p "$dir/src"
"${git[@]}" archive "$commit" | tar -x -C "$dir/src"
echo "  BUILD $dir/conn25, commit ${commit:0:7}"
env -u MAKEFLAGS -u MAKELEVEL -u BUILD make -s -j2 CC="$CC" -C "$dir/src" BUILD=build all >"$dir/log" 2>&1 ||
	why "commit ${commit:0:7} does not build: $(tail -n 1 "$dir/log")"
cp "$dir/src/build/conn25" "$dir/conn25"
echo "$commit" >"$dir/commit"
