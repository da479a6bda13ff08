//go:build !linux

package sdnotify

// monotonicMicroseconds is not needed where there is no systemd.
func monotonicMicroseconds() int64 { return 0 }
