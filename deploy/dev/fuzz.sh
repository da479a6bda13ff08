#!/usr/bin/env bash
# Runs every fuzz target of the project, one after the other. $1: time for each.
# Shrinking an input is bounded by runs: by time (60 s each) it would go on long after $1.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-60s}
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	grep -o '^func Fuzz[A-Za-z0-9_]*' "$file" | sed 's/^func //' | while read -r target; do
		echo "== $(dirname "$file") $target"
		go test "$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x
	done
done
