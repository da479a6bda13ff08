// Package dedup counts alerts with the same rule and entity as one while a window is open. The alert that
// opens a window is published at once, with count 1; when the window ends with more than one, an update
// with the count follows.
//
// Windows are measured in the time of the events, so that a log read later gives the same alerts; a deadline
// by the wall clock closes windows that no later event closes. A Table is used by one goroutine at a time.
package dedup
