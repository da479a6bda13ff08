// Package dedup counts alerts of one rule and entity as one while a window is
// open. The alert that opens a window goes out at once, with count 1; when the
// window ends with more, one update follows with the count.
//
// Windows lie in the time of the events, so that a log read later gives the same
// alerts; a deadline on the wall clock closes those that no event closes. One
// goroutine at a time uses a Table.
package dedup
