package storage

import "time"

// SetCallTimeout changes the time limit of calls.
func SetCallTimeout(s *Store, d time.Duration) { s.callTimeout = d }

// Storable is storable.
func Storable(text []byte) []byte { return storable(text) }
