#!/usr/bin/env bash
# Runs every fuzz target of the project in turn. $1: time for each.
# Minimization is bounded by runs: bounded by time (60 s for each input) it would exceed $1 by far.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-60s}
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	grep -o '^func Fuzz[A-Za-z0-9_]*' "$file" | sed 's/^func //' | while read -r target; do
		echo "== $(dirname "$file") $target"
		go test "$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x
	done
done
