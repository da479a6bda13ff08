package storage

import "time"

// SetCallTimeout changes the time limit of calls.
func SetCallTimeout(s *Store, d time.Duration) { s.callTimeout = d }

// SetRecentRows changes among how many of the newest rows those of a filter are looked for first.
func SetRecentRows(s *Store, n int) { s.recentRows = n }

// SetNow changes the clock of s.
func SetNow(s *Store, now func() time.Time) { s.now = now }

// Storable is storable.
func Storable(text []byte) []byte { return storable(text) }

// Columns returns the columns of t, Values those of a row.
func Columns(t Table) []string { return t.columns() }

// Values returns the values of r in the order of Columns.
func Values(r Row) []any { return r.values }
